//! The course of a check: look at both stores, mend, say what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::CheckError;
use super::look::{self, Found, Looked, Pace, Side, Wanted};
use super::mend::{self, Mender, with_cause};
use super::report::{self, Told};
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::order::{CheckOrder, ExpectedBackup, OnCorrupt, StoreName};
use crate::model::report::{CheckReport, Verdict};
use crate::ports::PortError;
use crate::ports::runner::{StorePorts, Volume};

/// What is known of one store.
pub(super) struct Half {
    /// The backups asked for, and whether each should be in it.
    pub wanted: Vec<Wanted>,
    /// What was found of them, in their order.
    pub found: Vec<Found>,
    /// The backups in it.
    pub present: Vec<BackupId>,
}

/// What a look at a store gave; `None` for a store that is not used.
type Sight = Option<Result<Looked, PortError>>;

/// Does everything on the calling thread and its helpers.
pub(super) fn compare(
    order: &CheckOrder,
    ports: &StorePorts,
    pace: &Pace<'_>,
) -> Result<(CheckReport, Vec<String>), CheckError> {
    let mut told = Told::new(ports.events.as_ref());
    let backups = backups(order);
    let (local_side, s3_side) = Side::both(ports);
    let (local_wanted, s3_wanted) = (wanted(order, &backups, StoreName::Local), wanted(order, &backups, StoreName::S3));
    let look =
        |side: Option<&Side<'_>>, wanted: &[Wanted]| side.map(|side| look::look(wanted, order.depth, side, pace));
    let (local, s3) = std::thread::scope(|scope| {
        let s3 = scope.spawn(|| look(s3_side.as_ref(), &s3_wanted));
        (look(local_side.as_ref(), &local_wanted), s3.join())
    });
    ended(pace)?;
    let (local, s3) = at_least_one(local, s3.map_err(|_| CheckError::BrokeOff)?)?;
    let mut local = half(local_wanted, local, StoreName::Local, &mut told);
    let mut s3 = half(s3_wanted, s3, StoreName::S3, &mut told);
    if order.on_corrupt == OnCorrupt::Quarantine {
        nothing_is_lost_with_a_store(&local, &s3, ports)?;
    }
    let mut repaired = 0;
    if let (true, Some(local_side), Some(s3_side)) = (order.repair, &local_side, &s3_side) {
        let mender = Mender { local: local_side, s3: s3_side, pace };
        repaired = repair(&mender, &mut local, &mut s3, &mut told);
        ended(pace)?;
    }
    let mut quarantined = 0;
    if order.on_corrupt == OnCorrupt::Quarantine {
        quarantined = quarantine(&mut local, &mut s3, ports.local.as_deref(), &mut told);
    }
    let mut report = report::make(order, &backups, &local, &s3);
    report.repaired_count = repaired;
    report.quarantined_count = quarantined;
    report.bytes = pace.read.load(Ordering::Relaxed);
    Ok((report, told.warnings()))
}

fn ended(pace: &Pace<'_>) -> Result<(), CheckError> {
    if pace.stop.is_requested() { Err(CheckError::Stopped) } else { Ok(()) }
}

