//! kubectl's JSONPath templates: text, paths in braces, and `{range}` … `{end}`.

use serde_json::Value;

use super::path::{BadPath, Path, text};

/// A template, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    /// The parts in it, once for each value its path leads to.
    Range(Path, Vec<Part>),
}

impl Template {
    /// Reads a template; one without braces is a single path, as people type it.
    ///
    /// # Errors
    /// Says which character is not understood.
    pub fn parse(template: &str) -> Result<Self, BadPath> {
        if !template.contains('{') {
            return Ok(Self { parts: vec![Part::Path(Path::parse(template)?)] });
        }
        let mut reader = Reader { template, characters: template.chars().collect(), at: 0 };
        let parts = reader.parts(None)?;
        Ok(Self { parts })
    }

    /// Writes a value by the template; nothing is added at the end.
    #[must_use]
    pub fn write(&self, value: &Value) -> String {
        let mut written = String::new();
        write(&self.parts, value, value, &mut written);
        written
    }
}

fn write(parts: &[Part], root: &Value, here: &Value, written: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => written.push_str(text),
            Part::Path(path) => {
                let found: Vec<String> = path.find(root, here).into_iter().map(text).collect();
                written.push_str(&found.join(" "));
            }
            Part::Range(path, inner) => {
                for item in path.find(root, here) {
                    write(inner, root, item, written);
                }
            }
        }
    }
}

struct Reader<'a> {
    template: &'a str,
    characters: Vec<char>,
    at: usize,
}

impl Reader<'_> {
    fn bad(&self, at: usize, what: impl Into<String>) -> BadPath {
        BadPath { text: self.template.to_owned(), at: at + 1, what: what.into() }
    }

    /// Parts up to the `{end}` of the range that was opened at a place, or up to the end of the template.
    fn parts(&mut self, opened: Option<usize>) -> Result<Vec<Part>, BadPath> {
        let mut parts = vec![];
        let mut plain = String::new();
        while let Some(c) = self.characters.get(self.at).copied() {
            if c != '{' {
                plain.push(c);
                self.at += 1;
                continue;
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            let start = self.at;
            let inside = self.braces()?;
            match inside.trim() {
                "end" if opened.is_some() => return Ok(parts),
                "end" => return Err(self.bad(start, "there is no {range} that this {end} would close")),
                "" => return Err(self.bad(start, "there is nothing in these braces")),
                word => {
                    let lead = inside.chars().take_while(|c| c.is_whitespace()).count();
                    parts.push(self.part(word, start, start + 1 + lead)?);
                }
            }
        }
        if let Some(opened) = opened {
            return Err(self.bad(opened, "this {range} has no {end}"));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(parts)
    }

    /// The part that stands in braces, which begin at `start`, and the word in them at `at`.
    fn part(&mut self, word: &str, start: usize, at: usize) -> Result<Part, BadPath> {
        if let Some(quote) = word.chars().next().filter(|c| ['"', '\''].contains(c)) {
            let inside = word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
            return inside.map(unescaped).map(Part::Text).ok_or_else(|| self.bad(start, "this text has no end"));
        }
        match word.strip_prefix("range").filter(|rest| rest.starts_with([' ', '\t'])) {
            Some(rest) => {
                let over = rest.trim_start();
                let path = self.path(over, at + word.len() - over.len())?;
                Ok(Part::Range(path, self.parts(Some(start))?))
            }
            None => Ok(Part::Path(self.path(word, at)?)),
        }
    }

    /// A path that begins at that character of the template.
    fn path(&self, text: &str, at: usize) -> Result<Path, BadPath> {
        Path::parse(text).map_err(|bad| self.bad(at + bad.at - 1, bad.what))
    }

    /// What stands between the braces here; quotes may hold braces.
    fn braces(&mut self) -> Result<String, BadPath> {
        let start = self.at;
        self.at += 1;
        let (mut inside, mut quote) = (String::new(), None);
        while let Some(c) = self.characters.get(self.at).copied() {
            self.at += 1;
            match (c, quote) {
                ('}', None) => return Ok(inside),
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('\\', _) => {
                    inside.push(c);
                    inside.extend(self.characters.get(self.at));
                    self.at += 1;
                    continue;
                }
                _ => {}
            }
            inside.push(c);
        }
        Err(self.bad(start, "this brace is never closed"))
    }
}

/// A quoted text with its escapes resolved.
fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::new();
    while let Some(c) = characters.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some(other) => plain.push(other),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(template: &str) -> String {
        let value = json!({"kind": "BackupList", "items": [
            {"name": "a", "sizeBytes": 5, "files": [{"path": "x"}, {"path": "y"}]}, {"name": "b}", "files": []},
        ]});
        Template::parse(template).unwrap_or_else(|bad| panic!("{bad}")).write(&value)
    }

    #[test]
    fn templates_of_kubectl_s_own_examples_are_written_as_there() {
        let cases = [
            ("{.items[*].name}", "a b}"),
            ("{range .items[*]}{.name}{\"\\n\"}{end}", "a\nb}\n"),
            (
                "{range .items[*]}{.name}{\"\\t\"}{.sizeBytes} of {$.kind}{'\\n'}{end}",
                "a\t5 of BackupList\nb}\t of BackupList\n",
            ),
            ("{range .items[*]}{.name}:{range .files[*]} {.path}{end};{end}", "a: x y;b}:;"),
            ("{.items[?(@.name==\"b}\")].name}", "b}"),
            ("{@.kind} is {.kind}", "BackupList is BackupList"),
            (".kind", "BackupList"),
            ("{.items[0].files}", "[{\"path\":\"x\"},{\"path\":\"y\"}]"),
        ];
        for (template, expected) in cases {
            assert_eq!(written(template), expected, "{template}");
        }
    }

    #[test]
    fn a_slip_is_named_with_its_place() {
        let bad = |template: &str| Template::parse(template).unwrap_err().to_string();
        let templates = ["{.items", "a {range .items[*]}{.name}", "{end}", "{}", "{\"\\n}", "{.items[*}"];
        insta::assert_snapshot!(templates.map(bad).join("\n"), @r#"
        this brace is never closed, at character 1 of {.items
        this {range} has no {end}, at character 3 of a {range .items[*]}{.name}
        there is no {range} that this {end} would close, at character 1 of {end}
        there is nothing in these braces, at character 1 of {}
        this brace is never closed, at character 1 of {"\n}
        this bracket is never closed, at character 8 of {.items[*}
        "#);
    }
}
