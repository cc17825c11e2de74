//! Values as JSON or YAML, for other programs.

use serde::Serialize;
use serde_json::Value;

/// A form for other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON, indented by four spaces as kubectl does.
    Json,
    /// YAML, block style.
    Yaml,
}

/// What is said of our own documents where they are written.
const MADE: &str = "our documents are maps with text keys";

/// The document as a value.
#[must_use]
pub fn value<T: Serialize>(shown: &T) -> Value {
    serde_json::to_value(shown).expect(MADE)
}

/// Writes a document; it ends with a line break.
#[must_use]
pub fn document<T: Serialize>(shown: &T, form: Form) -> String {
    // By way of a value, so that both forms have the same keys in the same order.
    let value = value(shown);
    match form {
        Form::Json => {
            let mut bytes = vec![];
            let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, indent)).expect(MADE);
            bytes.push(b'\n');
            String::from_utf8(bytes).expect("JSON is UTF-8")
        }
        Form::Yaml => {
            let text = serde_saphyr::to_string(&value).expect(MADE);
            if text.ends_with('\n') { text } else { format!("{text}\n") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_hold_the_same() {
        let value = serde_json::json!({"kind": "BackupList", "items": [{"name": "a", "size": 1, "none": null}]});
        insta::assert_snapshot!(document(&value, Form::Json), @r#"
        {
            "items": [
                {
                    "name": "a",
                    "none": null,
                    "size": 1
                }
            ],
            "kind": "BackupList"
        }
        "#);
        insta::assert_snapshot!(document(&value, Form::Yaml), @r"
        items:
        - name: a
          none: null
          size: 1
        kind: BackupList
        ");
    }
}
