//! Numbers and times in sentences.

use jiff::SignedDuration;

pub(super) use crate::render::age::took_millis as millis;

/// How long something took.
pub(super) fn span(duration: SignedDuration) -> String {
    duration.as_millis().try_into().map_or_else(|_| "no time".to_owned(), millis)
}

/// A number of things.
pub(super) fn count(number: u32, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// How many of `number` things are not among those named.
pub(super) fn unnamed(number: u32, named: usize) -> u32 {
    number.saturating_sub(u32::try_from(named).unwrap_or(u32::MAX))
}
