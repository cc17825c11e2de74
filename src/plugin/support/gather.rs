//! Collects what goes into the archive, and passes all of it through the rules of what may be shown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::events::Concerned;
use super::redact;
use crate::adapters::kubernetes::evidence::{Evidence, Kind};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::orders::{OrderedRun, Orders};
use crate::adapters::kubernetes::preflight::Preflight;
use crate::model::names::{MANAGER, MANAGER_LABEL};
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::plugin::connect::Session;
use crate::plugin::job::only_looks;
use crate::plugin::{list, status};
use crate::render::document::{Form, document};

/// The files of an archive, and what could not be had.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) files: Vec<(String, String)>,
    pub(super) gaps: Vec<String>,
}

impl Gathered {
    fn json(&mut self, name: &str, value: &Value) {
        self.files.push((name.to_owned(), document(value, Form::Json)));
    }

    /// What is known, with a word about what is not.
    fn known<T>(&mut self, fact: Result<T, Failure>) -> Option<T> {
        let gap = |failure: Failure| {
            let cause = failure.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
            self.gaps.push(redact::scrubbed(&format!("{}{cause}", failure.message)));
        };
        fact.map_err(gap).ok()
    }
}

/// Collects everything; what cannot be had is left out and said.
pub(super) async fn gather(place: &Place, runs: usize, session: &Session) -> Result<Gathered, Failure> {
    let mut gathered = Gathered::default();
    let client = session.connection()?.client.clone();
    let evidence = Evidence::new(client.clone(), &place.namespace);
    let preflight = Preflight::new(client.clone(), &place.namespace);
    let stored = preflight.settings(&place.statefulset).await.map_err(|error| session.failure(&error));
    let stored = gathered.known(stored).unwrap_or_default();
    let (status, gaps) = status::seen(place, session).await?;
    gathered.gaps.extend(gaps.iter().map(|gap| redact::scrubbed(gap)));
    let settings = Settings::read(&place.statefulset, &stored, &BTreeMap::new()).ok();
    let store_claim = settings.map(|settings| settings.store_claim).unwrap_or_default();
    let objects = objects(place, &store_claim, &evidence, session, &mut gathered).await;
    let images: BTreeSet<&str> = objects.iter().flat_map(images).collect();
    let server = evidence.server_version().await.map_err(|error| session.failure(&error));
    let server = gathered.known(server);
    let versions = json!({"plugin": env!("CARGO_PKG_VERSION"), "apiServer": server, "images": images,
        "agentImage": stored.get("MARIADB_BACKUP_AGENT_IMAGE")});
    gathered.json("versions.json", &versions);
    gathered.json("settings.json", &redact::settings(&stored));
    gathered.json("status.json", &redact::texts(json!(status)));
    if let Some(catalogue) = gathered.known(list::catalogue_under(session, place, &stored).await) {
        let entries: Vec<Value> = catalogue
            .listed()
            .iter()
            .map(|id| json!({"backup": list::Backup::of(&catalogue, id, place), "files": catalogue.files_of(id)}))
            .collect();
        gathered.json("catalogue.json", &json!({"room": catalogue.room, "backups": entries}));
    }
    let orders = Orders::new(client, &place.namespace);
    let known = orders.runs(Some(&place.statefulset)).await.map_err(|error| session.failure(&error));
    let jobs = worth_reading(gathered.known(known).unwrap_or_default(), runs);
    logs(&jobs, &objects, &evidence, session, &mut gathered).await;
    Ok(gathered)
}

/// The newest runs, those that did something before those that only looked.
fn worth_reading(mut runs: Vec<OrderedRun>, number: usize) -> Vec<String> {
    // The order among each kind stays: the newest first.
    runs.sort_by_key(only_looks);
    runs.into_iter().take(number).map(|run| run.job).collect()
}

/// Reads the objects, enters what may be shown of them, and returns them as they are.
async fn objects(
    place: &Place,
    store_claim: &str,
    evidence: &Evidence,
    session: &Session,
    gathered: &mut Gathered,
) -> Vec<Value> {
    let lease = Settings::config_map_name(&place.statefulset);
    let kinds = [
        ("statefulset", Kind::StatefulSet, place.statefulset.as_str()),
        ("pods", Kind::Pods, ""),
        ("jobs", Kind::Jobs, ""),
        ("cronjobs", Kind::CronJobs, ""),
        ("claims", Kind::Claims, ""),
        ("lease", Kind::Lease, lease.as_str()),
        ("events", Kind::Events, ""),
    ];
    let mut all: Vec<Value> = vec![];
    for (file, kind, name) in kinds {
        let found = evidence.objects(kind, name).await.map_err(|error| session.failure(&error));
        let Some(mut found) = gathered.known(found) else { continue };
        if kind == Kind::Pods {
            found.retain(|pod| is_ours(pod) || is_replica(pod, &place.statefulset));
        }
        if kind == Kind::Events {
            let concerned = Concerned::new(&place.statefulset, &all, store_claim);
            found.retain(|event| concerned.has(event));
        }
        let shown: Vec<Value> = found.iter().map(|object| redact::object(object.clone(), is_ours(object))).collect();
        gathered.json(&format!("objects/{file}.json"), &Value::Array(shown));
        all.extend(found);
    }
    all
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][MANAGER_LABEL] == MANAGER
}

fn is_replica(pod: &Value, statefulset: &str) -> bool {
    let ordinal = name(pod).strip_prefix(statefulset).and_then(|rest| rest.strip_prefix('-'));
    ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["containers"].as_array().into_iter().flatten()
}

fn images(pod: &Value) -> impl Iterator<Item = &str> {
    containers(pod).filter_map(|container| container["image"].as_str())
}

/// Reads the logs of the pods of those Jobs: the conductor's, and its runners', which are named after it.
async fn logs(jobs: &[String], objects: &[Value], evidence: &Evidence, session: &Session, gathered: &mut Gathered) {
    let of_jobs = |pod: &&Value| {
        pod["kind"] == "Pod" && is_ours(pod) && jobs.iter().any(|job| name(pod).starts_with(&format!("{job}-")))
    };
    for pod in objects.iter().filter(of_jobs) {
        for container in containers(pod).filter_map(|container| container["name"].as_str()) {
            let log = evidence.log(name(pod), container).await.map_err(|error| session.failure(&error));
            if let Some(log) = gathered.known(log) {
                let lines: Vec<String> = log.lines().map(redact::scrubbed).collect();
                gathered.files.push((format!("logs/{}.{container}.log", name(pod)), lines.join("\n") + "\n"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_did_something_are_packed_before_those_that_only_looked() {
        let run = |job: &str, task: &str| OrderedRun {
            job: job.to_owned(),
            ordered: None,
            task: Some(task.to_owned()),
            is_running: false,
            waits: None,
            only_asks: false,
            failed: None,
            end: None,
        };
        let runs = || vec![run("look", "status"), run("new", "backup"), run("stock", "inventory"), run("old", "prune")];
        assert_eq!(worth_reading(runs(), 2), ["new", "old"]);
        assert_eq!(worth_reading(runs(), 3), ["new", "old", "look"]);
    }
}
