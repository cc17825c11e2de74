//! One pass from a stored backup to its files: read, hashed, decompressed, checked and written at once.
//!
//! One thread reads and hashes, some decompress, one checks and writes. What was written is worth nothing
//! until the sum of the whole is right, which is known last.

use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Gauge;
use super::error::{ProveError, bad_file};
use super::plan::{Form, Link};
use super::{LEAST_ROOM, survey};
use crate::model::catalogue::{Algorithm, Checksum};
use crate::model::manifest::{LsnRange, REQUIRED_DATA_MEMBERS, REQUIRED_DELTA_MEMBERS, ToolFile};
use crate::model::original;
use crate::ports::PortError;
use crate::ports::prove::{Scratch, Unpacked};
use crate::ports::runner::StorePorts;
use crate::work::check::digest;
use crate::work::check::flaw::Flaw;
use crate::work::check::look::{self, Side};
use crate::work::openssl::Decrypting;
use crate::work::stop::Stop;
use crate::work::sums::{self, BLOCK_BYTES, Sum};
use crate::work::xbstream::{Checker, Contents, Members, StreamError};
use crate::work::{frames, gzip};

/// More threads than this outrun the one that writes, and only take memory: 8 MiB each.
const MOST_WORKERS: usize = 8;

/// The member of a stream with the redo.
const REDO: &str = "ib_logfile0";

/// So many bytes are written before it is looked again how many are free.
const UNLOOKED_BYTES: u64 = 64 << 20;

/// What a file takes on a volume beside its bytes.
const FILE_BYTES: u64 = 4096;

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

/// Where it is unpacked.
pub(super) struct Room<'a> {
    /// The directory.
    pub scratch: &'a dyn Scratch,
    /// Free bytes below which it is given up.
    pub reserve_bytes: u64,
}

/// Unpacks one backup of the chain and compares every byte of it with what was recorded.
///
/// Returns how long the redo in it is, in bytes.
pub(super) fn unpack(link: &Link, stores: &StorePorts, room: &Room<'_>, pace: &Pace<'_>) -> Result<u64, ProveError> {
    let side = survey::side(stores, link.from)?;
    let stream = format!("{}/{}", link.backup.directory(), link.form.stream_file());
    let mut redo_bytes = 0;
    for (path, sum) in &link.files {
        if *path == stream {
            let files = room.scratch.make(&link.directory).map_err(ProveError::Scratch)?;
            let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
            let contents = Unpacking { link, side: &side, path, expected: sum, room, pace }.run(files, workers)?;
            redo_bytes = contents.members.get(REDO).copied().unwrap_or_default();
        } else {
            compare_small(path, sum, &side, pace)?;
        }
    }
    Ok(redo_bytes)
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
    room: &'a Room<'a>,
    pace: &'a Pace<'a>,
}

