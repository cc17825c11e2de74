//! Numbers and times in sentences.

use std::time::Duration;

use jiff::SignedDuration;

use crate::render::age;

/// How long something took.
pub(super) fn span(duration: SignedDuration) -> String {
    duration.as_millis().try_into().map_or_else(|_| "no time".to_owned(), millis)
}

/// Seconds with one digit where that matters, else as ages are written.
pub(super) fn millis(millis: u64) -> String {
    let tenths = millis.div_ceil(100);
    if tenths < 100 { format!("{}.{}s", tenths / 10, tenths % 10) } else { age::human(Duration::from_millis(millis)) }
}

/// A number of things.
pub(super) fn count(number: u32, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// How many of `number` things are not among those named.
pub(super) fn unnamed(number: u32, named: usize) -> u32 {
    number.saturating_sub(u32::try_from(named).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_have_a_digit_more() {
        assert_eq!([millis(40), millis(1234), millis(61_000), millis(130_000)], ["0.1s", "1.3s", "61s", "2m10s"]);
    }
}
