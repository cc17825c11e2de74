//! Reading an object as a stream that outlives broken connections.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf, Bytes};

use super::Bucket;
use crate::ports::{PortError, Reason};

/// How often a connection may break with little read since it was made.
const BREAKS: u32 = 5;

/// How much must be read for a break to count as the first one again.
const PROGRESS: u64 = 8 << 20;

/// Opens an object for reading, and returns its length with it.
pub(super) fn open(bucket: Arc<Bucket>, key: String) -> Result<(ObjectReader, u64), PortError> {
    let got = bucket.wait(bucket.client.get_object().bucket(&bucket.name).key(&key).send());
    let got = got.map_err(|error| bucket.failed(format!("read {}", bucket.url(&key)), &error))?;
    let Some(size) = got.content_length().and_then(|length| u64::try_from(length).ok()) else {
        let what = format!("{} does not tell how long {} is", bucket.server, bucket.url(&key));
        return Err(PortError::new(Reason::Other, what));
    };
    let etag = got.e_tag().map(str::to_owned);
    let reader =
        ObjectReader { bucket, key, etag, size, offset: 0, body: got.body, chunk: Bytes::new(), breaks: 0, at: 0 };
    Ok((reader, size))
}

/// A reader of one object, as it was when it was opened.
pub(super) struct ObjectReader {
    bucket: Arc<Bucket>,
    key: String,
    etag: Option<String>,
    size: u64,
    offset: u64,
    body: ByteStream,
    chunk: Bytes,
    breaks: u32,
    /// Where the last break was.
    at: u64,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !buffer.is_empty() {
            self.chunk = self.next_chunk()?;
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl ObjectReader {
    /// The next bytes; none at the end.
    fn next_chunk(&mut self) -> io::Result<Bytes> {
        loop {
            let next = self.bucket.wait(self.body.try_next());
            let broken = match next {
                Ok(Some(chunk)) if chunk.is_empty() => continue,
                Ok(Some(chunk)) => {
                    self.offset += chunk.len() as u64;
                    return Ok(chunk);
                }
                Ok(None) if self.offset == self.size => return Ok(Bytes::new()),
                Ok(None) => io::Error::from(io::ErrorKind::UnexpectedEof),
                Err(error) => io::Error::other(error),
            };
            // With every byte read, this can only be a sum that does not fit them.
            if self.offset >= self.size {
                return Err(broken);
            }
            self.reopen(broken)?;
        }
    }

    /// Asks for the rest, if it is still the same object.
    fn reopen(&mut self, broken: io::Error) -> io::Result<()> {
        if self.offset - self.at >= PROGRESS {
            self.breaks = 0;
        }
        (self.breaks, self.at) = (self.breaks + 1, self.offset);
        if self.breaks > BREAKS {
            return Err(broken);
        }
        tracing::info!(key = self.key, offset = self.offset, error = %broken, "reading broke off, going on");
        let bucket = Arc::clone(&self.bucket);
        let asked = bucket.client.get_object().bucket(&bucket.name).key(&self.key);
        let asked = asked.range(format!("bytes={}-", self.offset)).set_if_match(self.etag.clone());
        let pause = Duration::from_secs(u64::from(self.breaks) - 1);
        let got = bucket.wait(async {
            tokio::time::sleep(pause).await;
            asked.send().await
        });
        let got = got.map_err(|error| {
            io::Error::other(bucket.failed(format!("read on in {}", bucket.url(&self.key)), &error))
        })?;
        let rest = format!("bytes {}-", self.offset);
        if !got.content_range().is_some_and(|range| range.starts_with(&rest)) {
            return Err(io::Error::other(format!("{} does not send what it was asked for", bucket.server)));
        }
        self.body = got.body;
        Ok(())
    }
}