impl Unpacking<'_> {
    fn run(&self, files: Box<dyn Unpacked>, workers: usize) -> Result<Contents, ProveError> {
        let opened = self.side.store.open(self.path);
        let (reader, length) = opened.map_err(|error| self.bad(&self.side.flaw_of(&error)))?;
        if let Some(expected) = self.expected.size.filter(|expected| *expected != length) {
            return Err(self.bad(&Flaw::Wrong(format!("is {length} bytes long, not {expected}"))));
        }
        let sum = Sum::new(self.expected.algorithm().unwrap_or(Algorithm::Sha256));
        // One byte more than there should be tells a file that grows from one that is whole.
        let reader = BufReader::with_capacity(BLOCK_BYTES, reader.take(length.saturating_add(1)));
        let mut source = Source { reader, sum, read: 0, pace: self.pace, broken: None };
        let mut checker = self.checker();
        let mut target = Target { files, room: self.room, unlooked: UNLOOKED_BYTES, written: self.pace.written };
        let mut problem = None;
        let sink = |part: &[u8]| {
            checker.feed_to(part, &mut target).map_err(|what| {
                problem = Some(what);
                io::Error::other("the stream is given up")
            })
        };
        let passed = match &self.link.form {
            Form::Ours { .. } => frames::decompress_stream(&mut source, workers, sink),
            Form::Original { key: None } => gzip::decompress_stream(&mut source, sink),
            Form::Original { key: Some(key) } => gzip::decompress_stream(&mut Decrypting::new(&mut source, key), sink),
        };
        let unsound = match (problem, passed) {
            (Some(Problem::Writing { path, source }), _) => {
                let file = format!("{}/{path}", self.link.directory);
                return Err(ProveError::Writing { file, source });
            }
            (Some(Problem::Room(error)), _) => return Err(ProveError::Scratch(error)),
            (Some(Problem::FillsUp { free_bytes, kept_bytes }), _) => {
                let (backup, place) = (self.link.backup.clone(), self.room.scratch.place());
                return Err(ProveError::FillsUp { backup, place, free_bytes, kept_bytes });
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

    /// Demands what a stream of this form has.
    fn checker(&self) -> Checker {
        let is_full = self.link.backup.base().is_none();
        let checker =
            Checker::demanding(if is_full { &REQUIRED_DATA_MEMBERS[..] } else { &REQUIRED_DELTA_MEMBERS[..] });
        match self.link.form {
            Form::Ours { .. } => checker,
            Form::Original { .. } => checker.with_tool_files(&original::TOOL_FILES),
        }
    }

    /// Judges the content of a file whose bytes are the ones that were recorded.
    fn judge(&self, unsound: Option<String>, checker: Checker) -> Result<Contents, ProveError> {
        let content = match unsound {
            Some(what) => Err(what),
            None => checker.finish().map_err(|error| error.to_string()),
        };
        let what = match content.and_then(|contents| self.as_described(&contents).map(|()| contents)) {
            Ok(contents) => return Ok(contents),
            Err(what) => what,
        };
        Err(self.bad(&Flaw::Wrong(format!("is what was recorded, and still no whole backup: {what}"))))
    }

    /// Compares a whole stream with what was said of it.
    fn as_described(&self, contents: &Contents) -> Result<(), String> {
        match &self.link.form {
            Form::Ours { stream_bytes, .. } if contents.bytes != *stream_bytes => {
                Err(format!("{} bytes were unpacked, not {stream_bytes}", contents.bytes))
            }
            Form::Ours { .. } => Ok(()),
            // The file beside it decided what it is applied to.
            Form::Original { .. } => {
                let inside =
                    contents.tool_files.get(&ToolFile::Checkpoints).map(|bytes| String::from_utf8_lossy(bytes));
                match inside.and_then(|text| LsnRange::find(&text)) {
                    Some(lsn) if lsn == self.link.lsn => Ok(()),
                    _ => Err("the checkpoints in it are not those beside it".to_owned()),
                }
            }
        }
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
    FillsUp { free_bytes: u64, kept_bytes: u64 },
    Room(PortError),
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// The directory the members of the stream become.
struct Target<'a> {
    files: Box<dyn Unpacked>,
    room: &'a Room<'a>,
    /// Bytes since it was last looked how many are free.
    unlooked: u64,
    written: &'a AtomicU64,
}

impl Target<'_> {
    /// Gives up before a server on the same volume has no room left: how much will be written is not always
    /// known, and others may write there, too.
    fn look_at_room(&mut self, bytes: u64) -> Result<(), Problem> {
        self.unlooked = self.unlooked.saturating_add(bytes);
        if self.unlooked < UNLOOKED_BYTES {
            return Ok(());
        }
        self.unlooked = 0;
        let free_bytes = self.room.scratch.free_bytes().map_err(Problem::Room)?;
        let kept_bytes = self.room.reserve_bytes.max(LEAST_ROOM);
        if free_bytes < kept_bytes { Err(Problem::FillsUp { free_bytes, kept_bytes }) } else { Ok(()) }
    }
}

impl Members for Target<'_> {
    type Error = Problem;

    fn begin(&mut self, path: &str, anew: bool) -> Result<(), Problem> {
        // A file takes room also when nothing is in it.
        self.look_at_room(FILE_BYTES)?;
        self.files.begin(path, anew).map_err(writing(path))
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Problem> {
        self.look_at_room(bytes.len() as u64)?;
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
