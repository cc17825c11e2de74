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

use super::backup_id::{BackupId, BackupName};
use super::galera::Position;
use super::manifest::{MANIFEST_FILE, STREAM_FILE, StoredFile};
use super::order::StoreName;
use super::report::{CopyReport, LastDrill, Verdict};
use super::settings::StoresWish;

/// The ConfigMap's key with the sums.
pub const HASH_TABLE_KEY: &str = "hash_table";

/// The ConfigMap's key with what a listing needs.
pub const BACKUPS_KEY: &str = "backups";

/// The ConfigMap's key with the room on the volume.
pub const ROOM_KEY: &str = "room";

/// The ConfigMap's key with the mark of ownership that this catalogue's cluster leaves in S3.
pub const OWNER_KEY: &str = "owner";

/// The ConfigMap's key with the last drill.
pub const DRILL_KEY: &str = "drill";

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
    /// When its copy ended: it holds what was committed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
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
    /// What an incremental backup builds on, in the chain of its base; when missing, the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BackupName>,
}

/// Why a backup cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The catalogue does not have it.
    Unlisted,
    /// It is being removed, and counts as gone.
    Removing,
    /// It was set aside.
    Quarantined,
    /// It is damaged wherever it lies.
    Damaged,
    /// It is whole in no store that is used.
    Missing,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unlisted => "not in the catalogue",
            Self::Removing => "being removed",
            Self::Quarantined => "quarantined",
            Self::Damaged => "damaged",
            Self::Missing => "whole in no store that is used",
        })
    }
}

impl Entry {
    /// Returns what is known of the backup in one store.
    #[must_use]
    pub fn presence(&self, store: StoreName) -> Presence {
        match store {
            StoreName::Local => self.local,
            StoreName::S3 => self.s3,
        }
    }

    /// Remembers what is known of the backup in one store.
    pub fn set_presence(&mut self, store: StoreName, presence: Presence) {
        match store {
            StoreName::Local => self.local = presence,
            StoreName::S3 => self.s3 = presence,
        }
    }

