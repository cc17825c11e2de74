//! Spans of time as kubectl writes them, and how long ago something was.

use std::time::Duration;

pub use crate::model::span::human;

/// Writes how many whole seconds something took: what took less than one did not take none.
#[must_use]
pub fn took(seconds: u64) -> String {
    if seconds == 0 { "<1s".to_owned() } else { human(Duration::from_secs(seconds)) }
}

/// Writes how long something took to a tenth of a second where that matters, else as ages are written.
#[must_use]
pub fn took_millis(millis: u64) -> String {
    let tenths = millis.div_ceil(100);
    if tenths < 100 { format!("{}.{}s", tenths / 10, tenths % 10) } else { human(Duration::from_millis(millis)) }
}

/// Writes the age of something that happened at `time`; clocks may disagree by a little.
#[must_use]
pub fn since(time: jiff::Timestamp, now: jiff::Timestamp) -> String {
    match Duration::try_from(now.duration_since(time)) {
        Ok(span) => human(span),
        Err(_) if now.duration_since(time).as_secs() >= -60 => "0s".to_owned(),
        Err(_) => "<invalid>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_takes_no_time() {
        assert_eq!([took(0), took(1), took(734)], ["<1s", "1s", "12m"]);
    }

    #[test]
    fn short_times_have_a_digit_more() {
        assert_eq!([40, 1234, 61_000, 130_000].map(took_millis), ["0.1s", "1.3s", "61s", "2m10s"]);
    }

    #[test]
    fn a_clock_that_is_a_little_ahead_makes_no_nonsense() {
        let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(since("2026-01-01T00:00:20Z".parse().unwrap(), now), "0s");
        assert_eq!(since("2026-01-01T02:00:00Z".parse().unwrap(), now), "<invalid>");
    }
}
