//! Columns of the reader's own: `NAME:.name,SIZE:.sizeBytes`, as kubectl's custom-columns.

use serde_json::Value;

use super::path::{BadPath, Path, text};
use super::table::Table;

const NONE: &str = "<none>";

/// Columns, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    headers: Vec<String>,
    paths: Vec<Path>,
}

impl Columns {
    /// Reads a list of columns.
    ///
    /// # Errors
    /// Says which column is not understood, and where.
    pub fn parse(spec: &str) -> Result<Self, BadPath> {
        let mut columns = Self { headers: vec![], paths: vec![] };
        for (at, column) in split(spec) {
            let bad = |what: String| BadPath { text: spec.to_owned(), at: at + 1, what };
            let (header, path) = column
                .split_once(':')
                .filter(|(header, path)| !header.is_empty() && !path.is_empty())
                .ok_or_else(|| bad(format!("\"{column}\" is no column, which is written HEADER:.path")))?;
            columns.headers.push(header.to_owned());
            let bare = path.trim_start_matches('{');
            let before = at + header.chars().count() + 1 + path.len() - bare.len();
            let read = Path::parse(bare.trim_end_matches('}'));
            columns.paths.push(read.map_err(|bad| BadPath { text: spec.to_owned(), at: before + bad.at, ..bad })?);
        }
        Ok(columns)
    }

    /// Writes the items of a list, or the one document, as a table.
    #[must_use]
    pub fn write(&self, value: &Value, with_headers: bool) -> String {
        let items = match value.get("items").and_then(Value::as_array) {
            Some(items) => items.iter().collect(),
            None => vec![value],
        };
        let mut table = Table::new(&self.headers);
        for item in items {
            table.row(&self.paths.iter().map(|path| cell(path, item)).collect::<Vec<_>>());
        }
        table.text(with_headers)
    }
}

fn cell(path: &Path, item: &Value) -> String {
    let found: Vec<String> = path.find(item, item).into_iter().filter(|value| !value.is_null()).map(text).collect();
    if found.is_empty() { NONE.to_owned() } else { found.join(",") }
}

/// The columns and where each begins; a comma in brackets belongs to a path.
fn split(spec: &str) -> Vec<(usize, String)> {
    let mut columns = vec![(0, String::new())];
    let mut depth = 0_usize;
    for (at, c) in spec.chars().enumerate() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match columns.last_mut() {
            Some((_, column)) if c != ',' || depth > 0 => column.push(c),
            _ => columns.push((at + 1, String::new())),
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_look_as_kubectl_s_do() {
        let list = json!({"items": [
            {"name": "a", "sizeBytes": 5, "trouble": ["x", "y\u{1b}"]}, {"name": "b", "base": null},
        ]});
        let columns =
            Columns::parse("NAME:.name,SIZE:{.sizeBytes},BASE:base,WRONG:.trouble[*],BOTH:['name','x']").unwrap();
        insta::assert_snapshot!(columns.write(&list, true), @r"
        NAME   SIZE     BASE     WRONG    BOTH
        a      5        <none>   x,y^[    a
        b      <none>   <none>   <none>   b
        ");
        assert_eq!(Columns::parse("NAME:.name").unwrap().write(&json!({"name": "x"}), false), "x\n");
    }

    #[test]
    fn a_slip_is_named_with_its_column() {
        let bad = |spec: &str| Columns::parse(spec).unwrap_err().to_string();
        insta::assert_snapshot!(["", "NAME", "NAME:.name,.size", "NAME:.name,SIZE:.size[", "NAME:"].map(bad).join("\n"), @r#"
        "" is no column, which is written HEADER:.path, at character 1 of 
        "NAME" is no column, which is written HEADER:.path, at character 1 of NAME
        ".size" is no column, which is written HEADER:.path, at character 12 of NAME:.name,.size
        this bracket is never closed, at character 22 of NAME:.name,SIZE:.size[
        "NAME:" is no column, which is written HEADER:.path, at character 1 of NAME:
        "#);
    }
}
