//! How far the data of a server are that did not end cleanly, by the server's own recovery.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::{PROGRAMS, PROVIDERS, complaints};
use crate::adapters::process::{Process, words};
use crate::model::galera::Position;
use crate::ports::refill::PositionRecovery;
use crate::ports::{PortError, Reason};

/// Recovery reads the redo once; longer than this, something is wrong.
const LIMIT: Duration = Duration::from_hours(1);

/// What the server says when it knows.
const SAID: &str = "Recovered position:";

/// mariadbd of the image this agent runs in, as it recovers data on a volume.
pub struct ServerRecovery {
    volume: PathBuf,
}

impl ServerRecovery {
    /// Makes one for the volume that is mounted there; nothing is started yet.
    #[must_use]
    pub fn new(volume: impl Into<PathBuf>) -> Self {
        Self { volume: volume.into() }
    }
}

/// Where in the first page of the system tablespace its flags stand, four bytes, big end first
/// (`FSP_HEADER_OFFSET + FSP_SPACE_FLAGS` in MariaDB's `fsp0types.h`).
const FLAGS_AT: u64 = 54;

/// The flag of the format `full_crc32`, in which the size of a page stands lower.
const FULL_CRC32: u32 = 1 << 4;

/// The size of the pages of those data, which a server has to be told where it is not the usual one; `None`
/// when it cannot be read.
fn page_bytes(data: &Path) -> Option<u64> {
    let mut flags = [0; 4];
    File::open(data.join("ibdata1")).and_then(|file| file.read_exact_at(&mut flags, FLAGS_AT)).ok()?;
    page_bytes_of(u32::from_be_bytes(flags))
}

fn page_bytes_of(flags: u32) -> Option<u64> {
    let shift = if flags & FULL_CRC32 == 0 { flags >> 6 } else { flags } & 0xf;
    match shift {
        0 => Some(16 << 10),
        3..=7 => Some(512 << shift),
        _ => None,
    }
}

fn arguments(data: &Path, provider: Option<&Path>) -> Vec<OsString> {
    let with = |name: &str, value: &Path| {
        let mut argument = OsString::from(name);
        argument.push(value);
        argument
    };
    let mut arguments = vec!["--no-defaults".into(), with("--datadir=", data)];
    // The address only satisfies a check of some methods of state transfer; no group is joined.
    let fixed = ["--wsrep-recover", "--wsrep-on=ON", "--wsrep-cluster-address=gcomm://", "--binlog-format=ROW"];
    arguments.extend(fixed.map(Into::into));
    arguments.extend(provider.map(|provider| with("--wsrep-provider=", provider)));
    // What images have elsewhere a runner may not write.
    let fixed = ["--skip-networking", "--socket=/tmp/recovery.sock", "--pid-file=/tmp/recovery.pid", "--tmpdir=/tmp"];
    arguments.extend(fixed.map(Into::into));
    arguments.extend(page_bytes(data).map(|bytes| format!("--innodb-page-size={bytes}").into()));
    arguments
}

/// Finds the position among what the server said last.
fn position(lines: &[String]) -> Option<Position> {
    let line = lines.iter().rev().find_map(|line| line.split_once(SAID))?.1;
    line.trim().parse().ok().filter(|position: &Position| position.seqno >= 0)
}

#[async_trait]
impl PositionRecovery for ServerRecovery {
    async fn recover(&self, directory: &str) -> Result<Option<Position>, PortError> {
        let data = self.volume.join(directory);
        let what = format!("cannot recover the position of the data in {}", data.display());
        let provider = PROVIDERS.iter().map(Path::new).find(|path| path.exists());
        let started = Process::start_first(&PROGRAMS.map(str::to_owned), &arguments(&data, provider));
        let mut process = started
            .map_err(|error| PortError::new(Reason::Other, what.clone()).caused_by(error))?
            .ok_or_else(|| PortError::new(Reason::Missing, format!("{what}: this image has no mariadbd")))?;
        let ended = tokio::time::timeout(LIMIT, process.wait()).await;
        let status = match ended {
            Ok(status) => status.map_err(|error| PortError::new(Reason::Other, what.clone()).caused_by(error))?,
            Err(_) => return Err(PortError::new(Reason::TimedOut, what)),
        };
        let lines = process.last_lines();
        if status.success() {
            return Ok(position(&lines));
        }
        let why = format!("mariadbd ended with {}: {}", words(status), complaints(&lines).join("; "));
        Err(PortError::new(Reason::Other, what).caused_by(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_another_size_are_told_by_the_data_themselves() {
        // As MariaDB 10.11 wrote them: 16 KiB before and with full_crc32, 8 KiB, 64 KiB.
        for (flags, bytes) in [(0, 16 << 10), (0x15, 16 << 10), (0x14, 8 << 10), (0x17, 64 << 10), (4 << 6, 8 << 10)] {
            assert_eq!(page_bytes_of(flags), Some(bytes), "{flags:#x}");
        }
        assert_eq!((page_bytes_of(0x1f), page_bytes(Path::new("/no/such/data"))), (None, None));
        let directory = tempfile::tempdir().unwrap();
        let mut page = vec![0; 64];
        page[57] = 0x17;
        std::fs::write(directory.path().join("ibdata1"), page).unwrap();
        let arguments = arguments(directory.path(), None);
        assert_eq!(arguments.last().unwrap(), "--innodb-page-size=65536");
    }

    #[test]
    fn the_last_position_that_is_one_is_taken() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let uuid = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002";
        let said = format!("2026 [Note] WSREP: Recovered position: {uuid}:4711\nbye");
        assert_eq!(position(&lines(&said)).unwrap().seqno, 4711);
        let none = "WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1";
        assert_eq!(position(&lines(none)), None);
        assert_eq!(position(&[]), None);
    }
}
