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

/// Reads a number of bytes in Kubernetes' notation: whole, with a decimal or a binary unit.
#[must_use]
pub fn of_quantity(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "" => 1,
        "k" | "K" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them_and_what_is_not_one_is_none() {
        let cases = [("5", 5), ("2k", 2000), ("50Gi", 50 << 30), ("3T", 3_000_000_000_000), ("1Ti", 1 << 40)];
        for (text, bytes) in cases {
            assert_eq!(of_quantity(text), Some(bytes), "{text}");
        }
        for text in ["", "Gi", "1.5Gi", "-1", "5GiB", "99999999999Ti"] {
            assert_eq!(of_quantity(text), None, "{text}");
        }
    }

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
