//! Backups in a bucket: on AWS, or on any server that speaks its language.
//!
//! Keys are the paths of the layout behind a prefix. The mark of a backup, `manifest.json`, is
//! written last and removed first, so that a directory without it is unfinished work. A large file
//! goes up in parts whose sums the server checks; what an interrupted upload brought there is used
//! again by the next one, as far as its parts prove to be the same bytes.
//!
//! Nothing is ever overwritten where the server can help it, no key outside the layout touched, and
//! nothing changed in a place that bears the mark of another cluster.

mod body;
mod client;
mod download;
mod error;
mod listing;
mod owner;
mod pace;
mod part_size;
mod parts;
mod pending;
mod record;
mod unfinished;

use std::future::Future;
use std::io::Read;
use std::path::{Component, Path};
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::model::backup_id::BackupId;
use crate::model::manifest::{MANIFEST_FILE, hex};
use crate::model::order::S3Store;
use crate::model::original::MARK_FILE;
use crate::ports::runner::{FileFacts, KeptSum, PendingBackup, Store};
use crate::ports::{PortError, Reason};

use pace::Pace;

/// The files that make a backup count.
const MARKS: [&str; 2] = [MANIFEST_FILE, MARK_FILE];

/// A place in a bucket.
pub struct S3Bucket {
    bucket: Arc<Bucket>,
}

/// What every call needs.
struct Bucket {
    client: Client,
    runtime: Handle,
    name: String,
    prefix: String,
    server: String,
    max_parts: u32,
    bytes_per_sec: u64,
    pace: Arc<Pace>,
    /// Who may write here; `None` where nobody asks.
    owner: Option<String>,
    /// Set once that was found to be so.
    is_ours: OnceCell<owner::Since>,
}

impl S3Bucket {
    /// Makes one from an order; nothing is asked of the server yet.
    ///
    /// Must be called within a runtime of several threads. Its calls block, and may be made from any
    /// thread: inside that runtime they make room for others first.
    ///
    /// # Errors
    /// When a file the order names cannot be used, or there is no runtime.
    pub fn open(order: &S3Store) -> Result<Self, PortError> {
        let runtime = Handle::try_current()
            .map_err(|error| PortError::new(Reason::Other, "cannot use S3 here").caused_by(error))?;
        let client = tokio::task::block_in_place(|| runtime.block_on(client::of(order)))?;
        let bucket = Bucket {
            client,
            runtime,
            name: order.bucket.clone(),
            prefix: order.prefix.trim_matches('/').to_owned(),
            server: order.endpoint.clone().unwrap_or_else(|| format!("AWS in {}", order.region)),
            max_parts: order.max_parts,
            bytes_per_sec: order.bytes_per_sec,
            pace: Arc::new(Pace::new(order.bytes_per_sec)),
            owner: order.owner.clone(),
            is_ours: OnceCell::new(),
        };
        Ok(Self { bucket: Arc::new(bucket) })
    }
}

impl Bucket {
    /// Waits for an answer, from whatever thread this is.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::task::block_in_place(|| self.runtime.block_on(work))
    }

    /// The key of a path inside the store; one that leads out is refused.
    fn key(&self, path: &str) -> Result<String, PortError> {
        let components = || Path::new(path).components();
        let is_inside = components().all(|component| matches!(component, Component::Normal(_)));
        if is_inside && components().map(|component| component.as_os_str().len() + 1).sum::<usize>() == path.len() + 1 {
            return Ok(self.below(path));
        }
        Err(PortError::new(Reason::Forbidden, format!("{path:?} is no path inside a store")))
    }

    fn below(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    /// What a key is called in messages.
    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// Asks for everything known of an object, its sums too; `None` when it is not there.
    async fn head(&self, key: &str) -> Result<Option<HeadObjectOutput>, PortError> {
        // Sums come only when asked for, also where none are sent unasked.
        let asked = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        match asked.send().await {
            Ok(head) => Ok(Some(head)),
            Err(error) => {
                let error = self.failed(format!("look at {}", self.url(key)), &error);
                if error.reason == Reason::Missing { Ok(None) } else { Err(error) }
            }
        }
    }

    async fn facts(&self, path: &str) -> Result<FileFacts, PortError> {
        let key = self.key(path)?;
        let missing = || PortError::new(Reason::Missing, format!("there is no {}", self.url(&key)));
        let head = self.head(&key).await?.ok_or_else(missing)?;
        let size = head.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let changed = head.last_modified().map(ToString::to_string).unwrap_or_default();
        let mark = format!("{}-{changed}-{size}", head.e_tag().unwrap_or_default().trim_matches('"'));
        let kept = match head.checksum_sha256() {
            None => KeptSum::None,
            Some(composite) if composite.contains('-') => self.compare(path, composite).await?,
            Some(sum) => aws_smithy_types::base64::decode(sum).map_or(KeptSum::None, |sum| KeptSum::Sha256(hex(&sum))),
        };
        Ok(FileFacts { size, mark, kept })
    }

    /// Compares a sum over parts with the one its sender left with the backup's mark.
    async fn compare(&self, path: &str, composite: &str) -> Result<KeptSum, PortError> {
        let Some((backup, name)) = BackupId::of_path(path) else { return Ok(KeptSum::None) };
        for mark in MARKS {
            let key = self.below(&format!("{}/{mark}", backup.directory()));
            let head = self.head(&key).await?;
            if let Some(recorded) = head.as_ref().and_then(HeadObjectOutput::metadata).and_then(record::read) {
                let of_file = recorded.into_iter().find(|upload| upload.name == name);
                return Ok(of_file.map_or(KeptSum::None, |upload| KeptSum::Parts { equal: upload.sum == composite }));
            }
        }
        Ok(KeptSum::None)
    }

    async fn is_signed_off(&self, backup: &BackupId) -> Result<bool, PortError> {
        for mark in MARKS {
            if self.head(&self.below(&format!("{}/{mark}", backup.directory()))).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Store for S3Bucket {
    fn place(&self) -> String {
        self.bucket.url(&self.bucket.prefix)
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        let paths = self.bucket.wait(self.bucket.paths(""))?;
        let marks = paths.iter().filter_map(|path| BackupId::of_path(path)).filter(|(_, name)| MARKS.contains(name));
        let mut backups: Vec<_> = marks.map(|(backup, _)| backup).collect();
        backups.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
        backups.dedup();
        Ok(backups)
    }

    fn files(&self, backup: &BackupId) -> Result<Vec<String>, PortError> {
        self.bucket.wait(self.bucket.names_of(backup))
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        let (reader, size) = download::open(Arc::clone(&self.bucket), self.bucket.key(path)?)?;
        Ok((Box::new(reader), size))
    }

    fn facts(&self, path: &str) -> Result<FileFacts, PortError> {
        self.bucket.wait(self.bucket.facts(path))
    }

    fn begin(&self, backup: &BackupId, expected_bytes: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        Ok(Box::new(pending::begin(Arc::clone(&self.bucket), backup, expected_bytes)?))
    }

    fn remove(&self, backup: &BackupId) -> Result<bool, PortError> {
        self.bucket.wait(self.bucket.remove_backup(backup))
    }

    fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError> {
        self.bucket.wait(self.bucket.sweep(wanted))
    }

    fn mark(&self) -> Result<Option<String>, PortError> {
        self.bucket.wait(self.bucket.mark())
    }
}