    /// Whether the backup counts: it is not being removed.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.removing.is_none()
    }

    /// Returns why the backup cannot be relied on with these stores; `None` when it can.
    #[must_use]
    pub fn trouble(&self, stores: StoresWish) -> Option<Trouble> {
        let used = [(stores.local(), self.local), (stores.s3(), self.s3)];
        let of_used = |presence| used.contains(&(true, presence));
        // A mark of damage that neither store explains is from a time when only the whole was marked.
        let is_explained = [self.local, self.s3].iter().any(|of| matches!(of, Presence::Damaged | Presence::Missing));
        [
            (self.removing.is_some(), Trouble::Removing),
            (self.quarantined.is_some(), Trouble::Quarantined),
            (self.damaged.is_some() && !is_explained, Trouble::Damaged),
            (!of_used(Presence::Present) && of_used(Presence::Damaged), Trouble::Damaged),
            (!of_used(Presence::Present), Trouble::Missing),
        ]
        .into_iter()
        .find_map(|(is_so, trouble)| is_so.then_some(trouble))
    }

    /// Whether the backup can be relied on, from whichever store.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.trouble(StoresWish::Both).is_none()
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            local: Presence::Present,
            s3: Presence::Absent,
            quarantined: None,
            removing: None,
            duration_secs: None,
            finished: None,
            verified: None,
            damaged: None,
            position: None,
            stream_bytes: None,
            parent: None,
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
    /// What this catalogue's cluster is known by in S3, from the first write on and for good: a place
    /// there that bears another one's mark is never written to. The StatefulSet's UID of that moment.
    pub owner: Option<String>,
    /// The last drill.
    pub drill: Option<LastDrill>,
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
        Ok(Self {
            files: key(data, HASH_TABLE_KEY)?,
            entries: key(data, BACKUPS_KEY)?,
            room: key(data, ROOM_KEY)?,
            owner: data.get(OWNER_KEY).cloned(),
            // No backup depends on it, whatever a newer version wrote there.
            drill: key(data, DRILL_KEY).unwrap_or_default(),
        })
    }

    /// Writes the ConfigMap's data.
    #[must_use]
    pub fn write(&self) -> BTreeMap<String, String> {
        let text = "maps of strings and numbers always become JSON";
        let mut data = BTreeMap::from([
            (HASH_TABLE_KEY.to_owned(), serde_json::to_string(&self.files).expect(text)),
            (BACKUPS_KEY.to_owned(), serde_json::to_string(&self.entries).expect(text)),
            (ROOM_KEY.to_owned(), serde_json::to_string(&self.room).expect(text)),
        ]);
        data.extend(self.owner.iter().map(|owner| (OWNER_KEY.to_owned(), owner.clone())));
        let drill = self.drill.iter().map(|drill| serde_json::to_string(drill).expect(text));
        data.extend(drill.map(|drill| (DRILL_KEY.to_owned(), drill)));
        data
    }

    /// Whether one more backup can be entered.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let bytes: usize = self.write().values().map(String::len).sum();
        bytes + ENTRY_BYTES <= LIMIT_BYTES
    }

    /// Returns the backups in the order of their names, those that are being removed among them.
    #[must_use]
    pub fn backups(&self) -> Vec<BackupId> {
        let of_files = self.files.keys().filter_map(|path| Some(BackupId::of_path(path)?.0));
        let mut ids: Vec<_> = of_files.chain(self.entries.keys().cloned()).collect();
        ids.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        ids.dedup();
        ids
    }

    /// Returns the backups that count, in the order of their names.
    #[must_use]
    pub fn listed(&self) -> Vec<BackupId> {
        self.backups().into_iter().filter(|backup| self.entry(backup).is_some_and(|entry| entry.is_listed())).collect()
    }

    /// Returns the backups whose unfinished uploads to S3 may still be of use, to this run or to a later one
    /// with other stores: those that lie on the volume and not in S3.
    #[must_use]
    pub fn on_their_way(&self) -> Vec<BackupId> {
        let on_its_way = |entry: Entry| entry.local == Presence::Present && entry.s3 != Presence::Present;
        let listed = self.listed().into_iter();
        listed.filter(|backup| self.entry(backup).is_some_and(on_its_way)).collect()
    }

    /// Returns what is known of a backup; `None` when it is not in the catalogue.
    ///
    /// One of which only the sums are known, as the original leaves it, lies on the volume.
    #[must_use]
    pub fn entry(&self, backup: &BackupId) -> Option<Entry> {
        let of_files = || (!self.files_of(backup).is_empty()).then(Entry::default);
        self.entries.get(backup).cloned().or_else(of_files)
    }

    /// Returns why a backup cannot be relied on with these stores; `None` when it can.
    #[must_use]
    pub fn trouble(&self, backup: &BackupId, stores: StoresWish) -> Option<Trouble> {
        self.entry(backup).map_or(Some(Trouble::Unlisted), |entry| entry.trouble(stores))
    }

    /// Returns the files of one backup by path inside the store.
    #[must_use]
    pub fn files_of(&self, backup: &BackupId) -> BTreeMap<String, Checksum> {
        let directory = format!("{}/", backup.directory());
        let of_backup = |path: &str| BackupId::of_path(path).is_some_and(|(id, _)| id == *backup);
        let beginning_so = self.files.range(directory.clone()..).take_while(|(path, _)| path.starts_with(&directory));
        beginning_so.filter(|(path, _)| of_backup(path)).map(|(path, sum)| (path.clone(), sum.clone())).collect()
    }

    /// Returns the bytes recorded for one backup; `None` when no size was recorded.
    #[must_use]
    pub fn size_of(&self, backup: &BackupId) -> Option<u64> {
        self.files_of(backup).values().try_fold(0, |bytes: u64, sum| Some(bytes.saturating_add(sum.size?)))
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
            finished: Some(report.finished),
            position: Some(report.position.clone()),
            stream_bytes: Some(report.stream_bytes),
            parent: report.parent.as_ref().map(|parent| parent.name().clone()),
            ..Entry::default()
        };
        self.entries.insert(report.backup.clone(), entry);
    }

    /// Forgets a backup: it is in no store any more.
    pub fn forget(&mut self, backup: &BackupId) {
        for path in self.files_of(backup).into_keys() {
            self.files.remove(&path);
        }
        self.entries.remove(backup);
    }

    /// Marks a backup as being removed, from when that began; nothing when it is not in the catalogue.
    pub fn bury(&mut self, backup: &BackupId, at: Timestamp) {
        if let Some(entry) = self.known(backup) {
            entry.removing.get_or_insert(at);
        }
    }

    /// Returns what is known of a backup, to change it; `None` when it is not in the catalogue.
    pub fn known(&mut self, backup: &BackupId) -> Option<&mut Entry> {
        let entry = self.entry(backup)?;
        Some(self.entries.entry(backup.clone()).or_insert(entry))
    }

    /// Enters what a check found of a backup in each store; nothing when it is not in the catalogue.
    ///
    /// Only reading every byte clears a mark of damage, or that a backup was set aside: a look at sizes
    /// cannot know better.
    pub fn enter_check(&mut self, backup: &BackupId, local: Verdict, s3: Verdict, at: Timestamp) {
        let Some(entry) = self.known(backup) else { return };
        entry.local = seen(entry.local, local);
        entry.s3 = seen(entry.s3, s3);
        let was_read = [local, s3].iter().any(|verdict| matches!(verdict, Verdict::Read | Verdict::Repaired));
        let is_bad = |presence: &Presence| matches!(presence, Presence::Damaged | Presence::Missing);
        let bad = [local, s3].iter().any(|verdict| *verdict != Verdict::Unseen && !verdict.is_good());
        if was_read {
            entry.verified = Some(at);
        }
        if bad {
            entry.damaged = Some(at);
        } else if was_read && ![entry.local, entry.s3].iter().any(is_bad) {
            entry.damaged = None;
        }
        if [local, s3].contains(&Verdict::Quarantined) {
            entry.quarantined = entry.quarantined.or(Some(at));
        } else if was_read && !bad {
            // Somebody brought it back, and asked for it by its name.
            entry.quarantined = None;
        }
    }

    /// Enters that these backups were read whole, found as recorded, and booted; nothing of one that is not in
    /// the catalogue. What is wrong with another copy of one stays so.
    pub fn enter_proof(&mut self, backups: &[BackupId], at: Timestamp) {
        for backup in backups {
            if let Some(entry) = self.known(backup) {
                entry.verified = Some(at);
            }
        }
    }

    /// Marks a backup as damaged wherever it lies: nothing builds on it any more.
    pub fn quarantine(&mut self, backup: &BackupId, at: Timestamp) {
        if let Some(entry) = self.known(backup) {
            entry.quarantined = entry.quarantined.or(Some(at));
        }
    }
}

/// What is known of a backup in a store after a check found that.
fn seen(before: Presence, verdict: Verdict) -> Presence {
    match (verdict, before) {
        (Verdict::Unseen, before) => before,
        (Verdict::Good, Presence::Damaged) | (Verdict::Damaged | Verdict::Quarantined, _) => Presence::Damaged,
        (Verdict::Good | Verdict::Read | Verdict::Repaired, _) => Presence::Present,
        (Verdict::Missing, _) => Presence::Missing,
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
