//! From the places an order names to stores that can be used.

use std::io::Read;
use std::sync::Arc;

use crate::adapters::store_local::VolumeStore;
use crate::adapters::store_s3::S3Bucket;
use crate::adapters::system_clock::SystemClock;
use crate::model::backup_id::BackupId;
use crate::model::order::Stores;
use crate::ports::runner::{FileFacts, PendingBackup, Store, StorePorts, Volume};
use crate::ports::{EventSink, PortError};

/// Opens both stores of an order.
pub(super) fn ports(stores: &Stores, events: Arc<dyn EventSink>) -> StorePorts {
    StorePorts { local: volume(stores), s3: bucket(stores), clock: Arc::new(SystemClock), events }
}

/// Opens the volume.
pub(super) fn volume(stores: &Stores) -> Option<Arc<dyn Volume>> {
    stores.local.as_ref().map(|path| Arc::new(VolumeStore::new(path)) as Arc<dyn Volume>)
}

/// Opens the bucket. One that cannot be opened fails at every use: it is the work's choice what a store
/// that cannot be used means.
pub(super) fn bucket(stores: &Stores) -> Option<Arc<dyn Store>> {
    let order = stores.s3.as_ref()?;
    Some(match S3Bucket::open(order) {
        Ok(bucket) => Arc::new(bucket),
        Err(error) => Arc::new(Unopened { place: format!("s3://{}/{}", order.bucket, order.prefix), error }),
    })
}

/// A store that could not be opened.
struct Unopened {
    place: String,
    error: PortError,
}

impl Unopened {
    fn again<T>(&self) -> Result<T, PortError> {
        use crate::model::outcome::Explain;
        let mut error = PortError::new(self.error.reason, self.error.to_string());
        if let Some(cause) = std::error::Error::source(&self.error) {
            error = error.caused_by(cause.to_string());
        }
        Err(match self.error.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

impl Store for Unopened {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn backups(&self) -> Result<Vec<BackupId>, PortError> {
        self.again()
    }

    fn files(&self, _: &BackupId) -> Result<Vec<String>, PortError> {
        self.again()
    }

    fn open(&self, _: &str) -> Result<(Box<dyn Read + Send>, u64), PortError> {
        self.again()
    }

    fn facts(&self, _: &str) -> Result<FileFacts, PortError> {
        self.again()
    }

    fn begin(&self, _: &BackupId, _: u64) -> Result<Box<dyn PendingBackup>, PortError> {
        self.again()
    }

    fn remove(&self, _: &BackupId) -> Result<bool, PortError> {
        self.again()
    }

    fn sweep(&self, _: &[BackupId]) -> Result<Vec<String>, PortError> {
        self.again()
    }
}
