//! What makes a good copy a backup: the small files, the manifest, and last the name it counts under.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::error::CopyError;
use super::preflight::CopyPlan;
use super::record::{self, Covered};
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Presence;
use crate::model::manifest::{DesyncTimes, MANIFEST_FILE, Manifest, StoredFile, ToolFile};
use crate::model::order::CopyOrder;
use crate::model::report::CopyReport;
use crate::ports::runner::{PendingBackup, RunnerPorts, Volume};
use crate::ports::{PortError, Reason};
use crate::work::blocking::blocking;
use crate::work::follow::SignedOff;

/// What a good copy leaves to be signed off.
pub(super) struct Made<'a> {
    pub order: &'a CopyOrder,
    pub plan: &'a CopyPlan,
    pub covered: Covered,
    pub desync: DesyncTimes,
    pub started: Timestamp,
    pub finished: Timestamp,
}

/// Writes the small files and the manifest, and puts the backup in its place.
///
/// Returns the report, and what a second store needs to have the same backup.
pub(super) async fn sign_off(
    made: Made<'_>,
    pending: Box<dyn PendingBackup>,
    ports: &RunnerPorts,
) -> Result<(CopyReport, SignedOff), CopyError> {
    let small_files = small_files(&made.covered);
    let stream = made.covered.passed.stored.clone();
    let (pending, stored) = write_all(pending, small_files.clone()).await.map_err(CopyError::Publish)?;
    let manifest = record::manifest(made, stored);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| {
        CopyError::Publish(PortError::new(Reason::Other, "cannot write the manifest").caused_by(error))
    })?;
    let publish = move || {
        let signed = pending.publish(MANIFEST_FILE, &text)?;
        Ok((signed, text))
    };
    let (signed, text) = blocking(publish).await.map_err(CopyError::Publish)?;
    let mut files = manifest.files.clone();
    files.insert(MANIFEST_FILE.to_owned(), signed.clone());
    let room = match ports.volume.clone() {
        Some(volume) => seal(volume, manifest.backup.clone(), files).await,
        None => None,
    };
    let report = CopyReport { room, ..report(manifest, stream.clone(), signed, ports) };
    let signed_off = SignedOff { stream, small_files, manifest: text };
    Ok((report, signed_off))
}

fn small_files(covered: &Covered) -> Vec<(String, Vec<u8>)> {
    let bytes = |file| covered.passed.contents.tool_files.get(&file).cloned().unwrap_or_default();
    ToolFile::ALL.map(|file| (file.stored_name().to_owned(), bytes(file))).to_vec()
}

async fn write_all(
    mut pending: Box<dyn PendingBackup>,
    files: Vec<(String, Vec<u8>)>,
) -> Result<(Box<dyn PendingBackup>, BTreeMap<String, StoredFile>), PortError> {
    blocking(move || {
        let mut stored = BTreeMap::new();
        for (name, bytes) in files {
            match pending.write(&name, &bytes) {
                Ok(file) => stored.insert(name, file),
                Err(error) => {
                    // The first trouble is the one to tell; what stays is swept by the next run.
                    let _left = pending.discard();
                    return Err(error);
                }
            };
        }
        Ok((pending, stored))
    })
    .await
}

fn report(manifest: Manifest, stream: StoredFile, signed: StoredFile, ports: &RunnerPorts) -> CopyReport {
    let (local, s3) = match &ports.volume {
        Some(_) => (Presence::Present, Presence::Absent),
        None => (Presence::Absent, Presence::Present),
    };
    CopyReport {
        backup: manifest.backup,
        started: manifest.started,
        finished: manifest.finished,
        stream_bytes: manifest.stream.bytes,
        stream,
        manifest: signed,
        position: manifest.origin.position,
        desync: manifest.desync,
        local,
        s3,
        full_because: manifest.full_because,
        parent: manifest.parent.map(|parent| parent.backup),
        room: None,
    }
}

/// Remembers that the files were right as they were written, and looks how much room is left.
///
/// Neither is worth failing for: without a seal the backup is read once more.
async fn seal(volume: Arc<dyn Volume>, backup: BackupId, files: BTreeMap<String, StoredFile>) -> Option<(u64, u64)> {
    let look = move || {
        // What a check compares with: the mark of a file and the sum it was recorded with.
        let mark = |(name, stored): (String, StoredFile)| {
            let path = format!("{}/{name}", backup.directory());
            let mark = format!("{} {}", volume.facts(&path)?.mark, stored.sha256);
            Ok((path, mark))
        };
        let marks: Result<BTreeMap<_, _>, PortError> = files.into_iter().map(mark).collect();
        if let Err(error) = marks.and_then(|marks| volume.seal(&backup, &marks)) {
            tracing::warn!(%error, "the fresh backup is not sealed");
        }
        volume.room()
    };
    blocking(look).await.ok()
}
