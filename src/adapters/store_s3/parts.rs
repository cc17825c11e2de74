//! A large file on its way into the bucket.
//!
//! Bytes are gathered into parts, which go up several at a time while the next one is filled; what
//! fits into one part goes up whole. Every part carries its SHA-256, which the server checks, so
//! that its body is hashed once and needs no other signature.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::base64;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::part_size::Parts;
use super::record::Uploaded;
use super::unfinished::Upload;
use super::{Bucket, body, client, error};
use crate::ports::runner::StoreFile;
use crate::ports::{PortError, Reason};

/// Where writers leave what has to be recorded with the mark.
pub(super) type Records = Arc<Mutex<Vec<Uploaded>>>;

/// A part the server has.
struct Sent {
    number: i32,
    etag: String,
    sha256: [u8; 32],
}

/// A large file being written.
pub(super) struct PartWriter {
    bucket: Arc<Bucket>,
    key: String,
    name: String,
    parts: Parts,
    /// An upload that was found or begun; it is not used before the first part is full.
    upload: Option<Arc<Upload>>,
    filling: Vec<u8>,
    sending: JoinSet<Result<Sent, PortError>>,
    sent: BTreeMap<i32, Sent>,
    begun: i32,
    written: u64,
    state: State,
    records: Records,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Broken,
    Durable,
}

/// Creates a file, or finds the upload of it that an earlier try left.
pub(super) fn create(
    bucket: Arc<Bucket>,
    path: &str,
    expected: u64,
    records: Records,
) -> Result<PartWriter, PortError> {
    let key = bucket.key(path)?;
    let earlier = bucket.wait(bucket.earlier_upload(&key, expected))?;
    let (upload, parts) = match earlier {
        Some((upload, parts)) => (Some(Arc::new(upload)), parts),
        None => (None, Parts::of(expected, bucket.max_parts)?),
    };
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    Ok(PartWriter {
        bucket,
        key,
        name,
        parts,
        upload,
        filling: Vec::new(),
        sending: JoinSet::new(),
        sent: BTreeMap::new(),
        begun: 0,
        written: 0,
        state: State::Open,
        records,
    })
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.state != State::Open {
            return Err(io::Error::other(format!("nothing more can be written to {}", self.bucket.url(&self.key))));
        }
        let part_bytes = usize::try_from(self.parts.bytes).unwrap_or(usize::MAX);
        if self.filling.len() == part_bytes
            && let Err(error) = self.send_filled()
        {
            self.state = State::Broken;
            return Err(as_io(error));
        }
        if self.filling.capacity() == 0 {
            self.filling.reserve_exact(part_bytes);
        }
        let count = bytes.len().min(part_bytes - self.filling.len());
        self.filling.extend_from_slice(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Only whole parts can be sent; the rest goes with `make_durable`.
        Ok(())
    }
}

impl StoreFile for PartWriter {
    fn make_durable(&mut self) -> Result<(), PortError> {
        match self.state {
            State::Durable => return Ok(()),
            State::Broken => {
                let what = format!("the upload of {} failed before it was whole", self.bucket.url(&self.key));
                return Err(PortError::new(Reason::Other, what));
            }
            State::Open => self.state = State::Broken,
        }
        if self.begun == 0 {
            self.finish_whole()?;
        } else {
            self.finish_parts()?;
        }
        self.state = State::Durable;
        Ok(())
    }
}

impl PartWriter {
    /// Sends what was gathered as the next part, and waits until there is room for another one.
    fn send_filled(&mut self) -> Result<(), PortError> {
        let (bucket, number) = (Arc::clone(&self.bucket), self.begun + 1);
        if u32::try_from(number).is_ok_and(|number| number > bucket.max_parts) {
            let what = format!(
                "{} has more than the {} parts of {} MiB that it was cut for",
                bucket.url(&self.key),
                bucket.max_parts,
                self.parts.bytes >> 20
            );
            return Err(PortError::new(Reason::Other, what)
                .with_hint("raise MARIADB_BACKUP_S3_MAX_PARTS to what the server takes, and run it again"));
        }
        let upload = if let Some(upload) = &self.upload {
            Arc::clone(upload)
        } else {
            let begun = Arc::new(bucket.wait(bucket.new_upload(&self.key))?);
            Arc::clone(self.upload.insert(begun))
        };
        self.begun = number;
        let bytes = Bytes::from(mem::take(&mut self.filling));
        self.sending.spawn_on(send(Arc::clone(&bucket), upload, number, bytes), &bucket.runtime);
        self.wait_until_at_most(self.parts.in_flight)
    }

    /// Waits until no more parts than that are on their way.
    fn wait_until_at_most(&mut self, count: usize) -> Result<(), PortError> {
        while self.sending.len() > count {
            let Some(ended) = self.bucket.wait(self.sending.join_next()) else { break };
            let sent = ended.unwrap_or_else(|error| {
                Err(PortError::new(Reason::Other, format!("cannot upload {}", self.key)).caused_by(error))
            })?;
            self.sent.insert(sent.number, sent);
        }
        Ok(())
    }

    fn finish_whole(&mut self) -> Result<(), PortError> {
        let (bucket, key) = (&self.bucket, &self.key);
        let bytes = Bytes::from(mem::take(&mut self.filling));
        bucket.wait(async {
            if let Some(unused) = &self.upload {
                bucket.abort(key, &unused.id).await?;
            }
            bucket.put(key, bytes, &[]).await?;
            bucket.check_length(key, self.written).await.map(drop)
        })
    }

