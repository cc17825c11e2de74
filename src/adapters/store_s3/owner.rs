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

/// Since when a place is this cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// It was so, or nobody asks.
    Before,
    /// It was nobody's until now: what is unfinished there may be of one that does not know marks yet.
    Now,
}

impl Bucket {
    /// Refuses to change a place with another cluster's mark; marks one that has none.
    pub(super) async fn make_sure_it_is_ours(&self) -> Result<Since, PortError> {
        let Some(owner) = &self.owner else { return Ok(Since::Before) };
        self.is_ours.get_or_try_init(|| self.find_or_mark(owner)).await.copied()
    }

    async fn find_or_mark(&self, owner: &str) -> Result<Since, PortError> {
        let key = self.below(OWNER);
        if let Some(found) = self.mark().await? {
            return self.compare_mark(&found, owner).map(|()| Since::Before);
        }
        let marked = self.put(&key, Bytes::copy_from_slice(owner.as_bytes()), &[]).await;
        // Also after success: not every server knows how to refuse the slower of two.
        match (self.mark().await?, marked) {
            (Some(found), _) => self.compare_mark(&found, owner).map(|()| Since::Now),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(PortError::new(Reason::Other, format!("{} is gone again", self.url(&key)))),
        }
    }

    fn compare_mark(&self, found: &str, owner: &str) -> Result<(), PortError> {
        if found == owner {
            return Ok(());
        }
        let what = format!("cannot write to {}: it is the place of another cluster", self.url(&self.prefix));
        let mark = self.url(&self.below(OWNER));
        Err(PortError::new(Reason::Forbidden, what).with_hint(format!(
            "set MARIADB_BACKUP_S3_PREFIX to a place of this cluster's own; only when it takes over from that one for good, remove {mark}"
        )))
    }

    /// Returns the mark that lies there; `None` when there is none.
    pub(super) async fn mark(&self) -> Result<Option<String>, PortError> {
        let key = &self.below(OWNER);
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
