//! One pass from mariadb-backup's stream to a durable, compressed and hashed file.
//!
//! A thread reads ahead and checks every chunk; one worker a core compresses frames; the last
//! stage hashes and writes them in order. Memory is bounded whatever the size of the data. The end
//! of the stream is told as soon as it is seen, because the replica can come back then: what is
//! still to be compressed, written and made durable is no concern of its.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::frames::{FRAME_BYTES, FrameCompressor, SeekTable};
use super::lanes;
use super::xbstream::{Checker, Contents, StreamError};
use crate::model::manifest::{StoredFile, hex};
use crate::ports::runner::StoreFile;
use crate::ports::{Clock, PortError};

/// More workers than this outrun any mariadb-backup, whose stream is one pipe, and only take memory:
/// 16 MiB each with its share of what is under way, beside the parts an upload holds.
const MOST_WORKERS: usize = 4;

/// What a pipeline is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// zstd level.
    pub level: i32,
    /// Threads that compress.
    pub workers: usize,
    /// Files without which the stream is not whole.
    pub required_members: &'static [&'static str],
}

impl Settings {
    /// One worker a core, within reason.
    #[must_use]
    pub fn for_this_machine(level: i32, required_members: &'static [&'static str]) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { level, workers: cores.min(MOST_WORKERS), required_members }
    }
}

/// What can be read of a pipeline while it runs.
pub struct Meter {
    clock: Arc<dyn Clock>,
    read: AtomicU64,
    written: AtomicU64,
    first_byte: OnceLock<Duration>,
    last_byte: OnceLock<Duration>,
}

impl Meter {
    /// Makes one that stands at zero.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (read, written) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { clock, read, written, first_byte: OnceLock::new(), last_byte: OnceLock::new() }
    }

    /// Bytes of the stream read.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes written to the store.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// When the stream's first byte came, by the clock's elapsed time.
    #[must_use]
    pub fn first_byte(&self) -> Option<Duration> {
        self.first_byte.get().copied()
    }

    /// When the stream ended, by the clock's elapsed time.
    #[must_use]
    pub fn last_byte(&self) -> Option<Duration> {
        self.last_byte.get().copied()
    }
}

/// Why bytes did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The stream could not be read.
    #[error("cannot read the stream of mariadb-backup")]
    Read(#[source] io::Error),
    /// The stream is not what it must be.
    #[error("the stream of mariadb-backup is not whole")]
    Stream(#[source] StreamError),
    /// The store did not take the bytes, or a frame could not be compressed.
    #[error("cannot write the backup after {written} bytes")]
    Write {
        /// Bytes written until then.
        written: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store did not make the bytes durable.
    #[error("cannot make the backup durable")]
    Durable(#[source] PortError),
    /// A thread ended without its result.
    #[error("the pipeline ended by a fault of this program")]
    BrokeOff,
}

/// What went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The stream.
    pub contents: Contents,
    /// The file it became.
    pub stored: StoredFile,
}

/// A pipeline at work.
pub struct Running {
    /// Resolves when the stream is at its end, or will not be read any further.
    pub stream_over: oneshot::Receiver<()>,
    /// Resolves when every byte is durable, or with the first cause why not.
    pub finished: oneshot::Receiver<Result<Passed, PipelineError>>,
}

/// Starts a pipeline on threads of its own.
#[must_use]
pub fn start(source: Box<dyn Read + Send>, sink: Box<dyn StoreFile>, settings: Settings, meter: Arc<Meter>) -> Running {
    let (over, stream_over) = oneshot::channel();
    let (done, finished) = oneshot::channel();
    thread::spawn(move || {
        let result = run(source, sink, settings, &meter, over);
        // Nobody asks for it when the run was given up.
        let _unwanted = done.send(result);
    });
    Running { stream_over, finished }
}

/// A frame on its way.
#[derive(Default)]
struct Frame {
    content: Vec<u8>,
    compressed: Vec<u8>,
}

/// The reading end: fills frames and checks what it reads.
struct Source<'a> {
    stream: Option<Box<dyn Read + Send>>,
    checker: Checker,
    meter: &'a Meter,
    over: Option<oneshot::Sender<()>>,
    /// What is wrong with the stream, which an `io::Error` would blur.
    problem: Option<PipelineError>,
}

impl Source<'_> {
    /// Fills a frame; `false` at the end of the stream or when it is not worth reading on.
    fn fill(&mut self, frame: &mut Frame) -> bool {
        frame.content.resize(FRAME_BYTES, 0);
        let mut filled = 0;
        while filled < FRAME_BYTES {
            match self.read(&mut frame.content[filled..]) {
                Ok(0) => {
                    self.end();
                    break;
                }
                Ok(count) => filled += count,
                Err(problem) => {
                    self.problem = Some(problem);
                    self.end();
                    return false;
                }
            }
        }
        frame.content.truncate(filled);
        filled > 0
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PipelineError> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let count = loop {
            match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(PipelineError::Read)?,
            }
        };
        self.meter.first_byte.get_or_init(|| self.meter.clock.elapsed());
        self.checker.feed(&buffer[..count]).map_err(PipelineError::Stream)?;
        self.meter.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// Closes the stream, so that mariadb-backup learns that nobody reads any more.
    fn end(&mut self) {
        self.stream = None;
        self.meter.last_byte.get_or_init(|| self.meter.clock.elapsed());
        if let Some(over) = self.over.take() {
            // Nobody asks for it when the run was given up.
            let _unwanted = over.send(());
        }
    }
}

