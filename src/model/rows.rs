//! How many rows the tables of a cluster have: in a backup that was proven, and replica by replica.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A table of a user of the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// About how many rows it has, as the server estimates.
    pub about_rows: u64,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Tables of more rows are left out: counting reads all of them.
const LARGEST: u64 = 1_000_000;

/// So many tables are counted, the smallest first.
const TABLES: usize = 1000;

/// Chooses the tables to count, the smallest first, and says how many are left out.
#[must_use]
pub fn countable(mut tables: Vec<Table>) -> (Vec<Table>, usize) {
    let found = tables.len();
    tables.retain(|table| table.about_rows <= LARGEST);
    tables.sort_by_key(|table| table.about_rows);
    tables.truncate(TABLES);
    let left_out = found - tables.len();
    (tables, left_out)
}

/// A table whose rows were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
}

/// What counting the rows on all replicas showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowCounts {
    /// Tables that have as many rows on every replica.
    pub equal: usize,
    /// Tables of which it is not known: too large, not readable, gone or changed all the time.
    pub left_out: usize,
    /// Tables that have not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<Differing>,
    /// Why not everything could be compared, where a replica did not answer as it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl RowCounts {
    /// Whether it is in doubt that all replicas have the same rows.
    #[must_use]
    pub fn are_in_doubt(&self) -> bool {
        !self.differing.is_empty() || self.trouble.is_some()
    }
}

/// A table that has more rows on one replica than on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Differing {
    /// The table, `<schema>.<name>`.
    pub table: String,
    /// Its rows by pod, the leader's first.
    pub rows: Vec<(String, u64)>,
}

impl fmt::Display for Differing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.rows.iter().map(|(pod, rows)| format!("{rows} on {pod}")).collect();
        write!(f, "{} has these rows: {}", self.table, rows.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_are_counted_first_and_huge_ones_not_at_all() {
        let table = |about_rows: u64| Table { schema: "s".to_owned(), name: format!("t{about_rows}"), about_rows };
        let (chosen, left_out) = countable(vec![table(LARGEST + 1), table(9), table(2)]);
        assert_eq!((chosen, left_out), (vec![table(2), table(9)], 1));
    }
}
