//! What becomes of the catalogue when the stores are asked. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Stock;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Checksum, Entry, Presence, RoomSeen};
use crate::model::order::StoreName;
use crate::model::report::FoundBackup;

const STORES: [StoreName; 2] = [StoreName::Local, StoreName::S3];

/// Makes the catalogue again, and says where the old one said otherwise.
pub(super) fn rebuilt(stock: &Stock, old: Option<&Catalogue>, at: Timestamp) -> (Catalogue, Vec<String>) {
    let empty = Catalogue::default();
    let old = old.unwrap_or(&empty);
    let mut new = Catalogue {
        room: room(stock, at).or(old.room),
        owner: old.owner.clone(),
        drill: old.drill.clone(),
        ..Catalogue::default()
    };
    let mut warnings = Vec::new();
    for (backup, by_store) in &stock.found {
        let known = Known { files: old.files_of(backup), entry: old.entry(backup) };
        let (files, entry) = merged(backup, by_store, &known, stock, &mut warnings);
        new.files.extend(files);
        new.entries.insert(backup.clone(), entry);
    }
    for backup in old.backups() {
        let Some(entry) = old.entry(&backup).filter(|_| !stock.found.contains_key(&backup)) else { continue };
        match unseen(stock, &entry) {
            Some(entry) => {
                new.files.extend(old.files_of(&backup));
                new.entries.insert(backup, entry);
            }
            None => warnings.push(format!("{backup} was in the catalogue and is in no store")),
        }
    }
    (new, warnings)
}

/// What the old catalogue knows of a backup.
struct Known {
    files: BTreeMap<String, Checksum>,
    entry: Option<Entry>,
}

/// Returns what is to be known of a backup that was found.
fn merged(
    backup: &BackupId,
    by_store: &BTreeMap<StoreName, FoundBackup>,
    known: &Known,
    stock: &Stock,
    warnings: &mut Vec<String>,
) -> (BTreeMap<String, Checksum>, Entry) {
    let told = believed(by_store.values(), known);
    // One of the original has no manifest: its sums are in the catalogue and nowhere else.
    let files = told.map_or_else(|| known.files.clone(), |found| found.files.clone());
    let is_as_known = files == known.files;
    if !is_as_known && !known.files.is_empty() {
        warnings.push(format!("{backup} is not what the catalogue recorded: its manifest says otherwise"));
    }
    if files.is_empty() {
        warnings.push(format!("no sums of {backup} are known, so nothing can verify it"));
    }
    let mut entry = match (told, &known.entry) {
        (Some(found), _) => found.entry.clone(),
        (None, Some(entry)) => entry.clone(),
        (None, None) => Entry::default(),
    };
    for store in STORES {
        let before = known.entry.as_ref().map_or(Presence::Absent, |entry| entry.presence(store));
        let presence = match by_store.get(&store) {
            Some(found) => {
                if let Some(trouble) = &found.trouble {
                    warnings.push(format!("{backup} in {}: {trouble}", store.word()));
                }
                judged(found, &files, if is_as_known { before } else { Presence::Absent })
            }
            None => not_found(stock, store, before),
        };
        entry.set_presence(store, presence);
    }
    if let Some(old) = &known.entry {
        (entry.removing, entry.quarantined) = (old.removing, old.quarantined);
        // What was said of other bytes says nothing of these.
        (entry.verified, entry.damaged) = if is_as_known { (old.verified, old.damaged) } else { (None, None) };
        entry.duration_secs = entry.duration_secs.or(old.duration_secs);
        entry.finished = entry.finished.or(old.finished);
    }
    (files, entry)
}

/// Chooses whose manifest is believed: one that says what the catalogue says, else one beside whole
/// files, else the volume's. `None` when there is no manifest.
fn believed<'a>(found: impl Iterator<Item = &'a FoundBackup>, known: &Known) -> Option<&'a FoundBackup> {
    found.filter(|found| has_sums(found)).min_by_key(|found| (found.files != known.files, found.trouble.is_some()))
}

/// Whether a manifest was read: without one, lengths are all that is told.
fn has_sums(found: &FoundBackup) -> bool {
    !found.files.is_empty() && found.files.values().all(|sum| !sum.checksum.is_empty())
}

fn judged(found: &FoundBackup, files: &BTreeMap<String, Checksum>, before: Presence) -> Presence {
    let is_other = has_sums(found) && found.files != *files;
    // Damage to the bytes is not undone by a manifest that can be read.
    let is_damaged = found.trouble.is_some() || is_other || before == Presence::Damaged;
    if is_damaged { Presence::Damaged } else { Presence::Present }
}

fn not_found(stock: &Stock, store: StoreName, before: Presence) -> Presence {
    match (stock.has_looked_at(store), before) {
        (true, Presence::Present | Presence::Damaged) => Presence::Missing,
        (_, before) => before,
    }
}

/// Returns what still holds of a backup that was not found; `None` when it is lost.
fn unseen(stock: &Stock, entry: &Entry) -> Option<Entry> {
    let elsewhere = |store| !stock.has_looked_at(store) && entry.presence(store) == Presence::Present;
    // A removal may have got as far as the manifest, and what was set aside lies where nobody looks.
    let keep = entry.removing.is_some() || entry.quarantined.is_some() || STORES.into_iter().any(elsewhere);
    keep.then(|| {
        let mut entry = entry.clone();
        for store in STORES {
            entry.set_presence(store, not_found(stock, store, entry.presence(store)));
        }
        entry
    })
}

fn room(stock: &Stock, at: Timestamp) -> Option<RoomSeen> {
    stock.report.room.map(|(free_bytes, total_bytes)| RoomSeen { free_bytes, total_bytes, at })
}

impl Stock {
    fn has_looked_at(&self, store: StoreName) -> bool {
        match store {
            StoreName::Local => self.report.local_count.is_some(),
            StoreName::S3 => self.report.s3_count.is_some(),
        }
    }
}

/// Enters what is whole and not known, as long as there is room, and copies that were finished.
pub(super) fn adopt(stock: &Stock, catalogue: &mut Catalogue) {
    // In a place of another cluster, what is there is that one's, also when it has the same name.
    let mark = stock.report.s3_mark.as_ref();
    let is_foreign = mark.is_some_and(|mark| catalogue.owner.as_ref() != Some(mark));
    let is_ours = |found: &&FoundBackup| found.store == StoreName::Local || !is_foreign;
    for (backup, by_store) in &stock.found {
        let known = Known { files: catalogue.files_of(backup), entry: catalogue.entry(backup) };
        let whole = || by_store.values().filter(|found| found.trouble.is_none() && has_sums(found)).filter(is_ours);
        let Some(found) = believed(whole(), &known) else { continue };
        if known.entry.is_none() && catalogue.has_room() {
            catalogue.files.extend(found.files.clone());
            let entry = Entry { local: Presence::Absent, s3: Presence::Absent, ..found.entry.clone() };
            catalogue.entries.insert(backup.clone(), entry);
        }
        let files = catalogue.files_of(backup);
        let Some(entry) = catalogue.known(backup).filter(|entry| entry.is_listed()) else { continue };
        for found in whole().filter(|found| found.files == files) {
            // As in a rebuild: a manifest that can be read undoes no damage.
            if entry.presence(found.store) != Presence::Damaged {
                entry.set_presence(found.store, Presence::Present);
            }
        }
    }
}

#[cfg(test)]
mod tests;
