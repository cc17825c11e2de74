//! Whose place in the bucket it is.
//!
//! The first cluster that writes to a prefix leaves its mark there. Without it, two clusters of one name
//! that share a bucket, such as one and its twin at another site, would sweep away each other's
//! unfinished work and prune each other's backups. Reading is anybody's right: a restore elsewhere is
//! what backups are for.

use bytes::Bytes;

use super::Bucket;
use crate::ports::{PortError, Reason};

/// The name of the mark.
const OWNER: &str = ".owner";

/// The longest mark that is read.
const LONGEST: usize = 256;

impl Bucket {
    /// Refuses to change a place with another cluster's mark; marks one that has none.
    pub(super) async fn make_sure_it_is_ours(&self) -> Result<(), PortError> {
        let Some(owner) = &self.owner else { return Ok(()) };
        self.is_ours.get_or_try_init(|| self.find_or_mark(owner)).await.map(drop)
    }

    async fn find_or_mark(&self, owner: &str) -> Result<(), PortError> {
        let key = self.below(OWNER);
        let found = match self.read_mark(&key).await? {
            Some(found) => found,
            None => match self.put(&key, Bytes::copy_from_slice(owner.as_bytes()), &[]).await {
                Ok(_) => return Ok(()),
                // Somebody was faster.
                Err(error) if error.reason == Reason::Conflict => self.read_mark(&key).await?.ok_or(error)?,
                Err(error) => return Err(error),
            },
        };
        if found == owner {
            return Ok(());
        }
        let what = format!("cannot write to {}: it is the place of another cluster", self.url(&self.prefix));
        let mark = self.url(&key);
        Err(PortError::new(Reason::Forbidden, what).with_hint(format!(
            "set MARIADB_BACKUP_S3_PREFIX to a place of this cluster's own; only when it takes over from that one for good, remove {mark}"
        )))
    }

    /// Returns the mark that lies there; `None` when there is none.
    async fn read_mark(&self, key: &str) -> Result<Option<String>, PortError> {
        let read = |error| self.failed(format!("read {}", self.url(key)), &error);
        let got = match self.client.get_object().bucket(&self.name).key(key).send().await.map_err(read) {
            Ok(got) => got,
            Err(error) if error.reason == Reason::Missing => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = got.body.collect().await.map_err(|error| {
            PortError::new(Reason::Unreachable, format!("cannot read {}", self.url(key))).caused_by(error)
        })?;
        let bytes = bytes.into_bytes();
        Ok(Some(String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).trim().to_owned()))
    }
}
