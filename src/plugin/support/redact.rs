//! What may be shown to strangers: pure.
//!
//! By rule, not by list of names: whatever people can put a password into is left out, however
//! useful it might be, but of this product's own pods, whose commands hold no secret by design.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::settings::Settings;

/// What stands where something was left out.
pub(super) const REDACTED: &str = "<redacted>";

/// Annotations that are shown: ours, and Kubernetes' own bookkeeping.
const SHOWN_ANNOTATIONS: [&str; 4] =
    ["mariadb-backup.io/", "batch.kubernetes.io/", "cronjob.kubernetes.io/", "pv.kubernetes.io/"];

/// Members that hold what people wrote for their own programs.
const PRIVATE_MEMBERS: [&str; 5] = ["command", "args", "httpHeaders", "volumeAttributes", "options"];

/// Shows an object of Kubernetes.
pub(super) fn object(mut object: Value, is_ours: bool) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    member(&mut object, is_ours);
    object
}

/// Shows settings: those that are known, as none of them holds a secret.
pub(super) fn settings(stored: &BTreeMap<String, String>) -> Value {
    let unknown = Settings::unknown_keys(stored);
    let shown = |(key, text): (&String, &String)| {
        let text = if unknown.contains(&key.as_str()) { REDACTED.to_owned() } else { scrubbed(text) };
        (key.clone(), json!(text))
    };
    Value::Object(stored.iter().map(shown).collect())
}

/// Shows a document of our own.
pub(super) fn texts(mut document: Value) -> Value {
    member(&mut document, true);
    document
}

