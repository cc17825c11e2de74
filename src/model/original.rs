//! Backups made by the original: their files, and what the tool's own say of the data.
//!
//! They have no manifest. What one would say is learnt from the two small files that mariadb-backup
//! leaves beside the stream, or is not known; nothing is made up.

use super::backup_id::BackupId;
use super::manifest::{LsnRange, ToolFile, says_incremental};

/// The stream, as one run of gzip.
pub const STREAM_FILE: &str = "backup.stream.gz";

/// With this file, which is written last, a backup of the original is complete.
pub const MARK_FILE: &str = "backup.successful";

/// The wrapped key of an encrypted one.
pub const KEY_FILE: &str = "dek.enc";

/// Those of the tool's files that a stream of the original holds: it did not ask for the Galera position.
pub const TOOL_FILES: [ToolFile; 2] = [ToolFile::Info, ToolFile::Checkpoints];

/// What the tool's files say of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The version of the server it was made of.
    pub server_version: String,
    /// The stretch of redo it covers.
    pub lsn: LsnRange,
}

impl Facts {
    /// Reads them; the error is a sentence about one of the two.
    ///
    /// # Errors
    /// Names the file that does not say what it should.
    pub fn find(backup: &BackupId, info: &str, checkpoints: &str) -> Result<Self, (ToolFile, String)> {
        let wrong = |file, what: &str| Err((file, what.to_owned()));
        let Some(lsn) = LsnRange::find(checkpoints).filter(|lsn| lsn.from <= lsn.to) else {
            return wrong(ToolFile::Checkpoints, "does not say which stretch of redo it covers");
        };
        let is_increment = backup.base().is_some();
        match says_incremental(checkpoints) {
            says if says == is_increment => {}
            true => return wrong(ToolFile::Checkpoints, "is that of an increment, and this is a full backup"),
            false => return wrong(ToolFile::Checkpoints, "is that of a full backup, and this is an increment"),
        }
        let mut pairs = info.lines().filter_map(|line| line.split_once('='));
        let version = pairs.find(|(key, _)| key.trim() == "server_version").map(|(_, value)| value.trim());
        match version {
            Some(version) if !version.is_empty() => Ok(Self { server_version: version.to_owned(), lsn }),
            _ => wrong(ToolFile::Info, "does not say which server it was made of"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "uuid = 7d5f0b1c\nname = \ntool_name = mariabackup\nserver_version = 10.11.9-MariaDB-log\n";

    fn found(backup: &str, info: &str, checkpoints: &str) -> Result<Facts, String> {
        Facts::find(&backup.parse().unwrap(), info, checkpoints)
            .map_err(|(file, what)| format!("{} {what}", file.stored_name()))
    }

    #[test]
    fn what_a_manifest_would_say_is_read_from_the_tools_files() {
        let full = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 47\nlast_lsn = 51\n";
        let (base, increment) = ("base/2026-01-31_00-00-00", "incr/2026-01-31_00-00-00/2026-01-31_01-00-00");
        let facts =
            Facts { server_version: "10.11.9-MariaDB-log".to_owned(), lsn: LsnRange { from: 0, to: 47, last: 51 } };
        assert_eq!(found(base, INFO, full), Ok(facts));
        let wrong = |of: &str, info: &str, checkpoints: &str| found(of, info, checkpoints).unwrap_err();
        assert!(wrong(increment, INFO, full).contains("is that of a full backup"));
        assert!(wrong(base, INFO, &full.replace("full-backuped", "incremental")).contains("is that of an increment"));
        assert!(wrong(base, INFO, "backup_type = full-backuped\n").contains("which stretch of redo"));
        assert!(wrong(base, INFO, &full.replace("= 0", "= 99")).contains("which stretch of redo"));
        for info in ["", "server_version =\n"] {
            assert!(wrong(base, info, full).starts_with("mariadb_backup_info does not say which server"));
        }
    }
}
