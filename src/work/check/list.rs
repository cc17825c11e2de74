//! Which files a backup must have in a store, and what each must be, by both witnesses.

use std::collections::{BTreeMap, BTreeSet};

use super::flaw::{Flaw, Flaws};
use super::look::Side;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::manifest::Manifest;
use crate::work::manifest_file::{self, ManifestFile, Unreadable, is_plain};
use crate::work::sums;

/// The files of one backup in one store.
#[derive(Default)]
pub(in crate::work) struct List {
    /// What each must be, by path inside the store.
    pub files: BTreeMap<String, Checksum>,
    /// What was found wrong on the way.
    pub flaws: Flaws,
    /// Those whose every byte was compared on the way: the manifest.
    pub read: BTreeSet<String>,
    /// The manifest, of a backup of ours whose manifest is right.
    pub manifest: Option<ManifestFile>,
}

/// Puts the catalogue's files and those of the manifest together.
///
/// The manifest is small and is always read; one that is not what the catalogue says is not believed.
pub(in crate::work) fn make(backup: &BackupId, expected: &BTreeMap<String, Checksum>, side: &Side<'_>) -> List {
    let mut list = List::default();
    for (path, sum) in expected {
        match path.rsplit_once('/') {
            Some((_, name)) if is_plain(name) => drop(list.files.insert(path.clone(), sum.clone())),
            _ => list.find(path, "the catalogue's path leads out of the backup"),
        }
    }
    let path = manifest_file::path_of(backup);
    if let Some(sum) = list.files.get(&path).cloned() {
        match manifest(backup, &sum, side) {
            Ok((file, manifest)) => {
                list.read.insert(path);
                list.enter_files(backup, &manifest);
                list.manifest = Some(file);
            }
            Err(flaw) => drop(list.flaws.insert(path, flaw)),
        }
    }
    if list.files.is_empty() {
        list.find(&backup.directory(), "the catalogue has no sums of it");
    }
    list
}

fn manifest(backup: &BackupId, sum: &Checksum, side: &Side<'_>) -> Result<(ManifestFile, Manifest), Flaw> {
    let file = manifest_file::read(backup, side.store).map_err(|unreadable| match unreadable {
        Unreadable::Port(error) => side.flaw_of(&error),
        Unreadable::Reading(error) => side.flaw_of_reading(&error),
        Unreadable::Wrong(what) => Flaw::Wrong(what),
    })?;
    if let Some(expected) = sum.size.filter(|expected| *expected != file.stored.size) {
        return Err(Flaw::Wrong(format!("is {} bytes long, not {expected}", file.stored.size)));
    }
    sums::compare(&file.stored.sha256, sum).map_err(Flaw::Wrong)?;
    let manifest = file.parse(backup).map_err(Flaw::Wrong)?;
    Ok((file, manifest))
}

impl List {
    fn find(&mut self, path: &str, what: impl Into<String>) {
        self.flaws.insert(path.to_owned(), Flaw::Wrong(what.into()));
    }

    fn enter_files(&mut self, backup: &BackupId, manifest: &Manifest) {
        let directory = backup.directory();
        for (name, file) in &manifest.files {
            self.enter(format!("{directory}/{name}"), Checksum::of(file));
        }
    }

    fn enter(&mut self, path: String, sum: Checksum) {
        match self.files.get(&path) {
            // The sums of both witnesses are compared here, so that each file is only read once.
            Some(other)
                if other.algorithm() == sum.algorithm()
                    && (!other.checksum.eq_ignore_ascii_case(&sum.checksum) || sizes_differ(other, &sum)) =>
            {
                self.find(&path, "the catalogue and the backup's manifest disagree about it");
            }
            Some(_) => {}
            // The original has no manifests, and ours have a sum of every file.
            None if sum.checksum.is_empty() => self.find(&path, "the backup's manifest has no sum of it"),
            None => drop(self.files.insert(path, sum)),
        }
    }
}

fn sizes_differ(one: &Checksum, other: &Checksum) -> bool {
    one.size.zip(other.size).is_some_and(|(one, other)| one != other)
}
