//! Backups in a bucket.

use crate::model::order::S3Store;
use crate::ports::{PortError, Reason};

/// A place in a bucket.
pub struct S3Bucket {}

impl S3Bucket {
    /// Makes one from an order; nothing is asked of the server yet. Must be called within a runtime.
    pub fn open(order: &S3Store) -> Result<Self, PortError> {
        Err(PortError::new(Reason::Other, format!("cannot reach bucket {} yet", order.bucket)))
    }
}
