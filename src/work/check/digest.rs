//! Reading files once, several at a time, and comparing their length and their sum.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sha2::Digest;

use super::Findings;
use crate::model::catalogue::{Algorithm, Checksum};
use crate::model::manifest::hex;
use crate::ports::runner::Store;
use crate::ports::{PortError, Reason};
use crate::work::stop::Stop;

/// Big enough for the disk, small enough for the processor's cache.
const BLOCK: usize = 1 << 20;

/// Compares all files and returns what is wrong, by path.
pub(super) fn compare_all(
    files: &BTreeMap<String, Checksum>,
    store: &dyn Store,
    readers: usize,
    read: &AtomicU64,
    stop: &Stop,
) -> Findings {
    let mut queue: Vec<_> = files.iter().collect();
    // The longest first, so that no reader is left alone with one at the end.
    queue.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.size));
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(Findings::new()));
    std::thread::scope(|scope| {
        for _ in 0..readers.min(queue.len()) {
            scope.spawn(|| {
                let mut block = vec![0; BLOCK];
                while let Some((path, sum)) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(what) = compare(path, sum, store, &mut block, read, stop) {
                        let mut findings = findings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        findings.insert((*path).clone(), what);
                    }
                }
            });
        }
    });
    findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Compares one file; the error is a sentence about it.
fn compare(
    path: &str,
    sum: &Checksum,
    store: &dyn Store,
    block: &mut [u8],
    read: &AtomicU64,
    stop: &Stop,
) -> Result<(), String> {
    let algorithm = sum.algorithm().ok_or("its recorded sum is of no known kind")?;
    let (mut reader, size) = store.open(path).map_err(|error| sentence(&error))?;
    if let Some(expected) = sum.size.filter(|expected| *expected != size) {
        return Err(format!("is {size} bytes long, not {expected}"));
    }
    let found = match algorithm {
        Algorithm::Sha256 => hash::<sha2::Sha256>(&mut reader, block, read, stop),
        Algorithm::Md5 => hash::<md5::Md5>(&mut reader, block, read, stop),
    };
    let found = found.map_err(|error| format!("cannot be read: {error}"))?;
    if found.eq_ignore_ascii_case(&sum.checksum) {
        return Ok(());
    }
    Err("its bytes are not the ones that were recorded".to_owned())
}

fn hash<D: Digest>(reader: &mut dyn Read, block: &mut [u8], read: &AtomicU64, stop: &Stop) -> std::io::Result<String> {
    let mut digest = D::new();
    loop {
        if stop.is_requested() {
            return Err(std::io::Error::other("stopped"));
        }
        match reader.read(block) {
            Ok(0) => return Ok(hex(&digest.finalize())),
            Ok(count) => {
                digest.update(&block[..count]);
                read.fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A port's error about a file, for a list that already names the file.
pub(super) fn sentence(error: &PortError) -> String {
    if error.reason == Reason::Missing {
        return "is missing".to_owned();
    }
    let cause = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("cannot be opened{}", cause.unwrap_or_default())
}
