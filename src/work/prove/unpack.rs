//! One pass from a stored backup to its files: read, hashed, decompressed, checked and written at once.
//!
//! One thread reads and hashes, some decompress, one checks and writes. What was written is worth nothing
//! until the sum of the whole is right, which is known last.

use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Gauge;
use super::error::{ProveError, bad_file};
use super::plan::Link;
use super::survey;
use crate::model::catalogue::{Algorithm, Checksum};
use crate::model::manifest::{REQUIRED_DATA_MEMBERS, REQUIRED_DELTA_MEMBERS, STREAM_FILE};
use crate::ports::prove::{Scratch, Unpacked};
use crate::ports::runner::StorePorts;
use crate::work::check::digest;
use crate::work::check::flaw::Flaw;
use crate::work::check::look::{self, Side};
use crate::work::frames;
use crate::work::stop::Stop;
use crate::work::sums::{self, BLOCK_BYTES, Sum};
use crate::work::xbstream::{Checker, Members, StreamError};

/// More threads than this outrun the one that writes, and only take memory: 8 MiB each.
const MOST_WORKERS: usize = 4;

/// How far it is, and whether it should end.
pub(super) struct Pace<'a> {
    read: &'a AtomicU64,
    total: &'a AtomicU64,
    written: &'a AtomicU64,
    stop: &'a Stop,
}

impl<'a> Pace<'a> {
    /// One that moves a gauge.
    pub(super) fn new(gauge: &'a Gauge, stop: &'a Stop) -> Self {
        Self { read: &gauge.read, total: &gauge.total, written: &gauge.written, stop }
    }
}

/// Unpacks one backup of the chain and compares every byte of it with what was recorded.
pub(super) fn unpack(
    link: &Link,
    stores: &StorePorts,
    scratch: &dyn Scratch,
    pace: &Pace<'_>,
) -> Result<(), ProveError> {
    let side = survey::side(stores, link.from)?;
    let stream = format!("{}/{STREAM_FILE}", link.backup.directory());
    for (path, sum) in &link.files {
        if *path == stream {
            let files = scratch.make(&link.directory).map_err(ProveError::Scratch)?;
            let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
            Unpacking { link, side: &side, path, expected: sum, pace }.run(files, workers)?;
        } else {
            compare_small(path, sum, &side, pace)?;
        }
    }
    Ok(())
}

/// Compares one of the small files beside the stream, which are not unpacked: they are in it too.
fn compare_small(path: &str, sum: &Checksum, side: &Side<'_>, pace: &Pace<'_>) -> Result<(), ProveError> {
    let look = look::Pace { read: pace.read, total: pace.total, stop: pace.stop };
    let compared = digest::compare(path, sum, side, &mut vec![0; BLOCK_BYTES], &look);
    if pace.stop.is_requested() {
        return Err(ProveError::Stopped);
    }
    compared.map_err(|flaw| bad_file(side, path, &flaw))
}

/// One stream on its way.
struct Unpacking<'a> {
    link: &'a Link,
    side: &'a Side<'a>,
    path: &'a str,
    expected: &'a Checksum,
    pace: &'a Pace<'a>,
}

