//! When the volume will be full, if backups go on as they did.
//!
//! Below the number of full backups to keep, every chain that is made comes on top. From there on each
//! one replaces one, so that only their growth counts; and the new one is whole before the old one
//! goes, so room for one more is always needed.

use std::collections::BTreeMap;

use super::backup_id::BackupName;
use super::catalogue::{Catalogue, Presence};

const DAY_SECONDS: u128 = 86_400;

/// The shortest time over which a rate is told.
const HALF_A_DAY: u128 = DAY_SECONDS / 2;

/// When the volume will be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UntilFull {
    /// It is: the next backup finds no room.
    Now,
    /// After so many days.
    Days(u64),
    /// Never, at the present rate.
    Never,
}

/// Tells when the next backup will find no room; `None` where there is too little to tell it by.
#[must_use]
pub fn until_full(catalogue: &Catalogue, keep: u32) -> Option<UntilFull> {
    let free = u128::from(catalogue.room?.free_bytes);
    let chains = chains(catalogue)?;
    let seconds = chains.last_key_value()?.0.time().duration_since(chains.first_key_value()?.0.time()).as_secs();
    let gaps = u128::try_from(chains.len()).ok()?.checked_sub(1).filter(|gaps| *gaps > 0)?;
    // Of backups that somebody tries out within minutes no rate can be told.
    let interval = u128::try_from(seconds).ok().filter(|seconds| *seconds >= HALF_A_DAY)? / gaps;
    // The newest chain may still get increments.
    let whole: Vec<u128> = chains.values().take(chains.len() - 1).copied().collect();
    let mean = whole.iter().sum::<u128>() / gaps;
    if free < mean {
        return Some(UntilFull::Now);
    }
    let keep = u128::from(keep.max(1));
    let to_come = (keep + 1).saturating_sub(gaps + 1);
    if to_come > 1 {
        let is_enough = to_come * mean <= free;
        return Some(if is_enough { UntilFull::Never } else { days(free, mean, interval) });
    }
    let growth = whole.last()?.saturating_sub(*whole.first()?) * keep / gaps;
    Some(if growth == 0 { UntilFull::Never } else { days(free - mean, growth, interval) })
}

fn days(free: u128, per_interval: u128, interval: u128) -> UntilFull {
    let intervals = free.checked_div(per_interval).unwrap_or(u128::MAX);
    UntilFull::Days(u64::try_from(intervals.saturating_mul(interval) / DAY_SECONDS).unwrap_or(u64::MAX))
}

/// Bytes of each chain on the volume, by the name of its full backup; `None` where a size is not known.
fn chains(catalogue: &Catalogue) -> Option<BTreeMap<BackupName, u128>> {
    let mut chains: BTreeMap<BackupName, u128> = BTreeMap::new();
    for id in catalogue.listed() {
        if catalogue.entry(&id).is_some_and(|entry| entry.local == Presence::Present) {
            let full = id.base().unwrap_or_else(|| id.name()).clone();
            *chains.entry(full).or_default() += u128::from(catalogue.size_of(&id)?);
        }
    }
    Some(chains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::backup_id::BackupId;
    use crate::model::catalogue::{Checksum, Entry, RoomSeen};

    /// A full backup of that many bytes each day, and that much room.
    fn daily(sizes: &[u64], free_bytes: u64) -> Catalogue {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let room = RoomSeen { free_bytes, total_bytes: 1 << 40, at };
        let mut catalogue = Catalogue { room: Some(room), ..Catalogue::default() };
        for (day, size) in (1..).zip(sizes) {
            let id: BackupId = format!("base/2026-01-{day:02}_00-00-00").parse().unwrap();
            let sum = Checksum { checksum: "aa".to_owned(), algorithm: None, size: Some(*size) };
            catalogue.files.insert(format!("{}/backup.mbstream.zst", id.directory()), sum);
            catalogue.entries.insert(id, Entry::default());
        }
        catalogue
    }

    #[test]
    fn until_retention_begins_every_backup_comes_on_top() {
        assert_eq!(until_full(&daily(&[100, 100], 450), 10), Some(UntilFull::Days(4)));
        assert_eq!(until_full(&daily(&[100, 100], 900), 10), Some(UntilFull::Never));
        assert_eq!(until_full(&daily(&[100, 100], 99), 10), Some(UntilFull::Now));
    }

    #[test]
    fn under_retention_only_growth_counts_and_one_more_must_fit() {
        assert_eq!(until_full(&daily(&[100, 100, 100], 150), 3), Some(UntilFull::Never));
        assert_eq!(until_full(&daily(&[100, 100, 100], 99), 3), Some(UntilFull::Now));
        // Each is 10 larger than the one before, so that three kept ones grow by 15 a day on average.
        assert_eq!(until_full(&daily(&[100, 110, 120], 255), 3), Some(UntilFull::Days(10)));
    }

    #[test]
    fn of_one_backup_nobody_can_tell() {
        assert_eq!(until_full(&daily(&[100], 1), 10), None);
        assert_eq!(until_full(&daily(&[], 1), 10), None);
        let mut minutes = daily(&[100], 1);
        let again: BackupId = "base/2026-01-01_00-05-00".parse().unwrap();
        let sum = Checksum { checksum: "aa".to_owned(), algorithm: None, size: Some(100) };
        minutes.files.insert(format!("{}/backup.mbstream.zst", again.directory()), sum);
        minutes.entries.insert(again, Entry::default());
        assert_eq!(until_full(&minutes, 10), None);
        assert_eq!(until_full(&Catalogue { room: None, ..daily(&[100, 100], 1) }, 10), None);
    }
}
