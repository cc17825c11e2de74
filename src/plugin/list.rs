//! `list`: the catalogue as a table, or as a document for other programs.

use jiff::Timestamp;
use serde::Serialize;

use super::cli::{ListFlags, ListForm};
use super::connect::Session;
use super::{CommandResult, find, overrides};
use crate::adapters::kubernetes::catalogue_configmap::ConfigMapCatalogue;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Entry, Presence};
use crate::model::outcome::Failure;
use crate::ports::Clock;
use crate::ports::conductor::CatalogueStore;
use crate::render::document::{Form, document};
use crate::render::screen::Screen;
use crate::render::table::Table;
use crate::render::{age, bytes};

const NONE: &str = "<none>";

pub(crate) async fn run(flags: &ListFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster_or_remains(session, flags.cluster.wanted()).await?;
    let catalogue = catalogue(session, screen, &statefulset).await?;
    session.show_warnings(screen);
    let namespace = &session.connection()?.target.namespace;
    let list = BackupList::of(&catalogue, namespace, &statefulset);
    match flags.output {
        Some(ListForm::Json) => screen.data(&document(&list, Form::Json)),
        Some(ListForm::Yaml) => screen.data(&document(&list, Form::Yaml)),
        Some(ListForm::Name) => screen.data(&names(&list)),
        None | Some(ListForm::Wide) if list.items.is_empty() => {
            screen.note(&format!("No backups found of {statefulset} in {namespace} namespace."));
        }
        None => screen.data(&table(&list, SystemClock.now(), false).text(!flags.no_headers)),
        Some(ListForm::Wide) => screen.data(&table(&list, SystemClock.now(), true).text(!flags.no_headers)),
    }
    Ok(ExitCode::Done)
}

/// Reads the catalogue of a cluster; empty when there is none yet.
pub(crate) async fn catalogue(session: &Session, screen: &mut Screen, statefulset: &str) -> Result<Catalogue, Failure> {
    let settings = overrides::settings(session, screen, statefulset, &std::collections::BTreeMap::new()).await?;
    let connection = session.connection()?;
    let namespace = &connection.target.namespace;
    let store = ConfigMapCatalogue::new(connection.client.clone(), namespace, &settings.hash_config_map);
    Ok(store.read().await.map_err(|error| session.failure(&error))?.0)
}

/// The listing as other programs see it. Members are added, never changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BackupList {
    api_version: &'static str,
    kind: &'static str,
    namespace: String,
    statefulset: String,
    items: Vec<Backup>,
}

/// One backup as other programs see it; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Backup {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(flatten)]
    entry: Entry,
}

impl BackupList {
    fn of(catalogue: &Catalogue, namespace: &str, statefulset: &str) -> Self {
        let items = catalogue.backups().iter().map(|id| Backup::of(catalogue, id)).collect();
        Self {
            api_version: "mariadb-backup.io/v1",
            kind: "BackupList",
            namespace: namespace.to_owned(),
            statefulset: statefulset.to_owned(),
            items,
        }
    }
}

impl Backup {
    fn of(catalogue: &Catalogue, id: &BackupId) -> Self {
        Self {
            name: id.name().to_string(),
            kind: if id.base().is_some() { "incremental" } else { "full" },
            base: id.base().map(ToString::to_string),
            created: id.name().time(),
            size_bytes: catalogue.size_of(id),
            entry: catalogue.entries.get(id).cloned().unwrap_or_default(),
        }
    }

    fn verified(&self, now: Timestamp) -> String {
        match (self.entry.damaged, self.entry.verified) {
            (Some(_), _) => "damaged".to_owned(),
            (None, Some(time)) => format!("{} ago", age::since(time, now)),
            (None, None) => NONE.to_owned(),
        }
    }
}

fn names(list: &BackupList) -> String {
    let lines: Vec<String> = list.items.iter().map(|backup| format!("backup/{}\n", backup.name)).collect();
    lines.concat()
}

fn table(list: &BackupList, now: Timestamp, wide: bool) -> Table {
    let narrow = ["NAME", "TYPE", "BASE", "SIZE", "LOCAL", "S3", "VERIFIED", "DURATION", "AGE"];
    let headers = if wide { [&narrow[..], &["DATA", "POSITION"]].concat() } else { narrow.to_vec() };
    let mut table = Table::new(&headers);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    for backup in &list.items {
        let duration = backup.entry.duration_secs.map(|seconds| age::human(std::time::Duration::from_secs(seconds)));
        let mut cells = vec![
            backup.name.clone(),
            backup.kind.to_owned(),
            or_none(backup.base.clone()),
            or_none(backup.size_bytes.map(bytes::human)),
            presence(backup.entry.local),
            presence(backup.entry.s3),
            backup.verified(now),
            or_none(duration),
            age::since(backup.created, now),
        ];
        if wide {
            cells.push(or_none(backup.entry.stream_bytes.map(bytes::human)));
            cells.push(or_none(backup.entry.position.as_ref().map(ToString::to_string)));
        }
        table.row(&cells);
    }
    table
}

/// The word of a table for what is known of a backup in one store.
fn presence(presence: Presence) -> String {
    match presence {
        Presence::Absent => NONE,
        Presence::Present => "yes",
        Presence::Unfinished => "unfinished",
        Presence::Missing => "missing",
        Presence::Damaged => "damaged",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::catalogue::{BACKUPS_KEY, HASH_TABLE_KEY};

    fn list() -> BackupList {
        let files = r#"{
            "base/2026-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 1500000000},
            "base/2026-01-01_00-00-00/manifest.json": {"checksum": "bb", "size": 2000},
            "incr/2026-01-01_00-00-00/2026-01-02_00-00-00/backup.stream.gz": {"checksum": "cc"},
            "base/2026-01-03_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 900}}"#;
        let entries = r#"{
            "base/2026-01-01_00-00-00": {"durationSecs": 734, "verified": "2026-01-03T11:55:00Z",
                "position": "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711", "streamBytes": 5000000000},
            "base/2026-01-03_00-00-00": {"damaged": "2026-01-03T11:55:00Z"}}"#;
        let data = BTreeMap::from([
            (HASH_TABLE_KEY.to_owned(), files.to_owned()),
            (BACKUPS_KEY.to_owned(), entries.to_owned()),
        ]);
        BackupList::of(&Catalogue::read(&data).unwrap(), "db", "mariadb-server")
    }

    fn now() -> Timestamp {
        "2026-01-03T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_table_looks_like_kubectl_s() {
        insta::assert_snapshot!(table(&list(), now(), false).text(true));
    }

    #[test]
    fn the_wide_table_has_more_columns() {
        insta::assert_snapshot!(table(&list(), now(), true).text(true));
    }

    #[test]
    fn the_document_leaves_out_what_is_not_known() {
        insta::assert_snapshot!(document(&list(), Form::Yaml));
    }
}
