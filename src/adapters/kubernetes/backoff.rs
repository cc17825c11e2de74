//! The pause before the API is asked again: short at first, never longer than a person likes to wait.
//!
//! Our processes are few and their users wait for them, so the pause stays far below the one that
//! controllers use.

use std::time::Duration;

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(4);

/// Doubles from a quarter of a second to four seconds, and never ends.
#[derive(Clone, Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = LONGEST.min(pause * 2);
        Some(pause)
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_to_its_limit_and_starts_small_again() {
        let mut pause = Pause::default();
        let millis: Vec<_> = pause.by_ref().take(6).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [250, 500, 1000, 2000, 4000, 4000]);
        pause.reset();
        assert_eq!(pause.next(), Some(FIRST));
    }
}
