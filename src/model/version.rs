//! Versions of the server and of the tool: as written, and the series that must agree.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `major.minor`: physical backups are only good within one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Series {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
}

impl Series {
    /// Finds the series in a version text of a server or a tool.
    ///
    /// Understands `10.11.19-MariaDB-log`, Enterprise versions such as `10.6.17-13-MariaDB`, the
    /// replication prefix of `5.5.5-10.11.19-MariaDB`, and the tool's sentence
    /// `mariadb-backup based on MariaDB server 10.11.19-MariaDB …`.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix("5.5.5-").unwrap_or(text);
        let after_server = text.split_once("server ").map_or(text, |(_, rest)| rest);
        let start = after_server.find(|c: char| c.is_ascii_digit())?;
        let mut numbers = after_server[start..].split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_version_has_its_series() {
        let cases = [
            ("10.11.19-MariaDB-deb12u1-log", (10, 11)),
            ("10.6.17-13-MariaDB", (10, 6)),
            ("5.5.5-10.5.23-MariaDB", (10, 5)),
            ("mariadb-backup based on MariaDB server 11.8.9-MariaDB debian-linux-gnu (x86_64)", (11, 8)),
            ("/usr/bin/mariadb-backup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)", (10, 11)),
        ];
        for (text, (major, minor)) in cases {
            assert_eq!(Series::find(text), Some(Series { major, minor }), "{text}");
        }
        assert_eq!(Series::find("unknown"), None);
    }
}
