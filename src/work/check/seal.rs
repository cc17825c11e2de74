//! Seals: what spares a backup on a volume from being read again.
//!
//! A seal holds, per file, the mark it had when its every byte was found right, and the sum it was
//! found to have: a file that changed breaks it, and so does a catalogue that wants another sum.

use std::collections::BTreeMap;

use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::ports::PortError;
use crate::ports::runner::{FileFacts, Volume};

/// What a seal says.
type Marks = BTreeMap<String, String>;

/// Whether a backup's files are those that were last read and found right.
pub(super) fn holds(
    backup: &BackupId,
    files: &BTreeMap<String, Checksum>,
    facts: &BTreeMap<String, FileFacts>,
    volume: &dyn Volume,
) -> bool {
    // One that cannot be read proves nothing, and costs one reading.
    let sealed = volume.sealed(backup).unwrap_or(None);
    sealed.is_some_and(|sealed| marks(files, facts).is_some_and(|marks| marks == sealed))
}

/// Seals a backup whose every byte was read and right, unless a file changed meanwhile.
pub(super) fn renew(
    backup: &BackupId,
    files: &BTreeMap<String, Checksum>,
    before: &BTreeMap<String, FileFacts>,
    volume: &dyn Volume,
) -> Result<(), PortError> {
    let after = files.keys().map(|path| Ok((path.clone(), volume.facts(path)?))).collect::<Result<_, PortError>>()?;
    match (marks(files, before), marks(files, &after)) {
        (Some(before), Some(after)) if before == after => volume.seal(backup, &after),
        _ => Ok(()),
    }
}

/// Returns a mark for every file; `None` when one has none.
fn marks(files: &BTreeMap<String, Checksum>, facts: &BTreeMap<String, FileFacts>) -> Option<Marks> {
    let mark = |(path, sum): (&String, &Checksum)| {
        let facts = facts.get(path)?;
        Some((path.clone(), format!("{} {}", facts.mark, sum.checksum)))
    };
    files.iter().map(mark).collect()
}
