//! What the stores hold, beside what the catalogue says: pure.

use std::collections::BTreeSet;

use super::shape::{Backup, BackupList};
use crate::adapters::kubernetes::finder::Place;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Entry, Presence};
use crate::model::order::StoreName;
use crate::model::report::{FoundBackup, InventoryReport};

/// The stores' own listing, and where it is not what the catalogue says.
pub(super) struct Live {
    pub(super) list: BackupList,
    pub(super) differences: Vec<String>,
    /// Whether a store has a backup that the catalogue does not know.
    pub(super) has_unlisted: bool,
}

/// Compares what was found with the catalogue.
pub(super) fn list(catalogue: &Catalogue, told: &InventoryReport, found: &[FoundBackup], place: &Place) -> Live {
    let known: BTreeSet<BackupId> = catalogue.listed().into_iter().collect();
    let mut all: Vec<&BackupId> = known.iter().chain(found.iter().map(|one| &one.backup)).collect();
    all.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
    all.dedup();
    let list = BackupList::of(&Catalogue::default(), place);
    let mut live = Live { list, differences: untold(told, found), has_unlisted: false };
    for id in all {
        // One on its way out is still found until it is gone.
        if !known.contains(id) && catalogue.entries.contains_key(id) {
            continue;
        }
        let is_known = known.contains(id);
        let sights = [StoreName::Local, StoreName::S3].map(|store| sight(store, id, told, found));
        live.has_unlisted |= !is_known && sights.iter().any(Sight::is_whole);
        live.differences.extend(differences(id, &sights, catalogue.entry(id).as_ref(), is_known));
        live.list.items.push(item(id, &sights, catalogue, is_known, place));
    }
    live
}

/// What one store shows of a backup.
enum Sight<'a> {
    /// The store was not looked at.
    Unseen,
    Nothing,
    Found(&'a FoundBackup),
}

impl Sight<'_> {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Found(found) if found.trouble.is_none())
    }
}

fn sight<'a>(store: StoreName, id: &BackupId, told: &InventoryReport, found: &'a [FoundBackup]) -> Sight<'a> {
    match found.iter().find(|one| one.store == store && one.backup == *id) {
        Some(one) => Sight::Found(one),
        // What was lost on the way must not look like a backup that is lost.
        None if counts(store, told, found).is_some_and(|(told, seen)| told <= seen) => Sight::Nothing,
        None => Sight::Unseen,
    }
}

/// How many backups a store was told to have, and how many of them reached us.
fn counts(store: StoreName, told: &InventoryReport, found: &[FoundBackup]) -> Option<(usize, usize)> {
    let count = match store {
        StoreName::Local => told.local_count,
        StoreName::S3 => told.s3_count,
    };
    let seen = found.iter().filter(|one| one.store == store).count();
    Some((usize::try_from(count?).ok()?, seen))
}

fn untold(told: &InventoryReport, found: &[FoundBackup]) -> Vec<String> {
    let lost = |store: StoreName| {
        let (told, seen) = counts(store, told, found).filter(|(told, seen)| told > seen)?;
        Some(format!("{told} backups are in {}, but only {seen} of them were told; try again", store.word()))
    };
    [StoreName::Local, StoreName::S3].into_iter().filter_map(lost).collect()
}