/// The writing end: hashes, counts and writes.
struct Sink<'a> {
    file: Box<dyn StoreFile>,
    hash: Sha256,
    table: SeekTable,
    meter: &'a Meter,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)?;
        self.meter.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.table.push(frame.compressed.len(), frame.content.len())?;
        self.write(&frame.compressed)
    }
}

fn run(
    stream: Box<dyn Read + Send>,
    file: Box<dyn StoreFile>,
    settings: Settings,
    meter: &Meter,
    over: oneshot::Sender<()>,
) -> Result<Passed, PipelineError> {
    let checker = Checker::demanding(settings.required_members);
    let mut source = Source { stream: Some(stream), checker, meter, over: Some(over), problem: None };
    let mut sink = Sink { file, hash: Sha256::new(), table: SeekTable::default(), meter };
    let worker = || {
        let mut compressor = FrameCompressor::new(settings.level)?;
        Ok(move |frame: &mut Frame| compressor.compress(&frame.content, &mut frame.compressed))
    };
    let read_next = |frame: &mut Frame| Ok(source.fill(frame));
    let moved = lanes::run(settings.workers, read_next, worker, |frame: &Frame| sink.write_frame(frame));
    source.end();
    if let Some(problem) = source.problem {
        return Err(problem);
    }
    let write_error = |source| PipelineError::Write { written: meter.written_bytes(), source };
    moved.map_err(write_error)?;
    let contents = source.checker.finish().map_err(PipelineError::Stream)?;
    close(sink, contents).map_err(|error| match error {
        CloseError::Write(source) => write_error(source),
        CloseError::Durable(error) => PipelineError::Durable(error),
    })
}

enum CloseError {
    Write(io::Error),
    Durable(PortError),
}

/// Writes the list of frames and makes the file durable.
fn close(mut sink: Sink<'_>, contents: Contents) -> Result<Passed, CloseError> {
    if sink.table.content_bytes() != contents.bytes {
        return Err(CloseError::Write(io::Error::other("the frames do not hold as many bytes as were read")));
    }
    let table = sink.table.to_bytes().map_err(CloseError::Write)?;
    sink.write(&table).map_err(CloseError::Write)?;
    sink.file.flush().map_err(CloseError::Write)?;
    sink.file.make_durable().map_err(CloseError::Durable)?;
    let stored = StoredFile { size: sink.meter.written_bytes(), sha256: hex(&sink.hash.finalize()) };
    Ok(Passed { contents, stored })
}

#[cfg(test)]
mod tests;
