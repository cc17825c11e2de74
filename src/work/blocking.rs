//! Calls that block, made on threads that may wait.

use crate::ports::{PortError, Reason};

/// Makes a call of a store where it holds nobody up, and waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    let broke_off = |_| Err(PortError::new(Reason::Other, "a thread of the store ended by a fault of this program"));
    tokio::task::spawn_blocking(call).await.unwrap_or_else(broke_off)
}
