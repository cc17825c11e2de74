//! Names of backups and where each lies in a store.
//!
//! A backup is named by the UTC second it was begun, `YYYY-MM-DD_hh-mm-ss`, so that the order of
//! names is the order of time. The layout is the original's: `base/<name>` for a full backup,
//! `incr/<base name>/<name>` for an incremental one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The time format of a backup's name, as `jiff` spells it.
const NAME_FORMAT: &str = "%Y-%m-%d_%H-%M-%S";

/// The name of one backup: a UTC time with the precision of a second.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupName(String);

impl BackupName {
    /// Returns the name of a backup begun at `time`.
    #[must_use]
    pub fn at(time: jiff::Timestamp) -> Self {
        Self(time.strftime(NAME_FORMAT).to_string())
    }

    /// Returns the time the name stands for.
    #[must_use]
    pub fn time(&self) -> jiff::Timestamp {
        parse_time(&self.0).expect("a name is only made from a time or by parsing one")
    }

    /// Returns the name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse_time(text: &str) -> Option<jiff::Timestamp> {
    let local = jiff::civil::DateTime::strptime(NAME_FORMAT, text).ok()?;
    local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// A text that is no backup name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no backup name; one looks like 2026-01-31_23-59-59")]
pub struct NotABackupName(pub String);

impl FromStr for BackupName {
    type Err = NotABackupName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_time(text) {
            // Written back and compared, so that a sloppy spelling cannot make a second name for one time.
            Some(time) if Self::at(time).0 == text => Ok(Self(text.to_owned())),
            _ => Err(NotABackupName(text.to_owned())),
        }
    }
}

impl TryFrom<String> for BackupName {
    type Error = NotABackupName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackupName> for String {
    fn from(name: BackupName) -> Self {
        name.0
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One backup and its place: a full one, or an incremental one under its base.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BackupId {
    /// A full backup.
    Full(BackupName),
    /// An incremental backup, in the chain that starts at `base`.
    Incremental {
        /// The full backup the chain starts with.
        base: BackupName,
        /// The increment's own name.
        name: BackupName,
    },
}

impl BackupId {
    /// Returns the backup's own name.
    #[must_use]
    pub fn name(&self) -> &BackupName {
        match self {
            Self::Full(name) | Self::Incremental { name, .. } => name,
        }
    }

    /// Returns the full backup of the chain when this is an incremental one.
    #[must_use]
    pub fn base(&self) -> Option<&BackupName> {
        match self {
            Self::Full(_) => None,
            Self::Incremental { base, .. } => Some(base),
        }
    }

    /// Returns the directory of the backup inside a store, without a leading slash.
    #[must_use]
    pub fn directory(&self) -> String {
        match self {
            Self::Full(name) => format!("base/{name}"),
            Self::Incremental { base, name } => format!("incr/{base}/{name}"),
        }
    }

    /// Splits a path inside a store into the backup and the file's name in it.
    ///
    /// Returns `None` for a path that is no file of a backup.
    #[must_use]
    pub fn of_path(path: &str) -> Option<(Self, &str)> {
        let (directory, file) = path.rsplit_once('/')?;
        if file.is_empty() {
            return None;
        }
        Some((directory.parse().ok()?, file))
    }
}

impl FromStr for BackupId {
    type Err = NotABackupName;

    /// Parses a directory inside a store.
    fn from_str(directory: &str) -> Result<Self, Self::Err> {
        match *directory.split('/').collect::<Vec<_>>() {
            ["base", name] => Ok(Self::Full(name.parse()?)),
            ["incr", base, name] => Ok(Self::Incremental { base: base.parse()?, name: name.parse()? }),
            _ => Err(NotABackupName(directory.to_owned())),
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = NotABackupName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.directory()
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(name) => write!(f, "{name}"),
            Self::Incremental { base, name } => write!(f, "{base}/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_utc_second() {
        let time: jiff::Timestamp = "2026-01-31T23:59:59.9Z".parse().unwrap();
        assert_eq!(BackupName::at(time).as_str(), "2026-01-31_23-59-59");
    }

    #[test]
    fn what_is_no_time_is_no_name() {
        for text in ["", "x", "2026-13-01_00-00-00", "2026-1-1_0-0-0", "2026-01-31_23-59-59/..", "2026-01-31 23:59:59"]
        {
            assert_eq!(text.parse::<BackupName>(), Err(NotABackupName(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_directory_names_its_backup_and_back() {
        for directory in ["base/2026-01-31_23-59-59", "incr/2026-01-31_23-59-59/2026-02-01_00-00-00"] {
            assert_eq!(directory.parse::<BackupId>().unwrap().directory(), directory);
        }
        assert!("base/2026-01-31_23-59-59/..".parse::<BackupId>().is_err());
    }

    #[test]
    fn a_path_is_split_into_backup_and_file() {
        let (id, file) = BackupId::of_path("base/2026-01-31_23-59-59/manifest.json").unwrap();
        assert_eq!((id.directory().as_str(), file), ("base/2026-01-31_23-59-59", "manifest.json"));
        assert_eq!(BackupId::of_path("lost+found"), None);
        assert_eq!(BackupId::of_path("base/2026-01-31_23-59-59/"), None);
    }

    proptest::proptest! {
        #[test]
        fn the_order_of_names_is_the_order_of_time(a in 0i64..4_000_000_000, b in 0i64..4_000_000_000) {
            let at = |second| BackupName::at(jiff::Timestamp::from_second(second).unwrap());
            proptest::prop_assert_eq!(at(a).cmp(&at(b)), a.cmp(&b));
            proptest::prop_assert_eq!(at(a).time().as_second(), a);
        }
    }
}