fn member(value: &mut Value, is_ours: bool) {
    match value {
        Value::String(text) => *text = scrubbed(text),
        Value::Array(items) => items.iter_mut().for_each(|item| member(item, is_ours)),
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                match (key.as_str(), value) {
                    ("annotations", Value::Object(annotations)) => hide_annotations(annotations),
                    ("env", Value::Array(variables)) => hide_values(variables),
                    (key, value) if !is_ours && PRIVATE_MEMBERS.contains(&key) => *value = json!(REDACTED),
                    (_, value) => member(value, is_ours),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hide_annotations(annotations: &mut Map<String, Value>) {
    for (key, value) in annotations.iter_mut() {
        let is_shown = SHOWN_ANNOTATIONS.iter().any(|begin| key.starts_with(begin));
        *value = if is_shown { json!(scrubbed(value.as_str().unwrap_or_default())) } else { json!(REDACTED) };
    }
}

/// Leaves the values of variables out; from which Secret one comes may be known.
fn hide_values(variables: &mut [Value]) {
    for value in variables.iter_mut().filter_map(|variable| variable.get_mut("value")) {
        *value = json!(REDACTED);
    }
}

/// Words after which a secret stands, and what has to stand between.
const MARKS: [(&str, Between); 14] = [
    ("password", Between::Sign),
    ("passwd", Between::Sign),
    ("pwd", Between::Sign),
    ("passphrase", Between::Sign),
    ("secret", Between::Sign),
    ("token", Between::Sign),
    ("_key", Between::Sign),
    ("secretkey", Between::Sign),
    ("accesskey", Between::Sign),
    ("apikey", Between::Sign),
    ("sst_auth", Between::Sign),
    ("identified by", Between::Space),
    ("bearer", Between::Space),
    ("basic", Between::Space),
];

/// What stands between a mark and its secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    /// An equals sign or a colon, perhaps with quotes and spaces around it.
    Sign,
    /// A space.
    Space,
}

/// Leaves out of a text what looks like a password or a token, and who somebody is in a URL.
pub(super) fn scrubbed(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut shown = String::new();
    let mut at = 0;
    while at < text.len() {
        let secret = url_user(&lower, at)
            .or_else(|| short_option(&lower, at))
            .or_else(|| MARKS.iter().find_map(|mark| secret_after(&lower, at, *mark)));
        if let Some((from, to)) = secret {
            shown.push_str(&text[at..from]);
            shown.push_str(REDACTED);
            at = to;
        } else if let Some(c) = text[at..].chars().next() {
            shown.push(c);
            at += c.len_utf8();
        }
    }
    shown
}

/// Where the secret after a mark here begins and ends.
fn secret_after(lower: &str, at: usize, (mark, between): (&str, Between)) -> Option<(usize, usize)> {
    let rest = lower[at..].strip_prefix(mark)?;
    let start = lower.len() - rest.len();
    let skipped = rest.trim_start_matches(|c: char| c == ' ' || between == Between::Sign && "\"'\\".contains(c));
    let value = match between {
        Between::Sign => skipped.strip_prefix(['=', ':'])?.trim_start_matches(' '),
        Between::Space if skipped.len() < rest.len() => skipped,
        Between::Space => return None,
    };
    let value = value.trim_start_matches('\\');
    let from = start + rest.len() - value.len();
    let length = match value.chars().next()? {
        // Of a text inside a text every quote stands behind a backslash, the last one too.
        quote @ ('"' | '\'' | '`') if lower[..from].ends_with('\\') => {
            1 + value[1..].find(quote).map_or(value.len() - 1, |end| end + 1)
        }
        quote @ ('"' | '\'' | '`') => quoted_length(value, quote),
        // A password may have any sign in it: rather too much is left out than a part of it shown.
        _ => value.find(|c: char| c.is_whitespace() || "\"'`".contains(c)).unwrap_or(value.len()),
    };
    (length > 0).then_some((from, from + length))
}

/// How long a quoted value is with its quotes; one behind a backslash is a part of it.
fn quoted_length(value: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in value.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + c.len_utf8();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    value.len()
}

/// Where the password of an option such as `-phunter2`, with a space before it here, begins and ends.
fn short_option(lower: &str, at: usize) -> Option<(usize, usize)> {
    let rest = lower[at..].strip_prefix(" -p")?;
    let length = rest.find(|c: char| c.is_whitespace() || "\"'`".contains(c)).unwrap_or(rest.len());
    (length > 0).then_some((at + 3, at + 3 + length))
}

/// Where the user and password of a URL that has its `://` here begin and end.
fn url_user(lower: &str, at: usize) -> Option<(usize, usize)> {
    let rest = lower[at..].strip_prefix("://")?;
    let authority = rest.split(|c: char| c == '/' || c.is_whitespace() || c == '"').next()?;
    let user = authority.rfind('@')?;
    Some((at + 3, at + 3 + user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_left_out_of_a_text() {
        let cases = [
            ("password=hunter2 next", "password=<redacted> next"),
            ("{\"password\": \"hun ter2\", \"a\": 1}", "{\"password\": <redacted>, \"a\": 1}"),
            ("{\\\"password\\\":\\\"hunter2\\\"}", "{\\\"password\\\":\\<redacted>}"),
            ("MYSQL_PWD=hunter2", "MYSQL_PWD=<redacted>"),
            ("CREATE USER x IDENTIFIED BY 'hunter2'", "CREATE USER x IDENTIFIED BY <redacted>"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer <redacted>"),
            ("https://user:hunter2@s3.example/x", "https://<redacted>@s3.example/x"),
            ("AWS_SECRET_ACCESS_KEY=abc/def+g", "AWS_SECRET_ACCESS_KEY=<redacted>"),
            ("password=ab;cd,ef next", "password=<redacted> next"),
            ("\"password\": \"ab\\\"cd\", x", "\"password\": <redacted>, x"),
            ("mysqladmin -uroot -phunter2 ping", "mysqladmin -uroot -p<redacted> ping"),
            ("wsrep_sst_auth=sst:hunter2", "wsrep_sst_auth=<redacted>"),
            ("secretKey: hunter2", "secretKey: <redacted>"),
            ("Authorization: Basic abc=", "Authorization: Basic <redacted>"),
            ("there is no Secret db/mariadb-backup", "there is no Secret db/mariadb-backup"),
            ("Größe: 5, no secrets here", "Größe: 5, no secrets here"),
        ];
        for (text, expected) in cases {
            assert_eq!(scrubbed(text), expected);
        }
    }

    #[test]
    fn of_foreign_pods_only_what_kubernetes_says_is_shown() {
        let pod = json!({
            "metadata": {"name": "db-0", "managedFields": [1], "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"x\": \"hunter2\"}", "mariadb-backup.io/obligation": "o"}},
            "spec": {"containers": [{"name": "server", "image": "i", "args": ["--auth", "hunter2"],
                "env": [{"name": "A", "value": "hunter2"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}],
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "hunter2"]}}}}]},
            "status": {"message": "password: hunter2"},
        });
        let shown = object(pod.clone(), false);
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(shown["spec"]["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"]["key"], "password");
        assert_eq!(shown["metadata"]["annotations"]["mariadb-backup.io/obligation"], "o");
        assert_eq!(object(pod, true)["spec"]["containers"][0]["args"][0], "--auth");
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_scrubbed_and_nothing_else_is_lost(text in "(\\PC|password=|://|@|\"|'){0,20}") {
            let shown = scrubbed(&text);
            proptest::prop_assert!(shown.contains(REDACTED) || shown == text);
        }
    }
}
