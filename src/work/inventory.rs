//! Taking stock: every backup in the stores, as their own manifests tell.
//!
//! No large file is read. A backup whose manifest cannot be read is told with its trouble, because it
//! takes room and somebody will look for it. Backups of the original have no manifest: their files
//! are told with their lengths and without sums.

use std::collections::BTreeMap;

use super::check::flaw::Flaw;
use super::check::look::{MANIFEST_READERS, Side};
use super::manifest_file::{self, ManifestFile, Unreadable};
use super::parallel;
use super::stop::Stop;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Checksum, Entry, Presence};
use crate::model::event::{EventKind, Phase};
use crate::model::manifest::{MANIFEST_FILE, Manifest, STREAM_FILE};
use crate::model::order::{InventoryOrder, StoreName};
use crate::model::outcome::{Failure, Outcome, in_full};
use crate::model::report::{FoundBackup, InventoryReport};
use crate::ports::runner::StorePorts;
use crate::ports::{PortError, Reason};

/// Looks into the stores, tells every backup by an event, and says how many there are.
///
/// A store that cannot be reached is named in a warning; it fails only when there is no other.
pub async fn run(order: &InventoryOrder, ports: &StorePorts, stop: Stop) -> Outcome<InventoryReport> {
    ports.events.send(Phase::Store, EventKind::Started);
    let (in_thread, only) = (ports.clone(), order.only.clone());
    let taken = tokio::task::spawn_blocking(move || take(only.as_ref(), &in_thread, &stop)).await;
    let broke_off = || {
        Failure::new(ExitCode::FailedInCluster, "a thread that looks into the stores ended by a fault of this program")
    };
    match taken.unwrap_or_else(|_| Err(broke_off())) {
        Ok((report, warnings)) => {
            ports.events.send(Phase::Store, EventKind::Finished);
            Outcome::done(report, warnings)
        }
        Err(failure) => {
            ports.events.send(Phase::Store, EventKind::Failed { message: failure.message.clone() });
            Outcome::failed(failure, Vec::new())
        }
    }
}

/// What stands for a mark that cannot be read: no cluster has it.
const UNREADABLE: &str = "unreadable";

fn take(only: Option<&BackupId>, ports: &StorePorts, stop: &Stop) -> Result<(InventoryReport, Vec<String>), Failure> {
    let (local, s3) = Side::both(ports);
    let (mut report, mut warnings, mut first_failure) = (InventoryReport::default(), Vec::new(), None);
    for (side, count) in [(local, &mut report.local_count), (s3, &mut report.s3_count)] {
        let Some(side) = side else { continue };
        match tell(only, &side, ports, stop) {
            Ok(told) => *count = Some(told),
            Err(error) => {
                let message = format!("nothing is known of {}: {}", side.name.word(), in_full(&error));
                ports.events.send(Phase::Store, EventKind::Warned { message: message.clone() });
                warnings.push(message);
                first_failure.get_or_insert(error);
            }
        }
    }
    if stop.is_requested() {
        return Err(Failure::new(ExitCode::FailedInCluster, "stopped before every backup was looked at"));
    }
    if report.local_count.is_none() && report.s3_count.is_none() {
        return Err(first_failure.map_or_else(
            || Failure::new(ExitCode::Usage, "the order names no store"),
            |error| Failure { code: code_of(&error), ..Failure::of(&error) },
        ));
    }
    match ports.s3.as_ref().filter(|_| report.s3_count.is_some()).map(|bucket| bucket.mark()) {
        Some(Ok(mark)) => report.s3_mark = mark,
        // Whose place it is cannot be told, so it is nobody's to take over.
        Some(Err(error)) => {
            warnings.push(in_full(&error));
            report.s3_mark = Some(UNREADABLE.to_owned());
        }
        None => {}
    }
    match ports.local.as_ref().map(|volume| volume.room()) {
        Some(Ok(room)) => report.room = Some(room),
        Some(Err(error)) if report.local_count.is_some() => warnings.push(in_full(&error)),
        Some(Err(_)) | None => {}
    }
    Ok((report, warnings))
}

fn code_of(error: &PortError) -> ExitCode {
    match error.reason {
        Reason::Missing => ExitCode::NotFound,
        Reason::Credentials => ExitCode::Credentials,
        _ => ExitCode::FailedInCluster,
    }
}

/// Tells the backups of one store that are asked for, and returns their number.
fn tell(only: Option<&BackupId>, side: &Side<'_>, ports: &StorePorts, stop: &Stop) -> Result<u32, PortError> {
    let mut backups = side.store.backups()?;
    backups.retain(|backup| only.is_none_or(|wanted| wanted == backup));
    let found = parallel::each(&backups, MANIFEST_READERS, || {
        |backup: &BackupId| (!stop.is_requested()).then(|| look_at(backup, only.is_some(), side))
    });
    let mut told = 0;
    for (backup, found) in backups.iter().zip(found) {
        let found = match found {
            Some(Some(found)) => found,
            Some(None) => break,
            None => of_files(
                backup,
                side,
                BTreeMap::new(),
                Some("looking at it ended by a fault of this program".to_owned()),
            ),
        };
        ports.events.send(Phase::Store, EventKind::Found { found: Box::new(found) });
        told += 1;
    }
    Ok(told)
}