    fn finish_parts(&mut self) -> Result<(), PortError> {
        self.send_filled()?;
        self.wait_until_at_most(0)?;
        let Some(upload) = &self.upload else { return Ok(()) };
        let sum = composite(self.sent.values());
        let head = self.bucket.wait(async {
            self.bucket.complete(upload, &self.sent, &sum).await?;
            self.bucket.check_length(&self.key, self.written).await
        })?;
        if head.checksum_sha256().is_some_and(|kept| kept != sum) {
            let what =
                format!("{} keeps other bytes of {} than were sent", self.bucket.server, self.bucket.url(&self.key));
            return Err(PortError::new(Reason::Other, what));
        }
        let record = Uploaded { name: self.name.clone(), part_bytes: self.parts.bytes, sum };
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        Ok(())
    }
}

/// The sum S3 keeps of an object that came in parts.
fn composite<'a>(sent: impl Iterator<Item = &'a Sent>) -> String {
    let (mut hash, mut count) = (Sha256::new(), 0);
    for part in sent {
        hash.update(part.sha256);
        count += 1;
    }
    format!("{}-{count}", base64::encode(hash.finalize()))
}

/// Sends one part, unless the server has it already.
async fn send(bucket: Arc<Bucket>, upload: Arc<Upload>, number: i32, bytes: Bytes) -> Result<Sent, PortError> {
    let what = || format!("upload part {number} of {}", bucket.url(&upload.key));
    let known = upload.known.get(&number).cloned();
    let body = bytes.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        let sha256: [u8; 32] = Sha256::digest(&body).into();
        let text = base64::encode(sha256);
        let same = known.filter(|known| known.is(&body, &text));
        (sha256, text, same)
    });
    let (sha256, text, same) =
        hashed.await.map_err(|error| PortError::new(Reason::Other, format!("cannot {}", what())).caused_by(error))?;
    if let Some(same) = same {
        return Ok(Sent { number, etag: same.etag, sha256 });
    }
    let patient = client::patient(bytes.len(), bucket.bytes_per_sec);
    let asked = bucket.client.upload_part().bucket(&bucket.name).key(&upload.key).upload_id(&upload.id);
    let asked = asked.part_number(number).checksum_sha256(text).body(body::of(bytes, &bucket.pace));
    // The sum is signed, and protects the body.
    let taken = asked.customize().disable_payload_signing().config_override(patient).send().await;
    let taken = taken.map_err(|error| bucket.failed(what(), &error))?;
    let Some(etag) = taken.e_tag() else {
        return Err(PortError::new(Reason::Other, format!("{} took no part {number}", bucket.server)));
    };
    Ok(Sent { number, etag: etag.to_owned(), sha256 })
}

impl Bucket {
    /// Makes one object of the parts.
    async fn complete(&self, upload: &Upload, sent: &BTreeMap<i32, Sent>, sum: &str) -> Result<(), PortError> {
        let part = |sent: &Sent| {
            CompletedPart::builder()
                .part_number(sent.number)
                .e_tag(&sent.etag)
                .checksum_sha256(base64::encode(sent.sha256))
                .build()
        };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(sent.values().map(part).collect())).build();
        let asked = |unless_there: Option<&str>| {
            let asked = self.client.complete_multipart_upload().bucket(&self.name).key(&upload.key);
            let asked = asked.upload_id(&upload.id).multipart_upload(parts.clone());
            let asked = asked.set_if_none_match(unless_there.map(str::to_owned));
            // Some servers copy everything once more before they answer.
            asked.customize().config_override(client::patient(32 << 20, 0)).send()
        };
        let mut done = asked(Some("*")).await;
        if done.as_ref().is_err_and(error::is_unknown_there) {
            done = asked(None).await;
        }
        let Err(error) = done else { return Ok(()) };
        let error = self.failed(format!("finish the upload of {}", self.url(&upload.key)), &error);
        // When the answer to a first attempt was lost, a second one finds the work done.
        let may_be_done = matches!(error.reason, Reason::Conflict | Reason::Missing);
        if may_be_done && self.head(&upload.key).await?.is_some_and(|head| head.checksum_sha256() == Some(sum)) {
            return Ok(());
        }
        Err(error)
    }

    /// Checks that the server has a file in its full length.
    async fn check_length(&self, key: &str, written: u64) -> Result<HeadObjectOutput, PortError> {
        let head = self.head(key).await?;
        let length = head.as_ref().and_then(HeadObjectOutput::content_length);
        match head {
            Some(head) if length.is_some_and(|length| u64::try_from(length) == Ok(written)) => Ok(head),
            _ => {
                let length = length.unwrap_or_default();
                let what = format!("{} is {length} bytes long after {written} were written", self.url(key));
                Err(PortError::new(Reason::Other, what))
            }
        }
    }
}

/// An error as a writer must give it; the port's error is inside.
fn as_io(error: PortError) -> io::Error {
    let kind = match error.reason {
        Reason::NoSpace => io::ErrorKind::StorageFull,
        Reason::Forbidden | Reason::Credentials => io::ErrorKind::PermissionDenied,
        Reason::Unreachable => io::ErrorKind::HostUnreachable,
        Reason::TimedOut => io::ErrorKind::TimedOut,
        Reason::Missing => io::ErrorKind::NotFound,
        Reason::Conflict | Reason::Malformed | Reason::Other => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