impl Unpacking<'_> {
    fn run(&self, files: Box<dyn Unpacked>, workers: usize) -> Result<(), ProveError> {
        let opened = self.side.store.open(self.path);
        let (reader, length) = opened.map_err(|error| self.bad(&self.side.flaw_of(&error)))?;
        if let Some(expected) = self.expected.size.filter(|expected| *expected != length) {
            return Err(self.bad(&Flaw::Wrong(format!("is {length} bytes long, not {expected}"))));
        }
        let sum = Sum::new(self.expected.algorithm().unwrap_or(Algorithm::Sha256));
        // One byte more than there should be tells a file that grows from one that is whole.
        let reader = BufReader::with_capacity(BLOCK_BYTES, reader.take(length.saturating_add(1)));
        let mut source = Source { reader, sum, read: 0, pace: self.pace, broken: None };
        let is_full = self.link.parent.is_none();
        let required: &'static [&'static str] = if is_full { &REQUIRED_DATA_MEMBERS } else { &REQUIRED_DELTA_MEMBERS };
        let mut checker = Checker::demanding(required);
        let mut target = Target { files, written: self.pace.written };
        let mut problem = None;
        let passed = frames::decompress_stream(&mut source, workers, |part| {
            checker.feed_to(part, &mut target).map_err(|what| {
                problem = Some(what);
                io::Error::other("the stream is given up")
            })
        });
        let unsound = match (problem, passed) {
            (Some(Problem::Writing { path, source }), _) => {
                let file = format!("{}/{path}", self.link.directory);
                return Err(ProveError::Writing { file, source });
            }
            (Some(Problem::Stream(error)), _) => Some(error.to_string()),
            (None, Err(error)) => Some(error.to_string()),
            (None, Ok(())) => None,
        };
        self.compare(source, length)?;
        self.judge(unsound, checker)
    }

    /// Compares the sum of the whole, also where its content made no sense: that tells why.
    fn compare(&self, mut source: Source<'_>, length: u64) -> Result<(), ProveError> {
        let rest = io::copy(&mut source, &mut io::sink());
        if self.pace.stop.is_requested() {
            return Err(ProveError::Stopped);
        }
        if let Some(error) = source.broken.or(rest.err()) {
            return Err(self.bad(&self.side.flaw_of_reading(&error)));
        }
        if source.read != length {
            return Err(self.bad(&Flaw::Wrong(format!("is not the {length} bytes long that the store says"))));
        }
        sums::compare(&source.sum.finish(), self.expected).map_err(|what| self.bad(&Flaw::Wrong(what)))
    }

    /// Judges the content of a file whose bytes are the ones that were recorded.
    fn judge(&self, unsound: Option<String>, checker: Checker) -> Result<(), ProveError> {
        let content = match unsound {
            Some(what) => Err(what),
            None => checker.finish().map_err(|error| error.to_string()),
        };
        let what = match content {
            Ok(contents) if contents.bytes == self.link.stream_bytes => return Ok(()),
            Ok(contents) => format!("{} bytes were unpacked, not {}", contents.bytes, self.link.stream_bytes),
            Err(what) => what,
        };
        Err(self.bad(&Flaw::Wrong(format!("is what was recorded, and still no whole backup: {what}"))))
    }

    fn bad(&self, flaw: &Flaw) -> ProveError {
        bad_file(self.side, self.path, flaw)
    }
}

/// The stored bytes, hashed as they are read.
struct Source<'a> {
    /// Frames are read in small pieces, which no store should see.
    reader: BufReader<io::Take<Box<dyn Read + Send>>>,
    sum: Sum,
    read: u64,
    pace: &'a Pace<'a>,
    /// Why it could not be read further.
    broken: Option<io::Error>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pace.stop.is_requested() {
            return Err(io::Error::other("stopped"));
        }
        match self.reader.read(buffer) {
            Ok(count) => {
                self.sum.update(&buffer[..count]);
                self.read += count as u64;
                self.pace.read.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let again = io::Error::new(error.kind(), error.to_string());
                self.broken = Some(error);
                Err(again)
            }
        }
    }
}

/// What went wrong with a stream that could be read.
enum Problem {
    Stream(StreamError),
    Writing { path: String, source: io::Error },
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// The directory the members of the stream become.
struct Target<'a> {
    files: Box<dyn Unpacked>,
    written: &'a AtomicU64,
}

impl Members for Target<'_> {
    type Error = Problem;

    fn begin(&mut self, path: &str, anew: bool) -> Result<(), Problem> {
        self.files.begin(path, anew).map_err(writing(path))
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Problem> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.files.write(path, offset, bytes).map_err(writing(path))
    }

    fn close(&mut self, path: &str, length: u64) -> Result<(), Problem> {
        self.files.close(path, length).map_err(writing(path))
    }

    fn rename(&mut self, path: &str, to: &str) -> Result<(), Problem> {
        self.files.rename(path, to).map_err(writing(path))
    }

    fn remove(&mut self, path: &str) -> Result<(), Problem> {
        self.files.remove(path).map_err(writing(path))
    }
}

fn writing(path: &str) -> impl FnOnce(io::Error) -> Problem {
    let path = path.to_owned();
    |source| Problem::Writing { path, source }
}

#[cfg(test)]
mod tests;
