//! Asking again where the API is away for a moment, or somebody else was faster.

use std::future::Future;
use std::time::Duration;

use crate::ports::conductor::ConductorPorts;
use crate::ports::{PortError, Reason};

/// How often something is tried. What took hours to copy is worth the patience.
const ATTEMPTS: u32 = 10;

/// The pause before an API that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(3);

/// Does something that may be done twice, again while it meets a conflict or no answer, a few times.
pub(crate) async fn patiently<T, F>(ports: &ConductorPorts<'_>, mut act: impl FnMut() -> F) -> Result<T, PortError>
where
    F: Future<Output = Result<T, PortError>>,
{
    let mut attempt = 1;
    loop {
        match act().await {
            Err(error) if error.reason == Reason::Conflict && attempt < ATTEMPTS => {}
            Err(error) if error.reason == Reason::Unreachable && attempt < ATTEMPTS => ports.clock.sleep(PAUSE).await,
            done => return done,
        }
        attempt += 1;
    }
}
