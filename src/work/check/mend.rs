//! What is done about a damaged backup: fetched from S3 where it is good there, or set aside.
//!
//! Only the files that are bad are fetched, each hashed on its way and put in its place only when it
//! is right; the manifest comes last. Nothing is ever written to S3 here.

use std::io::Write;
use std::sync::atomic::Ordering;

use super::digest::{self, UNKNOWN_SUM};
use super::flaw::{Flaw, Flaws};
use super::look::{Found, Pace, Side, Wanted};
use crate::model::catalogue::Checksum;
use crate::model::manifest::MANIFEST_FILE;
use crate::model::report::Verdict;
use crate::ports::PortError;
use crate::ports::runner::Volume;
use crate::work::sums::{self, BLOCK_BYTES, Broken, Sum};

/// Why a file was not fetched.
enum NotFetched {
    /// What S3 holds is not right either.
    Flaw(Flaw),
    /// It could not be done; a sentence about the file.
    Trouble(String),
}

/// The two stores a repair needs.
pub(super) struct Mender<'a> {
    /// The volume.
    pub local: &'a Side<'a>,
    /// The bucket.
    pub s3: &'a Side<'a>,
    /// How far it is.
    pub pace: &'a Pace<'a>,
}

impl Mender<'_> {
    /// Fetches what is bad of one backup, and returns how many files were fetched.
    ///
    /// # Errors
    /// A sentence about why the backup stays as it is. When S3's copy proved bad, its verdict says so.
    pub(super) fn repair(&self, wanted: &Wanted, local: &mut Found, s3: &mut Found) -> Result<u32, String> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut fetched = 0;
        for path in in_order(s3) {
            let sum = s3.files[&path].clone();
            if self.is_right_already(&path, &sum, local, &mut block) {
                continue;
            }
            match self.fetch(&path, &sum, &mut block) {
                Ok(()) => fetched += 1,
                Err(NotFetched::Flaw(flaw)) => {
                    let what = format!("{path}: {} in s3 either", flaw.sentence());
                    s3.verdict = if flaw.is_damage() { Verdict::Damaged } else { Verdict::Unseen };
                    s3.flaws.insert(path, flaw);
                    return Err(what);
                }
                Err(NotFetched::Trouble(what)) => return Err(format!("{path}: {what}")),
            }
        }
        let directory = wanted.backup.directory();
        let is_left = |path: &String| *path != directory && !s3.files.contains_key(path);
        if let Some((path, flaw)) = local.flaws.iter().find(|(path, _)| is_left(path)) {
            return Err(format!("{path}: {}", flaw.sentence()));
        }
        local.verdict = Verdict::Repaired;
        local.flaws = Flaws::new();
        local.files.clone_from(&s3.files);
        Ok(fetched)
    }

    /// Whether a file on the volume needs no fetching. One that the volume's own manifest could not
    /// vouch for, because it is damaged itself, was not looked at yet.
    fn is_right_already(&self, path: &str, sum: &Checksum, local: &Found, block: &mut [u8]) -> bool {
        if local.verdict == Verdict::Missing || local.flaws.contains_key(path) {
            return false;
        }
        if local.files.contains_key(path) {
            return true;
        }
        digest::compare(path, sum, self.local, block, self.pace).is_ok()
    }

    fn fetch(&self, path: &str, expected: &Checksum, block: &mut [u8]) -> Result<(), NotFetched> {
        let wrong = |what: String| NotFetched::Flaw(Flaw::Wrong(what));
        let trouble = |error: &PortError| NotFetched::Trouble(with_cause(error));
        let algorithm = expected.algorithm().ok_or_else(|| wrong(UNKNOWN_SUM.to_owned()))?;
        let (mut reader, size) = self.s3.store.open(path).map_err(|error| NotFetched::Flaw(self.s3.flaw_of(&error)))?;
        if let Some(expected) = expected.size.filter(|expected| *expected != size) {
            return Err(wrong(format!("is {size} bytes long, not {expected}")));
        }
        self.pace.total.fetch_add(size, Ordering::Relaxed);
        let Some(volume) = self.local.volume else {
            return Err(NotFetched::Trouble("has no volume to go to".to_owned()));
        };
        let mut replacement = volume.replace(path).map_err(|error| trouble(&error))?;
        let mut sum = Sum::new(algorithm);
        let poured = sums::pour(&mut reader, block, self.pace.stop, |bytes| {
            sum.update(bytes);
            self.pace.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            replacement.write_all(bytes)
        });
        poured.map_err(|broken| match broken {
            Broken::Stopped => NotFetched::Trouble("was not fetched before the stop".to_owned()),
            Broken::Reading(error) => NotFetched::Flaw(self.s3.flaw_of_reading(&error)),
            Broken::Writing(error) => NotFetched::Trouble(format!("cannot be written: {error}")),
        })?;
        sums::compare(&sum.finish(), expected).map_err(wrong)?;
        replacement.put().map_err(|error| trouble(&error))
    }
}

/// Returns the files of a good copy, its manifest last.
fn in_order(copy: &Found) -> Vec<String> {
    let is_manifest = |path: &String| path.rsplit_once('/').is_some_and(|(_, name)| name == MANIFEST_FILE);
    let (last, mut first): (Vec<String>, Vec<String>) = copy.files.keys().cloned().partition(is_manifest);
    first.extend(last);
    first
}

/// Whether a backup is bad in every store it should be in, all of which were looked at.
pub(super) fn is_lost(wanted: [&Wanted; 2], found: [&Found; 2]) -> bool {
    let bad = |verdict| matches!(verdict, Verdict::Damaged | Verdict::Missing);
    let mut there =
        wanted.iter().zip(found).filter(|(wanted, _)| wanted.here).map(|(_, found)| found.verdict).peekable();
    there.peek().is_some() && there.all(bad)
}

/// Sets a lost backup aside where the volume has something of it, and says what became of it.
pub(super) fn set_aside(wanted: &Wanted, local: &Found, volume: Option<&dyn Volume>) -> Result<String, PortError> {
    match volume.filter(|_| local.verdict == Verdict::Damaged) {
        Some(volume) => Ok(format!("{} was set aside to {}", wanted.backup, volume.set_aside(&wanted.backup)?)),
        None => Ok(format!("{} does not count any more", wanted.backup)),
    }
}

/// Says an error and what caused it in one line.
pub(super) fn with_cause(error: &PortError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