/// Looks at one backup; all that its manifest says is only told of one that was asked for.
fn look_at(backup: &BackupId, is_asked_for: bool, side: &Side<'_>) -> FoundBackup {
    let in_trouble = |what: String| of_files(backup, side, BTreeMap::new(), Some(what));
    let names = match side.store.files(backup) {
        Ok(names) => names,
        Err(error) => return in_trouble(in_full(&error)),
    };
    if !names.iter().any(|name| name == MANIFEST_FILE) {
        let (files, trouble) = originals_files(backup, &names, side);
        return of_files(backup, side, files, trouble);
    }
    let file = match manifest_file::read(backup, side.store) {
        Ok(file) => file,
        Err(Unreadable::Port(error)) => return in_trouble(of_file(MANIFEST_FILE, &side.flaw_of(&error))),
        Err(Unreadable::Reading(error)) => return in_trouble(of_file(MANIFEST_FILE, &side.flaw_of_reading(&error))),
        Err(Unreadable::Wrong(what)) => return in_trouble(of_file(MANIFEST_FILE, &Flaw::Wrong(what))),
    };
    match file.parse(backup) {
        Ok(mut manifest) => {
            let found = of_manifest(backup, side, &file, &manifest, &names);
            // The members are as many as the tables, which no report is for.
            manifest.stream.members.clear();
            FoundBackup { manifest: is_asked_for.then(|| Box::new(manifest)), ..found }
        }
        Err(what) => in_trouble(of_file(MANIFEST_FILE, &Flaw::Wrong(what))),
    }
}

fn of_file(name: &str, flaw: &Flaw) -> String {
    format!("{name} {}", flaw.sentence())
}

fn of_manifest(
    backup: &BackupId,
    side: &Side<'_>,
    file: &ManifestFile,
    manifest: &Manifest,
    names: &[String],
) -> FoundBackup {
    let path = |name: &str| format!("{}/{name}", backup.directory());
    let mut files = BTreeMap::from([(path(MANIFEST_FILE), Checksum::of(&file.stored))]);
    let mut trouble =
        manifest.files.keys().find(|name| !names.contains(name)).map(|name| of_file(name, &Flaw::Missing));
    if let Some(stream) = manifest.files.get(STREAM_FILE) {
        files.insert(path(STREAM_FILE), Checksum::of(stream));
        match side.store.facts(&path(STREAM_FILE)) {
            Ok(facts) if facts.size != stream.size => {
                trouble = Some(format!("{STREAM_FILE} is {} bytes long, not {}", facts.size, stream.size));
            }
            Ok(_) => {}
            Err(error) => trouble = Some(of_file(STREAM_FILE, &side.flaw_of(&error))),
        }
    } else {
        trouble = Some(format!("{MANIFEST_FILE} lists no {STREAM_FILE}"));
    }
    let seconds = manifest.finished.duration_since(manifest.started).as_secs();
    let mut found = of_files(backup, side, files, trouble);
    found.cluster = Some(format!("{}/{}", manifest.source.namespace, manifest.source.statefulset));
    found.entry.duration_secs = u64::try_from(seconds).ok();
    found.entry.finished = Some(manifest.finished);
    found.entry.position = Some(manifest.origin.position.clone());
    found.entry.stream_bytes = Some(manifest.stream.bytes);
    found.entry.parent = manifest.parent.as_ref().map(|parent| parent.backup.name().clone());
    found
}

/// Returns the original's files with their lengths, and what is wrong with one.
fn originals_files(
    backup: &BackupId,
    names: &[String],
    side: &Side<'_>,
) -> (BTreeMap<String, Checksum>, Option<String>) {
    let (mut files, mut trouble) = (BTreeMap::new(), None);
    for name in names {
        let path = format!("{}/{name}", backup.directory());
        match side.store.facts(&path) {
            Ok(facts) => {
                let sum = Checksum { checksum: String::new(), algorithm: None, size: Some(facts.size) };
                files.insert(path, sum);
            }
            Err(error) => trouble = Some(of_file(name, &side.flaw_of(&error))),
        }
    }
    (files, trouble)
}

fn of_files(
    backup: &BackupId,
    side: &Side<'_>,
    files: BTreeMap<String, Checksum>,
    trouble: Option<String>,
) -> FoundBackup {
    let (local, s3) = match side.name {
        StoreName::Local => (Presence::Present, Presence::Absent),
        StoreName::S3 => (Presence::Absent, Presence::Present),
    };
    let entry = Entry { local, s3, ..Entry::default() };
    FoundBackup { store: side.name, backup: backup.clone(), files, entry, trouble, cluster: None, manifest: None }
}

#[cfg(test)]
mod tests;
