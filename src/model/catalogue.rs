//! The catalogue: which backups should exist, with sums.
//!
//! It is an index kept in a ConfigMap, never the truth about a backup: that is the manifest beside
//! the data, from which the catalogue can be made again. The key `hash_table` is the original's
//! format, so that its tools and ours read each other: JSON from a path inside the store to
//! `{checksum, algorithm?, size?}`. The key `backups` holds what a listing needs beyond that.
//!
//! Per backup two files are entered, the stream and the manifest: the manifest vouches for the
//! small ones, and the map stays under its limit of 1 MiB for a thousand backups and more.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backup_id::BackupId;
use super::galera::Position;
use super::manifest::{MANIFEST_FILE, STREAM_FILE, StoredFile};
use super::report::CopyReport;

/// The ConfigMap's key with the sums.
pub const HASH_TABLE_KEY: &str = "hash_table";

/// The ConfigMap's key with what a listing needs.
pub const BACKUPS_KEY: &str = "backups";

/// The ConfigMap's key with the room on the volume.
pub const ROOM_KEY: &str = "room";

/// The most data a catalogue may be: what the API takes in a ConfigMap, with room for its metadata.
pub const LIMIT_BYTES: usize = (1 << 20) - (16 << 10);

/// More than one backup's entries ever take.
const ENTRY_BYTES: usize = 1024;

/// What a file in a store must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Lower-case hex digits.
    pub checksum: String,
    /// `sha256` or `md5`; when missing, told by the number of digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Length in bytes; the original does not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The sums this product can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// 64 hex digits.
    Sha256,
    /// 32 hex digits, in catalogues of the original.
    Md5,
}

impl Checksum {
    /// The checksum of a file just written.
    #[must_use]
    pub fn of(file: &StoredFile) -> Self {
        Self { checksum: file.sha256.clone(), algorithm: None, size: Some(file.size) }
    }

    /// Which sum it is; `None` when neither the name nor the number of digits is known.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        match (self.algorithm.as_deref(), self.checksum.len()) {
            (Some("sha256") | None, 64) => Some(Algorithm::Sha256),
            (Some("md5") | None, 32) => Some(Algorithm::Md5),
            _ => None,
        }
    }
}

/// What is known of a backup in one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It is not there, and need not be.
    #[default]
    Absent,
    /// It is there.
    Present,
    /// It is on its way there, and can be finished.
    Unfinished,
    /// It should be there and is not.
    Missing,
    /// What is there is not what was recorded.
    Damaged,
}

/// Says of an entry that was written before there were two stores where its backup lies.
fn present() -> Presence {
    Presence::Present
}

/// What a listing shows of a backup beyond its sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// On the volume.
    #[serde(default = "present")]
    pub local: Presence,
    /// In S3.
    #[serde(default)]
    pub s3: Presence,
    /// When it was set aside because it is damaged wherever it lies: nothing builds on it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Timestamp>,
    /// When its removal began. Whoever comes next finishes it; it counts as gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removing: Option<Timestamp>,
    /// Seconds from the order's start of copying to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_secs: Option<u64>,
    /// When every byte was last compared with the sums, and found right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Timestamp>,
    /// When a comparison last found something wrong; cleared by one that does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Timestamp>,
    /// The Galera position the data stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Length of the stream before compression, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_bytes: Option<u64>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            local: Presence::Present,
            s3: Presence::Absent,
            quarantined: None,
            removing: None,
            duration_secs: None,
            verified: None,
            damaged: None,
            position: None,
            stream_bytes: None,
        }
    }
}

/// Room on the volume when a run last looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomSeen {
    /// Bytes that could still be written.
    pub free_bytes: u64,
    /// The volume's size in bytes.
    pub total_bytes: u64,
    /// When.
    pub at: Timestamp,
}

/// The index as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// By path inside the store.
    pub files: BTreeMap<String, Checksum>,
    /// By backup.
    pub entries: BTreeMap<BackupId, Entry>,
    /// Room on the volume when a run last looked.
    pub room: Option<RoomSeen>,
}

/// A catalogue that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("key \"{key}\" of the catalogue is not what this version writes")]
pub struct BadCatalogue {
    /// The ConfigMap's key.
    pub key: &'static str,
    /// What the parser said.
    #[source]
    pub source: serde_json::Error,
}

