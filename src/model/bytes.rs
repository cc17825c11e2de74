//! Amounts of bytes for people: powers of 1024, three digits at most, no space inside.

const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// Writes an amount such as `1.5GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.5 would be written as 1000, one digit more than the column has.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let number = format!("{value:.digits$}");
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_at_most() {
        let cases = [
            (0, "0B"),
            (999, "999B"),
            (1000, "0.98KiB"),
            (1024, "1KiB"),
            (1536, "1.5KiB"),
            (10 << 20, "10MiB"),
            (123_456_789, "118MiB"),
            (1_234_567_890_123, "1.12TiB"),
            (u64::MAX, "16384PiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text, "{bytes}");
        }
    }
}
