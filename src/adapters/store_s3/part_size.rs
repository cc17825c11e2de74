//! How large the parts of an upload are, and how many of them are held in memory.

use crate::ports::{PortError, Reason};

/// One mebibyte, the step of sizes.
const MIB: u64 = 1 << 20;

/// The smallest part that is chosen.
const LEAST: u64 = 8 * MIB;

/// The smallest part S3 takes, but for the last.
const FLOOR: u64 = 5 * MIB;

/// The largest part: it is held in memory until the server has it.
const MOST: u64 = 256 * MIB;

/// What all parts held at once should take.
const BUDGET: u64 = 40 * MIB;

/// The most parts sent at the same time.
const AT_ONCE: u64 = 3;

/// How a large file is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Bytes of every part but the last.
    pub(super) bytes: u64,
    /// How many may be on their way while the next one is filled.
    pub(super) in_flight: usize,
}

impl Parts {
    /// The parts for a file of about `expected` bytes on a server that takes at most `max_parts`.
    pub(super) fn of(expected: u64, max_parts: u32) -> Result<Self, PortError> {
        let bytes = expected.div_ceil(u64::from(max_parts.max(1))).next_multiple_of(MIB).max(LEAST);
        if bytes <= MOST {
            return Ok(Self::sized(bytes));
        }
        let what = format!(
            "{} MiB in at most {max_parts} parts would need parts of {} MiB, more than the {} MiB held in memory",
            expected.div_ceil(MIB),
            bytes / MIB,
            MOST / MIB
        );
        Err(PortError::new(Reason::Other, what)
            .with_hint("raise MARIADB_BACKUP_S3_MAX_PARTS to what the server takes, or set MARIADB_BACKUP_STORE=local"))
    }

    /// The parts of an upload begun earlier, when such a file fits into parts of that size.
    pub(super) fn of_earlier(bytes: u64, expected: u64, max_parts: u32) -> Option<Self> {
        let fits = bytes.saturating_mul(u64::from(max_parts)) >= expected;
        (fits && (FLOOR..=MOST).contains(&bytes)).then(|| Self::sized(bytes))
    }

    fn sized(bytes: u64) -> Self {
        let held = (BUDGET / bytes).clamp(1, AT_ONCE + 1);
        Self { bytes, in_flight: usize::try_from(held - 1).unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_get_the_smallest_parts_and_several_at_once() {
        assert_eq!(Parts::of(0, 10_000).unwrap(), Parts { bytes: 8 * MIB, in_flight: 3 });
        assert_eq!(Parts::of(80_000 * MIB, 10_000).unwrap(), Parts { bytes: 8 * MIB, in_flight: 3 });
    }

    #[test]
    fn a_file_always_fits_into_the_parts_the_server_takes() {
        for max_parts in [2, 100, 1_000, 10_000] {
            for expected in [1, 8 * MIB, 100 * MIB, 512 * MIB, 200_000 * MIB, 256 * MIB * u64::from(max_parts)] {
                let Ok(parts) = Parts::of(expected, max_parts) else { continue };
                assert!(parts.bytes * u64::from(max_parts) >= expected);
                assert_eq!(parts.bytes % MIB, 0);
            }
        }
        assert_eq!(Parts::of(100_000 * MIB, 1_000).unwrap().bytes, 100 * MIB);
    }

    #[test]
    fn what_is_held_stays_in_the_budget_or_is_one_part() {
        for bytes in (5..=256).map(|mib| mib * MIB) {
            let held = bytes * (1 + Parts::sized(bytes).in_flight as u64);
            assert!(held <= BUDGET || held == bytes, "{bytes}: {held}");
        }
    }

    #[test]
    fn what_cannot_be_held_is_refused_with_a_way_out() {
        use crate::model::outcome::Explain;
        let refused = Parts::of(256_001 * MIB, 1_000).unwrap_err();
        assert!(refused.to_string().contains("parts of 257 MiB"), "{refused}");
        assert!(refused.hint().unwrap().contains("MARIADB_BACKUP_S3_MAX_PARTS"));
    }

    #[test]
    fn parts_of_an_earlier_upload_serve_when_the_file_fits_into_them() {
        assert_eq!(Parts::of_earlier(8 * MIB, 80 * MIB, 10), Some(Parts { bytes: 8 * MIB, in_flight: 3 }));
        assert_eq!(Parts::of_earlier(8 * MIB, 81 * MIB, 10), None);
        assert_eq!(Parts::of_earlier(MIB, MIB, 10), None);
        assert_eq!(Parts::of_earlier(300 * MIB, MIB, 10), None);
    }
}
