//! Tables as kubectl prints them: upper-case headers, three spaces between columns, no borders.
//!
//! Cells come from the cluster, so they are made harmless: control characters are written out and a
//! cell ends at its first line break. Nothing is wrapped or cut to the terminal's width, so that
//! `cut`, `awk` and copy and paste work.

/// Columns are at least this wide together with the gap, as kubectl's are.
const MIN_WIDTH: usize = 6;
const GAP: usize = 3;

/// A table: headers, and rows of as many cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with those headers.
    #[must_use]
    pub fn new<T: AsRef<str>>(headers: &[T]) -> Self {
        Self { headers: headers.iter().map(|header| header.as_ref().to_owned()).collect(), rows: vec![] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| harmless_cell(cell)).collect());
    }

    /// Writes the table, each line with its line break.
    #[must_use]
    pub fn text(&self, with_headers: bool) -> String {
        self.text_beside(with_headers, &mut vec![])
    }

    fn text_beside(&self, with_headers: bool, widths: &mut Vec<usize>) -> String {
        let lines: Vec<&Vec<String>> = with_headers.then_some(&self.headers).into_iter().chain(&self.rows).collect();
        let width = |column: usize| {
            let widest = lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
            (widest.unwrap_or(0) + GAP).max(MIN_WIDTH)
        };
        widths.resize(self.headers.len(), 0);
        for (column, remembered) in widths.iter_mut().enumerate() {
            *remembered = width(column).max(*remembered);
        }
        lines.iter().map(|line| line_text(line, widths)).collect()
    }
}

/// A table that goes on below what was written of it before: its headers stand there once, and its columns are
/// at least as wide as they were.
#[derive(Debug)]
pub struct Continued {
    widths: Vec<usize>,
    has_headers: bool,
}

impl Continued {
    /// Of which nothing was written yet.
    #[must_use]
    pub fn new(with_headers: bool) -> Self {
        Self { widths: vec![], has_headers: with_headers }
    }

    /// Writes more rows of it.
    #[must_use]
    pub fn text(&mut self, more: &Table) -> String {
        let text = more.text_beside(self.has_headers, &mut self.widths);
        self.has_headers = false;
        text
    }
}

fn line_text(cells: &[String], widths: &[usize]) -> String {
    let last = cells.len().saturating_sub(1);
    let padded = cells.iter().enumerate().map(|(index, cell)| {
        let width = if index == last { 0 } else { widths.get(index).copied().unwrap_or(0) };
        format!("{cell:<width$}")
    });
    padded.chain(std::iter::once("\n".to_owned())).collect::<Vec<_>>().concat()
}

fn harmless_cell(text: &str) -> String {
    match text.split_once(['\n', '\r']) {
        Some((first, _)) => format!("{}...", harmless(first)),
        None => harmless(text),
    }
}

/// Writes control characters out, so that text from a cluster cannot steer a terminal.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\x1b' => "^[".to_owned(),
            '\r' => "\\r".to_owned(),
            '\n' | '\t' => c.to_string(),
            c if c.is_control() => format!("\\u{{{:x}}}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_as_kubectl_aligns_them() {
        let mut table = Table::new(&["NAME", "S3", "AGE"]);
        table.row(&["2026-01-31_23-59-59".into(), "<none>".into(), "5m".into()]);
        table.row(&["x".into(), "yes".into(), "47h".into()]);
        insta::assert_snapshot!(table.text(true), @r"
        NAME                  S3       AGE
        2026-01-31_23-59-59   <none>   5m
        x                     yes      47h
        ");
        assert_eq!(table.text(false).lines().count(), 2);
    }

    #[test]
    fn a_table_that_goes_on_has_its_headers_once_and_keeps_the_width_of_its_columns() {
        let row = |name: &str| {
            let mut table = Table::new(&["NAME", "AGE"]);
            table.row(&[name.to_owned(), "5m".to_owned()]);
            table
        };
        let mut continued = Continued::new(true);
        let written = [row("mariadb-server"), row("x")].map(|more| continued.text(&more));
        insta::assert_snapshot!(written.concat(), @r"
        NAME             AGE
        mariadb-server   5m
        x                5m
        ");
    }

    #[test]
    fn text_from_the_cluster_cannot_steer_the_terminal() {
        let mut table = Table::new(&["NAME"]);
        table.row(&["a\x1b[31mred\u{7}\nsecond".into()]);
        assert_eq!(table.text(false), "a^[[31mred\\u{7}...\n");
    }
}
