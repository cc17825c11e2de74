//! How many rows the tables of a cluster have, replica by replica.

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

/// What counting the rows on all replicas showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowCounts {
    /// Tables that have as many rows on every replica.
    pub equal: usize,
    /// Tables that were not counted: too large, not readable, gone meanwhile.
    pub left_out: usize,
    /// Tables that have not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<Differing>,
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
