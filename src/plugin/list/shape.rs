//! A listing as other programs see it, and as a table.

use jiff::Timestamp;
use serde::Serialize;

use crate::adapters::kubernetes::finder::Place;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Entry, Presence};
use crate::model::order::StoreName;
use crate::render::table::Table;
use crate::render::{age, bytes};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// The listing as other programs see it. Members are added, never changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackupList {
    api_version: &'static str,
    kind: &'static str,
    /// The cluster; none where it is a listing of several.
    #[serde(flatten)]
    pub(super) place: Option<Place>,
    pub(super) items: Vec<Backup>,
    /// How many clusters it is of.
    #[serde(skip)]
    pub(super) clusters: usize,
}

/// One backup as other programs see it; what is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Backup {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) statefulset: String,
    /// Whether the StatefulSet is gone, and only its backups are left.
    #[serde(rename = "statefulsetGone", skip_serializing_if = "std::ops::Not::not")]
    is_left: bool,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
    pub(crate) created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size_bytes: Option<u64>,
    /// With it where the backup lies: `local` and `s3`.
    #[serde(flatten)]
    pub(crate) entry: Entry,
    /// Whether only a store knows it, and the catalogue does not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unlisted: bool,
    /// What is wrong with it in a store that was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<String>,
}

impl BackupList {
    /// The listing of a catalogue.
    pub(super) fn of(catalogue: &Catalogue, place: &Place) -> Self {
        let mut list = Self { place: Some(place.clone()), ..Self::of_several() };
        list.add(catalogue, place);
        list
    }

    /// A listing to which the catalogues of clusters are added.
    pub(super) fn of_several() -> Self {
        Self { api_version: "mariadb-backup.io/v1", kind: "BackupList", place: None, items: vec![], clusters: 0 }
    }

    /// The same listing with other backups of one of these clusters, which it is in the order of.
    pub(super) fn with(&self, changed: &Place, backups: Vec<Backup>, places: &[Place]) -> Self {
        let mut backups = Some(backups);
        let of = |place: &Place| {
            let is_of =
                |backup: &&Backup| (&backup.namespace, &backup.statefulset) == (&place.namespace, &place.statefulset);
            self.items.iter().filter(is_of).cloned().collect::<Vec<_>>()
        };
        let mut items = vec![];
        for place in places {
            let new = if place == changed { backups.take() } else { None };
            items.extend(new.unwrap_or_else(|| of(place)));
        }
        Self { place: self.place.clone(), items, ..*self }
    }

    /// Adds the catalogue of a cluster.
    pub(super) fn add(&mut self, catalogue: &Catalogue, place: &Place) {
        self.clusters += 1;
        self.items.extend(catalogue.listed().iter().map(|id| Backup::of(catalogue, id, place)));
    }
}

impl Backup {
    /// A backup as a catalogue has it.
    pub(crate) fn of(catalogue: &Catalogue, id: &BackupId, place: &Place) -> Self {
        Self::new(id, catalogue.size_of(id), catalogue.entry(id).unwrap_or_default(), place)
    }

    pub(super) fn new(id: &BackupId, size_bytes: Option<u64>, entry: Entry, place: &Place) -> Self {
        Self {
            name: id.name().to_string(),
            namespace: place.namespace.clone(),
            statefulset: place.statefulset.clone(),
            is_left: place.is_gone,
            kind: if id.base().is_some() { "incremental" } else { "full" },
            base: id.base().map(ToString::to_string),
            created: id.name().time(),
            size_bytes,
            entry,
            unlisted: false,
            trouble: vec![],
        }
    }

    /// What tells it from all others.
    pub(super) fn key(&self) -> (&str, &str, &str) {
        (&self.namespace, &self.statefulset, &self.name)
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
            (None, Some(time)) => age::since(time, now),
            (None, None) => NONE.to_owned(),
        }
    }
}

/// The word for what a store has of a backup.
pub(crate) fn place_word(entry: &Entry, store: StoreName) -> &'static str {
    match entry.presence(store) {
        Presence::Absent => NONE,
        Presence::Missing => "missing",
        _ if entry.quarantined.is_some() => "quarantined",
        Presence::Present => "yes",
        Presence::Unfinished => "unfinished",
        Presence::Damaged => "damaged",
    }
}

/// The names, one a line.
pub(super) fn names(backups: &[Backup]) -> String {
    let lines: Vec<String> = backups.iter().map(|backup| format!("backup/{}\n", backup.name)).collect();
    lines.concat()
}

/// Which columns the table has beyond the usual ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    pub(super) namespace: bool,
    pub(super) cluster: bool,
    pub(super) wide: bool,
}

