//! `setup`: makes what backups of one cluster need, or prints it, and says what only a person can make.
//!
//! Run again, it changes what flags ask for and nothing else; the store's claim is only made, never
//! changed. Secrets are never made: passwords are not ours to invent.

mod manifests;
mod missing;

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::cli::{DocumentForm, DryRun, SetupFlags};
use super::connect::Session;
use super::schedule::PRINTED_ONLY;
use super::{CommandResult, find, overrides};
use crate::adapters::kubernetes::apply::{Applied, Applier};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::model::workload::Flavour;
use crate::ports::Reason;
use crate::render::document::{Form, document};
use crate::render::screen::Screen;
use manifests::{Manifest, SetupPlan, manifests};

pub(crate) async fn run(flags: &SetupFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let offline = flags.dry_run == Some(DryRun::Client);
    let given = overrides::of_setup_flags(flags)?;
    let statefulset = match (offline, flags.cluster.wanted()) {
        (true, Some(name)) => name.to_owned(),
        (_, wanted) => find::cluster(session, wanted).await?,
    };
    let namespace = session.namespace()?;
    let stored = stored(given, session, &statefulset, offline).await?;
    let settings = Settings::read(&statefulset, &stored, &BTreeMap::new()).map_err(|bad| {
        overrides::not_understood(&bad, &Settings::config_map_name(&statefulset), &namespace, session)
    })?;
    if settings.stores.s3() && settings.s3.bucket.is_empty() {
        return Err(
            Failure::new(ExitCode::Usage, "S3 is to be used, but no bucket is set").with_hint("add --s3-bucket NAME")
        );
    }
    let flavour = match &settings.flavour {
        None if !offline => {
            let connection = session.connection()?;
            let preflight = Preflight::new(connection.client.clone(), &connection.target.namespace);
            Some(preflight.flavour(&statefulset).await.map_err(|error| session.failure(&error))?)
        }
        told => told.clone(),
    };
    let access_mode =
        flags.access_mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let plan = SetupPlan {
        namespace: &namespace,
        statefulset: &statefulset,
        settings: &settings,
        stored: &stored,
        state_config_map: flavour.as_ref().and_then(Flavour::state_config_map),
        storage_class: flags.storage_class.as_deref(),
        size: &flags.size,
        access_mode: &access_mode,
        with_roles: flags.roles,
    };
    let manifests = manifests(&plan);
    let printed_only = flags.output.is_some() && flags.dry_run.is_none();
    if offline || printed_only {
        print(&manifests, flags.output, screen);
        if printed_only {
            screen.note(PRINTED_ONLY);
        }
        return Ok(ExitCode::Done);
    }
    let code = apply(&manifests, flags, session, screen).await?;
    session.show_warnings(screen);
    missing::say(session, screen, &settings).await?;
    let place = Place::new(&namespace, statefulset.clone());
    missing::say_what_is_untold(session, screen, &place, &stored, flavour.as_ref(), &settings);
    missing::say_what_is_old(session, screen, &statefulset, &settings).await;
    Ok(code)
}

/// The settings to store: those there, with the given flags over them.
async fn stored(
    given: BTreeMap<String, String>,
    session: &Session,
    statefulset: &str,
    offline: bool,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut stored = BTreeMap::new();
    if !offline {
        let connection = session.connection()?;
        let preflight = Preflight::new(connection.client.clone(), &connection.target.namespace);
        stored = preflight.settings(statefulset).await.map_err(|error| session.failure(&error))?;
    }
    stored.extend(given);
    Ok(stored)
}

/// What kubectl calls an object: its kind in small letters, with its group.
fn title(object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    format!("{}{group}/{}", text("/kind").to_lowercase(), text("/metadata/name"))
}

fn print(manifests: &[Manifest], form: Option<DocumentForm>, screen: &mut Screen) {
    let objects: Vec<&Value> = manifests.iter().map(|manifest| &manifest.object).collect();
    match form {
        None => objects.iter().for_each(|object| screen.line(&format!("{} created (dry run)", title(object)))),
        Some(DocumentForm::Json) => {
            screen.data(&document(&json!({"apiVersion": "v1", "kind": "List", "items": objects}), Form::Json));
        }
        Some(DocumentForm::Yaml) => {
            let texts: Vec<String> = objects.iter().map(|object| document(object, Form::Yaml)).collect();
            screen.data(&texts.join("---\n"));
        }
    }
}

async fn apply(
    manifests: &[Manifest],
    flags: &SetupFlags,
    session: &Session,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let is_dry = flags.dry_run.is_some();
    let server = Applier::new(session.connection()?.client.clone(), is_dry);
    let mut code = ExitCode::Done;
    for manifest in manifests {
        let title = title(&manifest.object);
        let applied = match server.apply(&manifest.object).await {
            Ok(applied) => applied,
            Err(error) if manifest.optional && error.reason == Reason::Forbidden => {
                screen.warn(&format!(
                    "{title} was not made: you may not; the conductor then cannot check on which nodes \
                    the store can be mounted, nor, before a restore, whether a node is lost or a volume still attached"
                ));
                code = ExitCode::DoneWithWarnings;
                continue;
            }
            Err(error) => return Err(session.failure(&error)),
        };
        let word = match applied {
            Applied::Created => "created",
            Applied::Configured => "configured",
            Applied::Unchanged => "unchanged",
        };
        if flags.output.is_none() {
            screen.line(&format!("{title} {word}{}", if is_dry { " (server dry run)" } else { "" }));
        }
    }
    if flags.output.is_some() {
        print(manifests, flags.output, screen);
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_called_as_kubectl_calls_them() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "x"}});
        assert_eq!(title(&role), "role.rbac.authorization.k8s.io/x");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "y"}});
        assert_eq!(title(&map), "configmap/y");
    }
}
