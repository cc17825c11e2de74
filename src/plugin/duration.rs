//! Durations as kubectl's flags take them: Go's notation, and whole numbers as seconds.

use std::time::Duration;

/// Reads `90s`, `1h30m`, `1.5h`, `500ms`, `0`, or a whole number of seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = next_part(rest).ok_or_else(|| no_duration(text))?;
        total = total.checked_add(part).ok_or_else(|| no_duration(text))?;
        rest = after;
    }
    if text.is_empty() { Err(no_duration(text)) } else { Ok(total) }
}

fn no_duration(text: &str) -> String {
    format!("\"{text}\" is no duration; examples: 90s, 15m, 1h30m, 0")
}

/// Takes one number with its unit off the front.
fn next_part(text: &str) -> Option<(Duration, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (unit, seconds) = units.into_iter().find(|(unit, _)| text[digits..].starts_with(unit))?;
    Some((Duration::try_from_secs_f64(number * seconds).ok()?, &text[digits + unit.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_notation_is_understood() {
        let cases =
            [("0", 0), ("90", 90_000), ("90s", 90_000), ("1h30m", 5_400_000), ("1.5h", 5_400_000), ("500ms", 500)];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "x", "-5s", "5d", "5 s", "h", "1h30", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
