//! Sums of files, computed while their bytes go by.

use std::io::{self, Read};

use sha2::Digest;

use crate::model::catalogue::{Algorithm, Checksum};
use crate::model::manifest::hex;
use crate::work::stop::Stop;

/// Big enough for disk and network, small enough for the processor's cache.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// So many digits of a sum tell it from any other a person will meet.
const NAMED_DIGITS: usize = 12;

/// A sum in the making.
pub(super) enum Sum {
    /// Of our own backups.
    Sha256(sha2::Sha256),
    /// Of those of the original.
    Md5(md5::Md5),
}

impl Sum {
    /// Begins one.
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Md5 => Self::Md5(md5::Md5::new()),
        }
    }

    /// Takes the next bytes in.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::Md5(sum) => sum.update(bytes),
        }
    }

    /// Ends it, in lower-case hex digits.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha256(sum) => hex(&sum.finalize()),
            Self::Md5(sum) => hex(&sum.finalize()),
        }
    }
}

/// Compares a sum with what was recorded; the error is a sentence about the file.
pub(super) fn compare(found: &str, expected: &Checksum) -> Result<(), String> {
    if found.eq_ignore_ascii_case(&expected.checksum) {
        return Ok(());
    }
    let name = if expected.algorithm() == Some(Algorithm::Md5) { "MD5" } else { "SHA-256" };
    let (found, expected) = (short(found), short(&expected.checksum));
    Err(format!("its bytes are not the ones that were recorded ({name} {found}…, not {expected}…)"))
}

/// Returns the beginning of a sum.
fn short(sum: &str) -> &str {
    sum.get(..NAMED_DIGITS).unwrap_or(sum)
}

/// Why not every byte was handed on.
pub(super) enum Broken {
    /// It was asked for.
    Stopped,
    /// The file could not be read to its end.
    Reading(io::Error),
    /// The other end did not take it.
    Writing(io::Error),
}

/// Reads to the end, block by block, and hands each on.
pub(super) fn pour(
    reader: &mut dyn Read,
    block: &mut [u8],
    stop: &Stop,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Broken> {
    loop {
        if stop.is_requested() {
            return Err(Broken::Stopped);
        }
        match reader.read(block) {
            Ok(0) => return Ok(()),
            Ok(count) => sink(&block[..count]).map_err(Broken::Writing)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Broken::Reading(error)),
        }
    }
}
