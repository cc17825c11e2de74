//! What `-l` may say: labels as Kubernetes selects by them, so that a slip is named before anything is asked.
//!
//! The server has the last word; only what it would certainly refuse is refused here.

const EXAMPLE: &str = "labels are selected such as -l app=shop or -l 'app in (shop,web),!old'";

/// Takes a selector as it stands.
pub(super) fn selector(text: &str) -> Result<String, String> {
    let is_good = text.trim().is_empty() || requirements(text).into_iter().all(is_requirement);
    if is_good { Ok(text.to_owned()) } else { Err(EXAMPLE.to_owned()) }
}

/// Takes a selector apart at the commas that are in no brackets.
fn requirements(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    let split = |c: char| {
        is_inside = c == '(' || (is_inside && c != ')');
        c == ',' && !is_inside
    };
    text.split(split).map(str::trim).collect()
}

fn is_requirement(text: &str) -> bool {
    if let Some((left, values)) = text.split_once('(') {
        let words: Vec<&str> = left.split_whitespace().collect();
        let are_values =
            values.strip_suffix(')').is_some_and(|values| values.split(',').all(|one| is_value(one.trim())));
        return matches!(words[..], [key, "in" | "notin"] if is_key(key)) && are_values;
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return is_key(key.trim_end_matches('!').trim()) && is_value(value.trim());
    }
    if let Some((key, number)) = text.split_once(['<', '>']) {
        return is_key(key.trim()) && number.trim().parse::<i64>().is_ok();
    }
    is_key(text.trim_start_matches('!').trim())
}

fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').unwrap_or(("prefix", text));
    !name.is_empty() && is_value(prefix) && is_value(name)
}

fn is_value(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    is_plain && is_end(text.chars().next()) && is_end(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_takes_is_taken_and_a_slip_is_answered_with_an_example() {
        let good = [
            "",
            "app=shop",
            "app==shop",
            "app != shop",
            "app=",
            "app",
            "!app",
            "a/b.c=d_e",
            "size>3",
            "size < 3",
            "app in (shop, web)",
            "app notin (shop),tier=db",
            "app in (),x",
            "app in(a)",
        ];
        for text in good {
            assert_eq!(selector(text).as_deref(), Ok(text));
        }
        for text in ["a in", "a in (b", "a=b,", ",", "a b", "=b", "a=b c", "a in b", "-a=b", "size>big", "a=b=c"] {
            assert!(selector(text).is_err(), "{text}");
        }
    }
}
