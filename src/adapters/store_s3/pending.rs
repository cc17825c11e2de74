//! A backup on its way into the bucket.

use std::sync::{Arc, PoisonError};

use aws_smithy_types::base64;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::parts::{self, Records};
use super::record::{self, Uploaded};
use super::{Bucket, body, client, error};
use crate::model::backup_id::BackupId;
use crate::model::manifest::{StoredFile, hex};
use crate::ports::runner::{PendingBackup, StoreFile};
use crate::ports::{PortError, Reason};

/// A backup in the making.
pub(super) struct PendingObjects {
    bucket: Arc<Bucket>,
    backup: BackupId,
    expected_bytes: u64,
    records: Records,
}

/// Begins a backup. Files an earlier try finished go; its uploads in parts stay for their writer.
pub(super) fn begin(bucket: Arc<Bucket>, backup: &BackupId, expected_bytes: u64) -> Result<PendingObjects, PortError> {
    bucket.wait(async {
        bucket.make_sure_it_is_ours().await?;
        if bucket.is_signed_off(backup).await? {
            let place = bucket.url(&bucket.below(&backup.directory()));
            return Err(PortError::new(Reason::Conflict, format!("{place} is in the store already")));
        }
        bucket.remove_files(backup).await
    })?;
    Ok(PendingObjects { bucket, backup: backup.clone(), expected_bytes, records: Records::default() })
}

impl PendingObjects {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.backup.directory())
    }

    fn put(&self, name: &str, bytes: &[u8], recorded: &[Uploaded]) -> Result<StoredFile, PortError> {
        let key = self.bucket.key(&self.path(name))?;
        self.bucket.wait(self.bucket.put(&key, Bytes::copy_from_slice(bytes), recorded))
    }
}

impl PendingBackup for PendingObjects {
    fn create(&mut self, name: &str) -> Result<Box<dyn StoreFile>, PortError> {
        let records = Arc::clone(&self.records);
        let file = parts::create(Arc::clone(&self.bucket), &self.path(name), self.expected_bytes, records)?;
        Ok(Box::new(file))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        self.put(name, bytes, &[])
    }

    fn publish(self: Box<Self>, name: &str, bytes: &[u8]) -> Result<StoredFile, PortError> {
        let recorded = self.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.put(name, bytes, &recorded)
    }

    fn discard(self: Box<Self>) -> Result<(), PortError> {
        self.bucket.wait(async {
            self.bucket.abort_all(&self.backup).await?;
            self.bucket.remove_files(&self.backup).await
        })
    }
}

impl Bucket {
    /// Stores an object in one call, unless one is there.
    pub(super) async fn put(&self, key: &str, bytes: Bytes, recorded: &[Uploaded]) -> Result<StoredFile, PortError> {
        let sha256 = Sha256::digest(&bytes);
        let stored = StoredFile { size: bytes.len() as u64, sha256: hex(&sha256) };
        let (sum, metadata) = (base64::encode(sha256), record::write(recorded));
        let asked = |unless_there: Option<&str>| {
            let asked = self.client.put_object().bucket(&self.name).key(key).checksum_sha256(&sum);
            let asked = asked.set_metadata(Some(metadata.clone())).set_if_none_match(unless_there.map(str::to_owned));
            let patient = client::patient(bytes.len(), self.bytes_per_sec);
            asked
                .body(body::of(bytes.clone(), &self.pace))
                .customize()
                .disable_payload_signing()
                .config_override(patient)
                .send()
        };
        let mut done = asked(Some("*")).await;
        if done.as_ref().is_err_and(error::is_unknown_there) {
            done = asked(None).await;
        }
        let Err(error) = done else { return Ok(stored) };
        let error = self.failed(format!("store {}", self.url(key)), &error);
        // When the answer to a first attempt was lost, a second one finds the object there.
        if error.reason == Reason::Conflict
            && let Some(head) = self.head(key).await?
            && head.checksum_sha256() == Some(&sum)
            && head.metadata().and_then(record::read).unwrap_or_default() == recorded
        {
            return Ok(stored);
        }
        Err(error)
    }
}