impl Catalogue {
    /// Reads the ConfigMap's data.
    ///
    /// # Errors
    /// Names the key that is no JSON of the expected shape.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, BadCatalogue> {
        fn key<T: Default + serde::de::DeserializeOwned>(
            data: &BTreeMap<String, String>,
            key: &'static str,
        ) -> Result<T, BadCatalogue> {
            let Some(text) = data.get(key) else { return Ok(T::default()) };
            serde_json::from_str(text).map_err(|source| BadCatalogue { key, source })
        }
        Ok(Self { files: key(data, HASH_TABLE_KEY)?, entries: key(data, BACKUPS_KEY)?, room: key(data, ROOM_KEY)? })
    }

    /// Writes the ConfigMap's data.
    #[must_use]
    pub fn write(&self) -> BTreeMap<String, String> {
        let text = "maps of strings and numbers always become JSON";
        BTreeMap::from([
            (HASH_TABLE_KEY.to_owned(), serde_json::to_string(&self.files).expect(text)),
            (BACKUPS_KEY.to_owned(), serde_json::to_string(&self.entries).expect(text)),
            (ROOM_KEY.to_owned(), serde_json::to_string(&self.room).expect(text)),
        ])
    }

    /// Whether one more backup can be entered.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let bytes: usize = self.write().values().map(String::len).sum();
        bytes + ENTRY_BYTES <= LIMIT_BYTES
    }

    /// Returns the backups in the order of their names.
    #[must_use]
    pub fn backups(&self) -> Vec<BackupId> {
        let mut ids: Vec<_> = self.files.keys().filter_map(|path| Some(BackupId::of_path(path)?.0)).collect();
        ids.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        ids.dedup();
        ids
    }

    /// Returns the files of one backup by path inside the store.
    #[must_use]
    pub fn files_of(&self, backup: &BackupId) -> BTreeMap<String, Checksum> {
        let of_backup = |path: &str| BackupId::of_path(path).is_some_and(|(id, _)| id == *backup);
        self.files.iter().filter(|(path, _)| of_backup(path)).map(|(path, sum)| (path.clone(), sum.clone())).collect()
    }

    /// Returns the bytes recorded for one backup; `None` when no size was recorded.
    #[must_use]
    pub fn size_of(&self, backup: &BackupId) -> Option<u64> {
        self.files_of(backup).values().map(|sum| sum.size).sum()
    }

    /// Enters a backup just made.
    pub fn enter(&mut self, report: &CopyReport) {
        let directory = report.backup.directory();
        self.files.insert(format!("{directory}/{STREAM_FILE}"), Checksum::of(&report.stream));
        self.files.insert(format!("{directory}/{MANIFEST_FILE}"), Checksum::of(&report.manifest));
        let seconds = report.finished.duration_since(report.started).as_secs();
        let entry = Entry {
            local: report.local,
            s3: report.s3,
            duration_secs: u64::try_from(seconds).ok(),
            position: Some(report.position.clone()),
            stream_bytes: Some(report.stream_bytes),
            ..Entry::default()
        };
        self.entries.insert(report.backup.clone(), entry);
    }

    /// Enters the result of comparing every byte of a backup with its sums.
    pub fn enter_verdict(&mut self, backup: &BackupId, good: bool, at: Timestamp) {
        let entry = self.entries.entry(backup.clone()).or_default();
        if good {
            (entry.verified, entry.damaged) = (Some(at), None);
        } else {
            entry.damaged = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINAL: &str = r#"{"base/2026-01-01_00-00-00/backup.stream.gz": {"checksum": "0123456789abcdef0123456789abcdef"},
        "base/2026-01-01_00-00-00/grastate.dat": {"checksum": "0123456789abcdef0123456789abcdee"},
        "incr/2026-01-01_00-00-00/2026-01-02_00-00-00/backup.stream.gz": {"checksum": "0123456789abcdef0123456789abcdef"}}"#;

    #[test]
    fn a_table_of_the_original_is_understood() {
        let data = BTreeMap::from([(HASH_TABLE_KEY.to_owned(), ORIGINAL.to_owned())]);
        let catalogue = Catalogue::read(&data).unwrap();
        let ids: Vec<_> = catalogue.backups().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["2026-01-01_00-00-00", "2026-01-01_00-00-00/2026-01-02_00-00-00"]);
        assert!(catalogue.files.values().all(|sum| sum.algorithm() == Some(Algorithm::Md5)));
        assert_eq!(catalogue.size_of(&catalogue.backups()[0]), None);
    }

    #[test]
    fn a_catalogue_is_read_back_as_written() {
        let mut catalogue =
            Catalogue::read(&BTreeMap::from([(HASH_TABLE_KEY.to_owned(), ORIGINAL.to_owned())])).unwrap();
        let id = catalogue.backups()[1].clone();
        catalogue.enter_verdict(&id, true, "2026-01-03T00:00:00Z".parse().unwrap());
        assert_eq!(Catalogue::read(&catalogue.write()).unwrap(), catalogue);
    }

    #[test]
    fn garbage_is_refused_by_key() {
        let data = BTreeMap::from([(HASH_TABLE_KEY.to_owned(), "not json".to_owned())]);
        assert_eq!(Catalogue::read(&data).unwrap_err().key, HASH_TABLE_KEY);
    }

    #[test]
    fn a_thousand_backups_stay_far_under_the_limit_of_a_config_map() {
        let mut catalogue = Catalogue::default();
        let file = StoredFile { size: 123_456_789_012, sha256: "a".repeat(64) };
        for second in 0..1000 {
            let time = Timestamp::from_second(1_700_000_000 + second).unwrap();
            let backup = BackupId::Full(super::super::backup_id::BackupName::at(time));
            catalogue.enter(&CopyReport {
                backup,
                started: time,
                finished: time,
                stream_bytes: 999_999_999_999,
                stream: file.clone(),
                manifest: file.clone(),
                position: Position { uuid: "a".repeat(36), seqno: 1_000_000_000 },
                desync: super::super::manifest::DesyncTimes::default(),
                local: Presence::Present,
                s3: Presence::Present,
                full_because: None,
                parent: None,
                room: None,
            });
        }
        let bytes: usize = catalogue.write().values().map(String::len).sum();
        assert!(bytes < 600 << 10, "{bytes} bytes");
        assert!(catalogue.has_room());
    }
}
