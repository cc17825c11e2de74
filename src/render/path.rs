//! One path of kubectl's JSONPath dialect, such as `.items[*].name`.
//!
//! kubectl's paths are older than RFC 9535 and laxer: they may begin without `$`, a name may hold a
//! dash, and a dot in a name is written `\.`. They are rewritten to the standard's form, in which
//! every name is quoted, and what a query then means is left to the library that knows the standard.

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

/// A path or a template that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at character {at} of {text}")]
pub struct BadPath {
    /// The text it stands in.
    pub text: String,
    /// Which character it is, counted from 1.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

/// A path, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    query: JpQuery,
    is_from_root: bool,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// Says which character is not understood.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let mut reader = Reader { characters: text.chars().collect(), at: 0 };
        let is_from_root = reader.characters.first() == Some(&'$');
        let rewritten = reader.path(Names::Whole);
        let bad = |at: usize, what: &str| BadPath { text: text.to_owned(), at: at + 1, what: what.to_owned() };
        let rewritten = rewritten.map_err(|what| bad(reader.at, &what))?;
        let query = parse_json_path(&rewritten).map_err(|_| bad(0, "this is no path of JSONPath"))?;
        Ok(Self { query, is_from_root })
    }

    /// Finds what the path leads to, from `here`, or from `root` where it begins with `$`.
    #[must_use]
    pub fn find<'a>(&self, root: &'a Value, here: &'a Value) -> Vec<&'a Value> {
        let start = if self.is_from_root { root } else { here };
        // What is asked of a value that cannot answer it leads nowhere, as a missing member does.
        let found = js_path_process(&self.query, start).unwrap_or_default();
        found.into_iter().map(jsonpath_rust::query::QueryRef::val).collect()
    }
}

/// Writes a value found as kubectl writes it: texts as they are, what has parts as JSON.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where a name ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// At the next part of the path.
    Whole,
    /// Also at an operator of the filter around it.
    InFilter,
}

/// Reads kubectl's form and writes the standard's.
struct Reader {
    characters: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn skip(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    /// A path from here to its end.
    fn path(&mut self, names: Names) -> Result<String, String> {
        let mut written = if names == Names::Whole { "$".to_owned() } else { String::new() };
        if names == Names::Whole {
            let _is_said = self.skip('$') || self.skip('@');
            if self.peek().is_some_and(|c| c != '.' && c != '[') {
                written.push_str(&self.name(names)?);
            }
        }
        loop {
            if self.skip('[') {
                written.push_str(&self.bracket()?);
            } else if self.skip('.') {
                let is_deep = self.skip('.');
                match self.peek() {
                    None if written == "$" && !is_deep => return Ok(written),
                    None => return Err("a name is missing".to_owned()),
                    Some('[') if is_deep => written.push_str(".."),
                    Some('[') => {}
                    Some(_) => {
                        written.push_str(if is_deep { ".." } else { "" });
                        written.push_str(&self.name(names)?);
                    }
                }
            } else {
                return Ok(written);
            }
        }
    }

    /// A name, quoted; a star stands for every name.
    fn name(&mut self, names: Names) -> Result<String, String> {
        let ends = |c: char| c == '.' || c == '[' || names == Names::InFilter && " \t=!<>&|()".contains(c);
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| !ends(*c)) {
            self.at += 1;
            match (c, self.peek()) {
                ('\\', Some(escaped)) => {
                    name.push(escaped);
                    self.at += 1;
                }
                _ => name.push(c),
            }
        }
        match name.as_str() {
            "" => Err("a name is missing".to_owned()),
            "*" => Ok("[*]".to_owned()),
            _ => Ok(format!("[{}]", Value::String(name))),
        }
    }

    /// What stands between brackets; paths in a filter are rewritten too.
    fn bracket(&mut self) -> Result<String, String> {
        let opened = self.at;
        let mut written = "[".to_owned();
        let mut depth = 1;
        while let Some(c) = self.peek() {
            self.at += 1;
            written.push(c);
            match c {
                '\'' | '"' => written.push_str(&self.quoted(c)?),
                '@' | '$' => written.push_str(&self.path(Names::InFilter)?),
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(written);
            }
        }
        self.at = opened.saturating_sub(1);
        Err("this bracket is never closed".to_owned())
    }

    /// The rest of a quoted text, its closing quote included.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let opened = self.at - 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            text.push(c);
            if c == '\\' {
                text.extend(self.peek());
                self.at += 1;
            } else if c == quote {
                return Ok(text);
            }
        }
        self.at = opened;
        Err("this quote is never closed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str) -> String {
        let value = json!({"items": [
            {"name": "a", "type": "full", "sizeBytes": 5, "labels": {"app.kubernetes.io/name": "x", "s3-store": "yes"}},
            {"name": "b", "type": "incremental", "sizeBytes": 7},
        ]});
        let path = Path::parse(path).unwrap_or_else(|bad| panic!("{bad}"));
        path.find(&value, &value).into_iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn kubectl_s_paths_lead_where_they_lead_there() {
        let cases = [
            (".items[*].name", "a b"),
            ("$.items[0].name", "a"),
            ("items[-1:].name", "b"),
            ("@.items[1]['name','type']", "b incremental"),
            (".items[?(@.type==\"full\")].name", "a"),
            (".items[?(@.sizeBytes > 5)].name", "b"),
            (".items[?(@.labels.s3-store)].name", "a"),
            (".items[0].labels.s3-store", "yes"),
            (r".items[0].labels.app\.kubernetes\.io/name", "x"),
            (".items[0].labels['app.kubernetes.io/name']", "x"),
            ("..name", "a b"),
            (".items[0].labels.*", "x yes"),
            (".items[*].nothing", ""),
            (".name[0]", ""),
        ];
        for (path, expected) in cases {
            assert_eq!(found(path), expected, "{path}");
        }
        assert!(found(".").starts_with("{\"items\":"));
    }

    #[test]
    fn a_slip_is_named_with_its_place() {
        let cases = [
            (".items[*", "this bracket is never closed, at character 7 of .items[*"),
            (".items[?(@.type==\"full)]", "this quote is never closed, at character 18 of .items[?(@.type==\"full)]"),
            (".items.", "a name is missing, at character 8 of .items."),
            (".items[x]", "this is no path of JSONPath, at character 1 of .items[x]"),
        ];
        for (path, expected) in cases {
            assert_eq!(Path::parse(path).unwrap_err().to_string(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_too_strange_to_be_read(text in "[.@$\\[\\]'\"?()*a-c0-9\\\\=<-]{0,16}") {
            let value = json!({"a": [{"b": 1}], "b": null});
            if let Ok(path) = Path::parse(&text) {
                proptest::prop_assert!(path.find(&value, &value).len() < 10_000);
            }
        }
    }
}
