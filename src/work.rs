//! What a runner does next to one volume: copy a replica, check, keep and count what is stored, and prove
//! that it can be restored.
//!
//! Each action is one call that returns its report. The bytes flow through [`pipeline`], one pass
//! from mariadb-backup's stream to a durable, compressed and hashed file; [`copy`] holds what must
//! be true before, during and after, on the worst day too. Nothing in here knows Kubernetes.

mod blocking;
pub mod check;
pub mod copy;
pub mod follow;
pub mod frames;
mod gzip;
#[cfg(test)]
mod hostile;
pub mod inventory;
pub mod keep;
mod lanes;
mod manifest_file;
#[cfg(test)]
mod memory;
mod openssl;
mod parallel;
pub mod pipeline;
pub mod prove;
pub mod refill;
pub mod stop;
mod sums;
mod transfer;
pub mod xbstream;
