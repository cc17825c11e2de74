//! A listing as other programs see it, and as a table.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Entry, Presence};
use crate::render::table::Table;
use crate::render::{age, bytes};

const NONE: &str = "<none>";

/// The listing as other programs see it. Members are added, never changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackupList {
    api_version: &'static str,
    kind: &'static str,
    pub(super) namespace: String,
    pub(super) statefulset: String,
    pub(super) items: Vec<Backup>,
}

/// One backup as other programs see it; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backup {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// With it where the backup lies: `local` and `s3`.
    #[serde(flatten)]
    entry: Entry,
    /// Whether only a store knows it, and the catalogue does not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unlisted: bool,
    /// What is wrong with it in a store that was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<String>,
}

impl BackupList {
    /// The listing of a catalogue.
    pub(super) fn of(catalogue: &Catalogue, namespace: &str, statefulset: &str) -> Self {
        let items = catalogue.listed().iter().map(|id| Backup::of(catalogue, id)).collect();
        Self::new(items, namespace, statefulset)
    }

    pub(super) fn new(items: Vec<Backup>, namespace: &str, statefulset: &str) -> Self {
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
        Self::new(id, catalogue.size_of(id), catalogue.entry(id).unwrap_or_default())
    }

    pub(super) fn new(id: &BackupId, size_bytes: Option<u64>, entry: Entry) -> Self {
        Self {
            name: id.name().to_string(),
            kind: if id.base().is_some() { "incremental" } else { "full" },
            base: id.base().map(ToString::to_string),
            created: id.name().time(),
            size_bytes,
            entry,
            unlisted: false,
            trouble: vec![],
        }
    }

    /// The same backup, of which the catalogue knows nothing.
    pub(super) fn unlisted(self) -> Self {
        Self { unlisted: true, ..self }
    }

    /// The same backup, with what is wrong with it.
    pub(super) fn with_trouble(self, trouble: Vec<String>) -> Self {
        Self { trouble, ..self }
    }

    fn verified(&self, now: Timestamp) -> String {
        match (self.entry.damaged, self.entry.verified) {
            (Some(_), _) => "damaged".to_owned(),
            (None, Some(time)) => format!("{} ago", age::since(time, now)),
            (None, None) => NONE.to_owned(),
        }
    }

    fn place(&self, presence: Presence) -> &'static str {
        match presence {
            Presence::Absent => NONE,
            Presence::Missing => "missing",
            _ if self.entry.quarantined.is_some() => "quarantined",
            Presence::Present => "yes",
            Presence::Unfinished => "unfinished",
            Presence::Damaged => "damaged",
        }
    }
}

/// The names, one a line.
pub(super) fn names(list: &BackupList) -> String {
    let lines: Vec<String> = list.items.iter().map(|backup| format!("backup/{}\n", backup.name)).collect();
    lines.concat()
}

/// The listing as a table.
pub(super) fn table(list: &BackupList, now: Timestamp, wide: bool) -> Table {
    let narrow = ["NAME", "TYPE", "BASE", "SIZE", "LOCAL", "S3", "VERIFIED", "DURATION", "AGE"];
    let headers = if wide { [&narrow[..], &["PARENT", "DATA", "POSITION"]].concat() } else { narrow.to_vec() };
    let mut table = Table::new(&headers);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    for backup in &list.items {
        let entry = &backup.entry;
        let duration = entry.duration_secs.map(|seconds| age::human(Duration::from_secs(seconds)));
        let mut cells = vec![
            backup.name.clone(),
            backup.kind.to_owned(),
            or_none(backup.base.clone()),
            or_none(backup.size_bytes.map(bytes::human)),
            backup.place(entry.local).to_owned(),
            backup.place(entry.s3).to_owned(),
            backup.verified(now),
            or_none(duration),
            age::since(backup.created, now),
        ];
        if wide {
            cells.push(or_none(entry.parent.as_ref().map(ToString::to_string)));
            cells.push(or_none(entry.stream_bytes.map(bytes::human)));
            cells.push(or_none(entry.position.as_ref().map(ToString::to_string)));
        }
        table.row(&cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::catalogue::{BACKUPS_KEY, HASH_TABLE_KEY};
    use crate::render::document::{Form, document};

    fn list() -> BackupList {
        let files = r#"{
            "base/2026-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 1500000000},
            "base/2026-01-01_00-00-00/manifest.json": {"checksum": "bb", "size": 2000},
            "incr/2026-01-01_00-00-00/2026-01-02_00-00-00/backup.stream.gz": {"checksum": "cc"},
            "base/2026-01-03_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 900},
            "base/2026-01-03_06-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 900},
            "base/2026-01-03_07-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 900},
            "base/2026-01-03_08-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 900}}"#;
        let entries = r#"{
            "incr/2026-01-01_00-00-00/2026-01-02_00-00-00": {"parent": "2026-01-01_00-00-00"},
            "base/2026-01-01_00-00-00": {"durationSecs": 734, "verified": "2026-01-03T11:55:00Z", "s3": "present",
                "position": "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711", "streamBytes": 5000000000},
            "base/2026-01-03_00-00-00": {"damaged": "2026-01-03T11:55:00Z", "local": "damaged", "s3": "missing"},
            "base/2026-01-03_06-00-00": {"damaged": "2026-01-03T11:55:00Z", "local": "damaged",
                "quarantined": "2026-01-03T11:56:00Z"},
            "base/2026-01-03_07-00-00": {"local": "absent", "s3": "unfinished"},
            "base/2026-01-03_08-00-00": {"removing": "2026-01-03T11:55:00Z"}}"#;
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
