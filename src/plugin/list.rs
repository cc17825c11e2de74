//! `list`: the catalogue as a table, or as a document for other programs; with `--live`, the stores.

mod live;
mod shape;

use std::collections::BTreeMap;

use super::cli::{ListFlags, ListForm};
use super::connect::Session;
use super::follow::Followed;
use super::order::{ask, order};
use super::{CommandResult, find, overrides, report};
use crate::adapters::kubernetes::catalogue_configmap::ConfigMapCatalogue;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::catalogue::Catalogue;
use crate::model::order::{InventoryRequest, Task};
use crate::model::outcome::{End, Failure};
use crate::model::report::RunReport;
use crate::model::settings::Settings;
use crate::ports::Clock;
use crate::ports::conductor::CatalogueStore;
use crate::render::document::{Form, document};
use crate::render::screen::Screen;
use shape::{BackupList, names, table};

pub(crate) async fn run(flags: &ListFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    if flags.live {
        return live(flags, session, screen).await;
    }
    let statefulset = find::cluster_or_remains(session, flags.cluster.wanted()).await?;
    let catalogue = catalogue(session, screen, &statefulset).await?;
    session.show_warnings(screen);
    let namespace = &session.connection()?.target.namespace;
    show(&BackupList::of(&catalogue, namespace, &statefulset), flags, screen);
    Ok(ExitCode::Done)
}

/// Has a run look at the stores, and shows what they hold.
async fn live(flags: &ListFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let order = order(&statefulset, Task::Inventory(InventoryRequest {}), BTreeMap::new());
    let (job, followed) = ask(&order, flags.timeout, session, screen).await?;
    let ended = match followed {
        Followed::GoesOn(code) => return Ok(code),
        Followed::Ended(ended) => ended,
    };
    let End::Done(RunReport::Inventory(told)) = &ended.outcome.end else {
        return Ok(report::run(&job, &ended.outcome, None, screen));
    };
    // Read after the look: what was finished meanwhile is then in both.
    let catalogue = catalogue(session, screen, &statefulset).await?;
    let namespace = &session.connection()?.target.namespace;
    let live = live::list(&catalogue, told, &ended.found, namespace, &statefulset);
    show(&live.list, flags, screen);
    for difference in &live.differences {
        screen.warn(difference);
    }
    match ended.outcome.code() {
        ExitCode::Done if !live.differences.is_empty() => Ok(ExitCode::DoneWithWarnings),
        code => Ok(code),
    }
}

fn show(list: &BackupList, flags: &ListFlags, screen: &mut Screen) {
    match flags.output {
        Some(ListForm::Json) => screen.data(&document(list, Form::Json)),
        Some(ListForm::Yaml) => screen.data(&document(list, Form::Yaml)),
        Some(ListForm::Name) => screen.data(&names(list)),
        None | Some(ListForm::Wide) if list.items.is_empty() => {
            screen.note(&format!("No backups found of {} in {} namespace.", list.statefulset, list.namespace));
        }
        None => screen.data(&table(list, SystemClock.now(), false).text(!flags.no_headers)),
        Some(ListForm::Wide) => screen.data(&table(list, SystemClock.now(), true).text(!flags.no_headers)),
    }
}

/// Reads the catalogue of a cluster; empty when there is none yet.
pub(crate) async fn catalogue(session: &Session, screen: &mut Screen, statefulset: &str) -> Result<Catalogue, Failure> {
    let settings = overrides::settings(session, screen, statefulset, &BTreeMap::new()).await?;
    read(session, &settings).await
}

/// The same under settings that were read before, and whose unknown keys are told elsewhere.
pub(crate) async fn catalogue_under(
    session: &Session,
    statefulset: &str,
    stored: &BTreeMap<String, String>,
) -> Result<Catalogue, Failure> {
    let settings = Settings::read(statefulset, stored, &BTreeMap::new());
    read(session, &settings.map_err(|bad| Failure::new(ExitCode::Usage, bad.to_string()))?).await
}

async fn read(session: &Session, settings: &Settings) -> Result<Catalogue, Failure> {
    let connection = session.connection()?;
    let namespace = &connection.target.namespace;
    let store = ConfigMapCatalogue::new(connection.client.clone(), namespace, &settings.hash_config_map);
    Ok(store.read().await.map_err(|error| session.failure(&error))?.0)
}
