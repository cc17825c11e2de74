//! One backup as other programs see it: put together, without looking anywhere.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::adapters::kubernetes::finder::Place;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Entry};
use crate::model::chain;
use crate::model::manifest::Manifest;
use crate::model::order::StoreName;
use crate::model::report::{FoundBackup, LastDrill};
use crate::plugin::list::Backup;

/// Everything about one backup; what is not known is left out. Members are added, never changed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    api_version: &'static str,
    kind: &'static str,
    /// As the list shows it.
    #[serde(flatten)]
    pub(super) backup: Backup,
    /// What has to be put together to restore it, the full backup first.
    pub(super) chain: Vec<String>,
    /// The increments that are worth nothing without it.
    pub(super) needed_by: Vec<String>,
    pub(super) restorable: bool,
    /// Why it cannot be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broken: Option<String>,
    /// Whether its stream is encrypted; this version writes none that is.
    pub(super) encrypted: bool,
    /// What is wrong with it in a store, for each where something is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) store_trouble: BTreeMap<&'static str, String>,
    /// The last drill of the cluster, whichever backup it was of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_drill: Option<LastDrill>,
    /// Its files beside the manifest, with their sums.
    pub(super) files: BTreeMap<String, File>,
    /// All that its manifest says, but the stream's members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifest: Option<Manifest>,
}

/// A file of a backup.
#[derive(Clone, Debug, Serialize)]
pub(super) struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    pub(super) checksum: String,
}

impl Description {
    /// Puts together what the catalogue knows and what was found in the stores.
    pub(super) fn of(id: &BackupId, catalogue: &Catalogue, found: &[FoundBackup], place: &Place) -> Self {
        let names = |ids: Vec<BackupId>| ids.iter().map(|id| id.name().to_string()).collect();
        let usable = chain::of(catalogue, id);
        let manifest = found.iter().find_map(|one| one.manifest.as_deref()).cloned();
        let trouble = |one: &FoundBackup| Some((one.store.word(), one.trouble.clone()?));
        let mut backup = Backup::of(catalogue, id, place);
        if let Some(manifest) = &manifest {
            complete(&mut backup.entry, manifest);
        }
        Self {
            api_version: "mariadb-backup.io/v1",
            kind: "BackupDescription",
            backup,
            chain: names(chain::members(catalogue, id)),
            needed_by: names(chain::needs(catalogue, id)),
            restorable: usable.is_ok(),
            broken: usable.err().map(|broken| broken.to_string()),
            encrypted: false,
            store_trouble: found.iter().filter_map(trouble).collect(),
            // What a drill of another backup found says nothing of this one, unless it was unpacked with it.
            last_drill: catalogue.drill.clone().filter(|last| chain::members(catalogue, &last.backup).contains(id)),
            files: files(id, catalogue, manifest.as_ref()),
            manifest,
        }
    }

    /// The word for what a store has of it.
    pub(super) fn place(&self, store: StoreName) -> &'static str {
        crate::plugin::list::place_word(&self.backup.entry, store)
    }
}

/// Adds what the manifest knows where the catalogue does not, as one that was made again may not.
fn complete(entry: &mut Entry, manifest: &Manifest) {
    let seconds = manifest.finished.duration_since(manifest.started).as_secs();
    entry.duration_secs = entry.duration_secs.or(u64::try_from(seconds).ok());
    entry.stream_bytes = entry.stream_bytes.or(Some(manifest.stream.bytes));
    entry.position.get_or_insert_with(|| manifest.origin.position.clone());
}

/// The files with their sums: from the manifest, which knows them all, or else what the catalogue keeps.
fn files(id: &BackupId, catalogue: &Catalogue, manifest: Option<&Manifest>) -> BTreeMap<String, File> {
    let directory = format!("{}/", id.directory());
    let recorded = catalogue.files_of(id).into_iter().map(|(path, sum)| {
        let name = path.strip_prefix(&directory).unwrap_or(&path).to_owned();
        (name, File { size: sum.size, checksum: sum.checksum })
    });
    let stored = manifest.into_iter().flat_map(|manifest| &manifest.files);
    let stored =
        stored.map(|(name, file)| (name.clone(), File { size: Some(file.size), checksum: file.sha256.clone() }));
    recorded.chain(stored).collect()
}