/// Refuses to go on when no store could be looked at: every verdict would be a guess.
fn at_least_one(local: Sight, s3: Sight) -> Result<(Sight, Sight), CheckError> {
    match (local, s3) {
        (None, None) => Err(CheckError::NoStore),
        (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => Err(CheckError::Store(error)),
        seen => Ok(seen),
    }
}

/// Returns the backups asked about: all the catalogue's entries are of, when the order names none.
fn backups(order: &CheckOrder) -> Vec<ExpectedBackup> {
    if !order.backups.is_empty() {
        return order.backups.clone();
    }
    let ids: BTreeSet<_> = order.expected.keys().filter_map(|path| Some(BackupId::of_path(path)?.0)).collect();
    let (local, s3) = (order.stores.local.is_some(), order.stores.s3.is_some());
    ids.into_iter().map(|backup| ExpectedBackup { backup, local, s3 }).collect()
}

fn wanted(order: &CheckOrder, backups: &[ExpectedBackup], store: StoreName) -> Vec<Wanted> {
    let mut by_backup: BTreeMap<BackupId, BTreeMap<String, Checksum>> = BTreeMap::new();
    for (path, sum) in &order.expected {
        if let Some((backup, _)) = BackupId::of_path(path) {
            by_backup.entry(backup).or_default().insert(path.clone(), sum.clone());
        }
    }
    let wanted = |asked: &ExpectedBackup| Wanted {
        backup: asked.backup.clone(),
        expected: by_backup.get(&asked.backup).cloned().unwrap_or_default(),
        here: if store == StoreName::Local { asked.local } else { asked.s3 },
    };
    backups.iter().map(wanted).collect()
}

fn half(wanted: Vec<Wanted>, sight: Sight, store: StoreName, told: &mut Told<'_>) -> Half {
    let unseen = |wanted: &[Wanted]| wanted.iter().map(|_| Found::unseen()).collect();
    match sight {
        None => Half { found: unseen(&wanted), wanted, present: Vec::new() },
        Some(Ok(looked)) => {
            for note in looked.notes {
                told.note(note);
            }
            for (path, flaw) in looked.found.iter().flat_map(|found| &found.flaws).filter(|(_, flaw)| !flaw.is_damage())
            {
                told.warn(report::line(store, path, flaw));
            }
            Half { found: looked.found, wanted, present: looked.present }
        }
        Some(Err(error)) => {
            told.warn(format!("nothing is known of {}: {}", store.word(), with_cause(&error)));
            Half { found: unseen(&wanted), wanted, present: Vec::new() }
        }
    }
}

/// Fetches what is bad on the volume and good in S3; returns the number of files.
fn repair(mender: &Mender<'_>, local: &mut Half, s3: &mut Half, told: &mut Told<'_>) -> u32 {
    let mut repaired = 0;
    for (index, wanted) in local.wanted.iter().enumerate() {
        let (local, s3) = (&mut local.found[index], &mut s3.found[index]);
        let is_bad = matches!(local.verdict, Verdict::Damaged | Verdict::Missing);
        if !is_bad || !s3.verdict.is_good() || mender.pace.stop.is_requested() {
            continue;
        }
        let flaws = local.flaws.clone();
        match mender.repair(wanted, local, s3) {
            Ok(files) => {
                repaired += files;
                for (path, flaw) in &flaws {
                    told.note(format!("{}; fetched from s3", report::line(StoreName::Local, path, flaw)));
                }
            }
            Err(why) => told.warn(format!("{} was not repaired: {why}", wanted.backup)),
        }
    }
    repaired
}

/// Refuses to give anything up because a store holds no backup at all of those recorded: that is the wrong
/// volume or bucket far more often than the loss of everything in it.
fn nothing_is_lost_with_a_store(local: &Half, s3: &Half, ports: &StorePorts) -> Result<(), CheckError> {
    let lost = |index: usize| {
        let (wanted, found) = ([&local.wanted[index], &s3.wanted[index]], [&local.found[index], &s3.found[index]]);
        mend::is_lost(wanted, found)
    };
    let is_to_blame = |half: &Half| {
        let here = || half.wanted.iter().enumerate().filter(|(_, wanted)| wanted.here).map(|(index, _)| index);
        let is_empty = half.present.is_empty() && here().all(|index| half.found[index].verdict == Verdict::Missing);
        is_empty && here().any(lost)
    };
    let volume = ports.local.as_ref().filter(|_| is_to_blame(local));
    let bucket = ports.s3.as_ref().filter(|_| is_to_blame(s3));
    let places = volume.map(|volume| format!("the volume {}", volume.place()));
    let places: Vec<_> = places.into_iter().chain(bucket.map(|bucket| bucket.place())).collect();
    if places.is_empty() { Ok(()) } else { Err(CheckError::Emptied { places: places.join(" and ") }) }
}

/// Sets aside what is bad wherever it should be; returns how many backups.
fn quarantine(local: &mut Half, s3: &mut Half, volume: Option<&dyn Volume>, told: &mut Told<'_>) -> u32 {
    let mut quarantined = 0;
    for (index, wanted) in local.wanted.iter().enumerate() {
        let (local, s3, s3_wanted) = (&mut local.found[index], &mut s3.found[index], &s3.wanted[index]);
        if !mend::is_lost([wanted, s3_wanted], [local, s3]) {
            continue;
        }
        match mend::set_aside(wanted, local, volume) {
            Err(error) => told.warn(with_cause(&error)),
            Ok(what) => {
                quarantined += 1;
                for (store, wanted, found) in [(StoreName::Local, wanted, local), (StoreName::S3, s3_wanted, s3)] {
                    let flaws = found.flaws.iter().map(|(path, flaw)| report::line(store, path, flaw));
                    flaws.for_each(|line| told.warn(line));
                    found.verdict = if wanted.here { Verdict::Quarantined } else { found.verdict };
                }
                told.warn(what);
            }
        }
    }
    quarantined
}
