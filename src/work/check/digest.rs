//! Reading files once, several at a time, and comparing their length and their sum.
//!
//! A file that cannot be read, or whose reading breaks off, is a finding about that file and does
//! not stop the others.

use std::sync::atomic::Ordering;

use super::flaw::Flaw;
use super::look::{Pace, Side};
use crate::model::catalogue::Checksum;
use crate::work::parallel;
use crate::work::sums::{self, BLOCK_BYTES, Broken, Sum};

/// A file to read.
pub(super) struct Job {
    /// Which backup it is of, by the order of the order.
    pub backup: usize,
    /// Its path inside the store.
    pub path: String,
    /// What it must be.
    pub sum: Checksum,
}

/// Compares all files and says of each whether it is right.
pub(super) fn compare_all(mut jobs: Vec<Job>, side: &Side<'_>, pace: &Pace<'_>) -> Vec<(Job, Result<(), Flaw>)> {
    // The longest first, so that no reader is left alone with one at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.sum.size));
    let compared = parallel::each(&jobs, side.readers, || {
        let mut block = vec![0; BLOCK_BYTES];
        move |job: &Job| compare(&job.path, &job.sum, side, &mut block, pace)
    });
    let broke_off = || Err(side.flaw_of_panic());
    jobs.into_iter().zip(compared.into_iter().map(|result| result.unwrap_or_else(broke_off))).collect()
}

/// Compares one file.
pub(in crate::work) fn compare(
    path: &str,
    expected: &Checksum,
    side: &Side<'_>,
    block: &mut [u8],
    pace: &Pace<'_>,
) -> Result<(), Flaw> {
    let algorithm = expected.algorithm().ok_or_else(|| Flaw::Wrong(UNKNOWN_SUM.to_owned()))?;
    let (mut reader, length) = side.store.open(path).map_err(|error| side.flaw_of(&error))?;
    if let Some(expected) = expected.size.filter(|expected| *expected != length) {
        return Err(Flaw::Wrong(format!("is {length} bytes long, not {expected}")));
    }
    let mut sum = Sum::new(algorithm);
    let poured = sums::pour(&mut reader, block, pace.stop, |bytes| {
        sum.update(bytes);
        pace.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    });
    match poured {
        Ok(()) => sums::compare(&sum.finish(), expected).map_err(Flaw::Wrong),
        Err(Broken::Stopped) => Err(Flaw::Unread("was not read before the stop".to_owned())),
        Err(Broken::Reading(error) | Broken::Writing(error)) => Err(side.flaw_of_reading(&error)),
    }
}

/// A sum of a kind that nobody can compute.
pub(super) const UNKNOWN_SUM: &str = "its recorded sum is of no known kind";
