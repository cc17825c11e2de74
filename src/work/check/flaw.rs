//! What can be wrong with a file of a backup.

use std::collections::BTreeMap;

/// What is wrong with a file, or why nothing can be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::work) enum Flaw {
    /// It is not there.
    Missing,
    /// It is not what was recorded; a sentence about it.
    Wrong(String),
    /// The store did not hand it out, which says nothing about the file; a sentence about it.
    Unread(String),
}

/// What is wrong in one backup in one store, by path.
pub(in crate::work) type Flaws = BTreeMap<String, Flaw>;

impl Flaw {
    /// Says it, for a list that already names the file.
    pub(in crate::work) fn sentence(&self) -> &str {
        match self {
            Self::Missing => "is missing",
            Self::Wrong(what) | Self::Unread(what) => what,
        }
    }

    /// Whether it says that the file itself is bad.
    pub(in crate::work) fn is_damage(&self) -> bool {
        !matches!(self, Self::Unread(_))
    }
}