fn differences(id: &BackupId, sights: &[Sight<'_>; 2], entry: Option<&Entry>, is_known: bool) -> Vec<String> {
    let recorded =
        |store: StoreName| entry.filter(|_| is_known).map_or(Presence::Absent, |entry| entry.presence(store));
    let is_whole_or_damaged = |store| matches!(recorded(store), Presence::Present | Presence::Damaged);
    // One that was set aside lies where nobody looks for backups.
    let is_set_aside = entry.is_some_and(|entry| entry.quarantined.is_some());
    let mut said = vec![];
    for (store, sight) in [StoreName::Local, StoreName::S3].into_iter().zip(sights) {
        let name = format!("backup/{}", id.name());
        match sight {
            Sight::Found(FoundBackup { trouble: Some(trouble), .. }) => {
                said.push(format!("{name} in {}: {trouble}", store.word()));
            }
            Sight::Found(_) if !is_known => {
                said.push(format!("{name} is in {} but not in the catalogue", store.word()));
            }
            Sight::Nothing if is_whole_or_damaged(store) && !is_set_aside => {
                said.push(format!("{name} is in the catalogue but not in {}", store.word()));
            }
            Sight::Found(_) | Sight::Nothing | Sight::Unseen => {}
        }
    }
    said
}

fn item(id: &BackupId, sights: &[Sight<'_>; 2], catalogue: &Catalogue, is_known: bool, place: &Place) -> Backup {
    let found = sights.iter().find_map(|sight| match sight {
        Sight::Found(found) => Some(*found),
        Sight::Nothing | Sight::Unseen => None,
    });
    let recorded = catalogue.entry(id).filter(|_| is_known);
    let mut entry = recorded.or(found.map(|found| found.entry.clone())).unwrap_or_default();
    let told_size = || found.and_then(|found| found.files.values().map(|sum| sum.size).sum());
    let size = if is_known { catalogue.size_of(id) } else { told_size() };
    for (store, sight) in [StoreName::Local, StoreName::S3].into_iter().zip(sights) {
        let recorded = if is_known { entry.presence(store) } else { Presence::Absent };
        let is_there = if entry.quarantined.is_some() { recorded } else { presence(sight, recorded, store) };
        entry.set_presence(store, is_there);
    }
    let trouble = sights.iter().filter_map(|sight| match sight {
        Sight::Found(found) => found.trouble.clone(),
        Sight::Nothing | Sight::Unseen => None,
    });
    let backup = Backup::new(id, size, entry, place).with_trouble(trouble.collect());
    if is_known { backup } else { backup.unlisted() }
}

fn presence(sight: &Sight<'_>, recorded: Presence, store: StoreName) -> Presence {
    match sight {
        Sight::Unseen => recorded,
        Sight::Nothing if matches!(recorded, Presence::Present | Presence::Damaged | Presence::Missing) => {
            Presence::Missing
        }
        // Unfinished work is no backup that could be found.
        Sight::Nothing if recorded == Presence::Unfinished => Presence::Unfinished,
        Sight::Nothing => Presence::Absent,
        Sight::Found(found) => match (&found.trouble, found.entry.presence(store)) {
            (_, Presence::Unfinished) => Presence::Unfinished,
            (Some(_), _) => Presence::Damaged,
            (None, _) => Presence::Present,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Checksum;
    use crate::plugin::list::shape::{Columns, table};

    fn place() -> Place {
        Place::new("db", "mariadb-server")
    }

    fn text(live: &Live, now: &str, with_headers: bool) -> String {
        table(&live.list.items, now.parse().unwrap(), Columns::default()).text(with_headers)
    }

    fn id(name: &str) -> BackupId {
        format!("base/{name}").parse().unwrap()
    }

    fn found(store: StoreName, name: &str, trouble: Option<&str>) -> FoundBackup {
        let sum = Checksum { checksum: "aa".to_owned(), algorithm: None, size: Some(5) };
        FoundBackup {
            store,
            backup: id(name),
            files: [(format!("base/{name}/backup.mbstream.zst"), sum)].into(),
            entry: Entry::default(),
            trouble: trouble.map(str::to_owned),
            cluster: None,
            manifest: None,
        }
    }

    fn catalogue(names: &[(&str, Presence, Presence)]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (name, local, s3) in names {
            catalogue.files.extend(found(StoreName::Local, name, None).files);
            catalogue.entries.insert(id(name), Entry { local: *local, s3: *s3, ..Entry::default() });
        }
        catalogue
    }

    #[test]
    fn what_a_store_has_lost_or_nobody_knows_is_told() {
        use Presence::{Absent, Present};
        let catalogue = catalogue(&[
            ("2026-01-01_00-00-00", Present, Present),
            ("2026-01-02_00-00-00", Present, Absent),
            ("2026-01-03_00-00-00", Present, Absent),
        ]);
        let told = InventoryReport { local_count: Some(3), s3_count: Some(1), s3_mark: None, room: None };
        let found = [
            found(StoreName::Local, "2026-01-01_00-00-00", None),
            found(StoreName::Local, "2026-01-03_00-00-00", Some("manifest.json cannot be read")),
            found(StoreName::Local, "2026-01-04_00-00-00", None),
            found(StoreName::S3, "2026-01-04_00-00-00", None),
        ];
        let live = list(&catalogue, &told, &found, &place());
        insta::assert_snapshot!(text(&live, "2026-01-05T00:00:00Z", true), @r"
        NAME                  TYPE   SIZE   LOCAL     S3        VERIFIED   AGE
        2026-01-01_00-00-00   full   5B     yes       missing   <none>     4d
        2026-01-02_00-00-00   full   5B     missing   <none>    <none>     3d
        2026-01-03_00-00-00   full   5B     damaged   <none>    <none>     2d
        2026-01-04_00-00-00   full   5B     yes       yes       <none>     24h
        ");
        assert!(live.has_unlisted, "what is whole in a store can be entered");
        insta::assert_snapshot!(live.differences.join("\n"), @r"
        backup/2026-01-01_00-00-00 is in the catalogue but not in s3
        backup/2026-01-02_00-00-00 is in the catalogue but not in local
        backup/2026-01-03_00-00-00 in local: manifest.json cannot be read
        backup/2026-01-04_00-00-00 is in local but not in the catalogue
        backup/2026-01-04_00-00-00 is in s3 but not in the catalogue
        ");
    }

    #[test]
    fn what_is_unfinished_or_set_aside_is_not_looked_for() {
        let name = "2026-01-01_00-00-00";
        let mut catalogue = catalogue(&[(name, Presence::Damaged, Presence::Unfinished)]);
        let told = InventoryReport { local_count: Some(0), s3_count: Some(0), s3_mark: None, room: None };
        let shown = |catalogue: &Catalogue| {
            let live = list(catalogue, &told, &[], &place());
            let shown = text(&live, "2026-01-01T01:00:00Z", false);
            (live.differences, shown)
        };
        insta::assert_snapshot!(shown(&catalogue).1, @r"
        2026-01-01_00-00-00   full   5B    missing   unfinished   <none>   60m
        ");
        catalogue.entries.get_mut(&id(name)).unwrap().quarantined = Some("2026-01-01T00:30:00Z".parse().unwrap());
        let (differences, line) = shown(&catalogue);
        insta::assert_snapshot!(line, @r"
        2026-01-01_00-00-00   full   5B    quarantined   quarantined   <none>   60m
        ");
        assert_eq!(differences, [""; 0]);
    }

    #[test]
    fn what_was_not_told_is_not_called_missing() {
        let catalogue = catalogue(&[("2026-01-01_00-00-00", Presence::Present, Presence::Absent)]);
        let told = InventoryReport { local_count: Some(1), s3_count: None, s3_mark: None, room: None };
        let live = list(&catalogue, &told, &[], &place());
        assert_eq!(live.differences, ["1 backups are in local, but only 0 of them were told; try again"]);
    }

    #[test]
    fn a_store_that_was_not_looked_at_is_shown_as_recorded_and_a_tombstone_not_at_all() {
        let mut catalogue = catalogue(&[("2026-01-01_00-00-00", Presence::Present, Presence::Present)]);
        let told = InventoryReport { local_count: None, s3_count: Some(1), s3_mark: None, room: None };
        let one = [found(StoreName::S3, "2026-01-01_00-00-00", None)];
        assert_eq!(list(&catalogue, &told, &one, &place()).differences, [""; 0]);
        catalogue.entries.get_mut(&id("2026-01-01_00-00-00")).unwrap().removing =
            Some("2026-01-02T00:00:00Z".parse().unwrap());
        let live = list(&catalogue, &told, &one, &place());
        assert_eq!((live.list.items.len(), live.differences.len()), (0, 0));
    }
}
