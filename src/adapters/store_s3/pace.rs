//! The limit on bytes sent a second.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The most bytes sent at once.
const LARGEST_PIECE: usize = 64 << 10;

/// Hands out moments to send, so that on the average no more leaves than the limit allows.
pub(super) struct Pace {
    bytes_per_sec: u64,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Makes one; 0 is no limit.
    pub(super) fn new(bytes_per_sec: u64) -> Self {
        Self { bytes_per_sec, next: Mutex::new(None) }
    }

    /// How many bytes to send at once, so that something moves several times a second.
    pub(super) fn piece_bytes(&self) -> usize {
        match self.bytes_per_sec {
            0 => LARGEST_PIECE,
            limit => usize::try_from(limit / 8).unwrap_or(LARGEST_PIECE).clamp(1, LARGEST_PIECE),
        }
    }

    /// Reserves the next stretch of time and returns how long it is until that begins.
    pub(super) fn reserve(&self, bytes: u64, now: Instant) -> Duration {
        if self.bytes_per_sec == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_sec);
        let lasts = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let begins = next.map_or(now, |next| next.max(now));
        *next = begins.checked_add(lasts);
        begins - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_follow_each_other_and_idle_time_is_not_saved_up() {
        let (pace, start) = (Pace::new(1000), Instant::now());
        assert_eq!(pace.reserve(500, start), Duration::ZERO);
        assert_eq!(pace.reserve(1000, start), Duration::from_millis(500));
        assert_eq!(pace.reserve(1, start + Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(Pace::new(0).reserve(u64::MAX, start), Duration::ZERO);
    }

    #[test]
    fn pieces_are_small_where_little_may_be_sent() {
        assert_eq!([0, 1, 8_000, 1 << 30].map(|limit| Pace::new(limit).piece_bytes()), [65_536, 1, 1_000, 65_536]);
    }
}