const USUAL: [&str; 7] = ["NAME", "TYPE", "SIZE", "LOCAL", "S3", "VERIFIED", "AGE"];
const MORE: [&str; 5] = ["BASE", "PARENT", "DURATION", "DATA", "POSITION"];

/// Backups as a table; with the usual columns it fits a terminal of 80.
pub(super) fn table(backups: &[Backup], now: Timestamp, columns: Columns) -> Table {
    let first = [columns.namespace.then_some("NAMESPACE"), columns.cluster.then_some("CLUSTER")];
    let more = if columns.wide { &MORE[..] } else { &[] };
    let headers: Vec<&str> = first.into_iter().flatten().chain(USUAL).chain(more.iter().copied()).collect();
    let mut table = Table::new(&headers);
    for backup in backups {
        let cluster =
            if backup.is_left { format!("{} (gone)", backup.statefulset) } else { backup.statefulset.clone() };
        let place = [columns.namespace.then_some(backup.namespace.clone()), columns.cluster.then_some(cluster)];
        let mut cells: Vec<String> = place.into_iter().flatten().collect();
        cells.extend(backup.usual_cells(now));
        if columns.wide {
            cells.extend(backup.more_cells());
        }
        table.row(&cells);
    }
    table
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}

fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| UNKNOWN.to_owned())
}

impl Backup {
    fn usual_cells(&self, now: Timestamp) -> [String; 7] {
        [
            self.name.clone(),
            self.kind.to_owned(),
            or_unknown(self.size_bytes.map(bytes::human)),
            place_word(&self.entry, StoreName::Local).to_owned(),
            place_word(&self.entry, StoreName::S3).to_owned(),
            self.verified(now),
            age::since(self.created, now),
        ]
    }

    fn more_cells(&self) -> [String; 5] {
        let entry = &self.entry;
        [
            or_none(self.base.clone()),
            or_none(entry.parent.as_ref().map(ToString::to_string)),
            or_unknown(entry.duration_secs.map(age::took)),
            or_unknown(entry.stream_bytes.map(bytes::human)),
            or_unknown(entry.position.as_ref().map(ToString::to_string)),
        ]
    }
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
        let place = Place::new("db", "mariadb-server");
        BackupList::of(&Catalogue::read(&data).unwrap(), &place)
    }

    fn now() -> Timestamp {
        "2026-01-03T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_table_looks_like_kubectl_s() {
        insta::assert_snapshot!(table(&list().items, now(), Columns::default()).text(true));
    }

    #[test]
    fn the_wide_table_has_more_columns() {
        insta::assert_snapshot!(table(&list().items, now(), Columns { wide: true, ..Columns::default() }).text(true));
    }

    #[test]
    fn the_usual_columns_fit_a_usual_terminal() {
        let widest = Backup { size_bytes: Some(123_400 << 10), ..list().items.swap_remove(1) };
        assert_eq!(widest.kind, "incremental");
        let text = table(&[widest], now(), Columns::default()).text(true);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn of_several_clusters_the_place_comes_first() {
        let both = Columns { namespace: true, cluster: true, wide: false };
        insta::assert_snapshot!(table(&list().items[..1], now(), both).text(true), @r"
        NAMESPACE   CLUSTER          NAME                  TYPE   SIZE     LOCAL   S3    VERIFIED   AGE
        db          mariadb-server   2026-01-01_00-00-00   full   1.4GiB   yes     yes   5m         2d12h
        ");
    }

    #[test]
    fn what_changes_of_one_cluster_leaves_the_others_as_they_were_and_where_they_were() {
        let places = ["a", "b", "c"].map(|name| Place::new("db", name));
        let backup = |place: &Place, day: u32| {
            let id: BackupId = format!("base/2026-01-0{day}_00-00-00").parse().unwrap();
            Backup::new(&id, None, Entry::default(), place)
        };
        let mut list = BackupList::of_several();
        list.items = places.iter().map(|place| backup(place, 1)).collect();
        let shown = |list: &BackupList| {
            let of = |backup: &Backup| format!("{}{}", backup.statefulset, &backup.name[9..10]);
            list.items.iter().map(of).collect::<Vec<_>>().join(" ")
        };
        let more = list.with(&places[1], vec![backup(&places[1], 1), backup(&places[1], 2)], &places);
        assert_eq!(shown(&more), "a1 b1 b2 c1");
        assert_eq!(shown(&more.with(&places[0], vec![], &places)), "b1 b2 c1");
    }

    #[test]
    fn the_document_leaves_out_what_is_not_known() {
        insta::assert_snapshot!(document(&list(), Form::Yaml));
    }
}
