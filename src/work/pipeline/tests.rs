//! Streams through a pipeline into memory.

use std::io::{Cursor, Write};
use std::sync::Mutex;

use async_trait::async_trait;

use super::super::xbstream::tests::{end, payload, whole_stream};
use super::*;
use crate::model::manifest::REQUIRED_DATA_MEMBERS;
use crate::ports::Reason;

struct StillClock;

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {}
}

/// A file that is full after some bytes.
#[derive(Clone, Default)]
struct MemoryFile {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: Option<usize>,
    broken_disk: bool,
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.bytes.lock().unwrap();
        if self.room.is_some_and(|room| held.len() + bytes.len() > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StoreFile for MemoryFile {
    fn make_durable(&mut self) -> Result<(), PortError> {
        if self.broken_disk { Err(PortError::new(Reason::Other, "cannot make it durable")) } else { Ok(()) }
    }
}

/// A stream that does not compress to nothing, longer than all frames in flight.
fn long_stream() -> Vec<u8> {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 60).unwrap()
    };
    let data: Vec<u8> = (0..1 << 20).map(|_| noise()).collect();
    let chunks: Vec<_> = (0..48).map(|n| payload("shop/orders.ibd", n << 20, &data)).collect();
    whole_stream(&[chunks.concat(), end("shop/orders.ibd")].concat())
}

fn pass(stream: Vec<u8>, file: MemoryFile) -> Result<Passed, PipelineError> {
    let meter = Arc::new(Meter::new(Arc::new(StillClock)));
    let settings = Settings { level: 1, workers: 3, required_members: &REQUIRED_DATA_MEMBERS };
    let running = start(Box::new(Cursor::new(stream)), Box::new(file), settings, Arc::clone(&meter));
    running.stream_over.blocking_recv().unwrap();
    let result = running.finished.blocking_recv().unwrap();
    if let Ok(passed) = &result {
        assert_eq!((meter.read_bytes(), meter.written_bytes()), (passed.contents.bytes, passed.stored.size));
    }
    result
}

#[test]
fn what_went_in_comes_out_of_any_zstd_and_its_sum_is_right() {
    let (stream, file) = (long_stream(), MemoryFile::default());
    let passed = pass(stream.clone(), file.clone()).unwrap();
    let bytes = file.bytes.lock().unwrap();
    assert!(zstd::stream::decode_all(&bytes[..]).unwrap() == stream);
    assert_eq!(passed.stored.size, bytes.len() as u64);
    assert_eq!(passed.stored.sha256, hex(&Sha256::digest(&bytes[..])));
    assert_eq!(passed.contents.bytes, stream.len() as u64);
    assert_eq!(passed.contents.members["shop/orders.ibd"], 48 << 20);
}

#[test]
fn a_full_volume_ends_it_with_that_cause() {
    let file = MemoryFile { room: Some(1 << 20), ..MemoryFile::default() };
    let error = pass(long_stream(), file).unwrap_err();
    assert!(matches!(error, PipelineError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn a_disk_that_keeps_nothing_ends_it_with_that_cause() {
    let file = MemoryFile { broken_disk: true, ..MemoryFile::default() };
    assert!(matches!(pass(whole_stream(&[]), file), Err(PipelineError::Durable(_))));
}

#[test]
fn a_damaged_or_cut_stream_ends_it_with_that_cause() {
    let mut damaged = long_stream();
    damaged[10 << 20] ^= 1;
    let error = pass(damaged, MemoryFile::default()).unwrap_err();
    assert!(matches!(error, PipelineError::Stream(StreamError::BadChecksum { .. })), "{error:?}");
    let cut = long_stream()[..20 << 20].to_vec();
    let error = pass(cut, MemoryFile::default()).unwrap_err();
    assert!(matches!(error, PipelineError::Stream(StreamError::CutInChunk { .. })), "{error:?}");
    assert!(matches!(pass(Vec::new(), MemoryFile::default()), Err(PipelineError::Stream(_))));
}

#[test]
fn a_stream_that_cannot_be_read_ends_it_with_that_cause() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let meter = Arc::new(Meter::new(Arc::new(StillClock)));
    let settings = Settings { level: 1, workers: 1, required_members: &REQUIRED_DATA_MEMBERS };
    let running = start(Box::new(Broken), Box::new(MemoryFile::default()), settings, meter);
    assert!(matches!(running.finished.blocking_recv().unwrap(), Err(PipelineError::Read(_))));
}
