//! Changing the catalogue while others may be writing it, and while the API may be away for a moment.

use std::time::Duration;

use crate::model::catalogue::Catalogue;
use crate::ports::conductor::ConductorPorts;
use crate::ports::{PortError, Reason};

/// How often the catalogue is read and written again. What took hours to copy is worth the patience.
const ATTEMPTS: u32 = 10;

/// The pause before an API that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(3);

/// Applies a change to the newest catalogue and writes it; returns what it is then.
///
/// `change` may be called more than once, each time with what somebody else has written meanwhile,
/// and also when its first result was written and only the answer was lost.
///
/// # Errors
/// The catalogue cannot be read or written, also after some patience.
pub async fn change(ports: &ConductorPorts<'_>, change: impl Fn(&mut Catalogue)) -> Result<Catalogue, PortError> {
    let mut attempt = 1;
    loop {
        match change_once(ports, &change).await {
            Err(error) if error.reason == Reason::Conflict && attempt < ATTEMPTS => {}
            Err(error) if error.reason == Reason::Unreachable && attempt < ATTEMPTS => ports.clock.sleep(PAUSE).await,
            done => return done,
        }
        attempt += 1;
    }
}

async fn change_once(ports: &ConductorPorts<'_>, change: impl Fn(&mut Catalogue)) -> Result<Catalogue, PortError> {
    let (before, version) = ports.catalogue.read().await?;
    let mut after = before.clone();
    change(&mut after);
    if after != before {
        ports.catalogue.write(&after, version.as_deref()).await?;
    }
    Ok(after)
}
