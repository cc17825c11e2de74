//! Changing the catalogue while others may be writing it, and while the API may be away for a moment.

use crate::model::catalogue::Catalogue;
use crate::patience::patiently;
use crate::ports::conductor::ConductorPorts;
use crate::ports::{PortError, Reason};

/// A catalogue before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// As it was read.
    pub before: Catalogue,
    /// As it was written.
    pub after: Catalogue,
}

/// Applies a change to the newest catalogue and writes it.
///
/// `change` may be called more than once, each time with what somebody else has written meanwhile,
/// and also when its first result was written and only the answer was lost.
///
/// # Errors
/// The catalogue cannot be read or written, also after some patience.
pub async fn change(ports: &ConductorPorts<'_>, change: impl Fn(&mut Catalogue)) -> Result<Changed, PortError> {
    patiently(ports, || change_once(ports, &change)).await
}

/// Makes sure that the catalogue says what its cluster is known by in S3, which is `uid` if nothing yet.
///
/// # Errors
/// The catalogue cannot be read or written, also after some patience.
pub async fn own(ports: &ConductorPorts<'_>, uid: &str) -> Result<(), PortError> {
    let own = |catalogue: &mut Catalogue| catalogue.owner = catalogue.owner.take().or_else(|| Some(uid.to_owned()));
    change(ports, own).await.map(drop)
}

async fn change_once(ports: &ConductorPorts<'_>, change: impl Fn(&mut Catalogue)) -> Result<Changed, PortError> {
    let (before, version) = ports.catalogue.read().await?;
    let mut after = before.clone();
    change(&mut after);
    if after != before {
        ports.catalogue.write(&after, version.as_deref()).await?;
    }
    Ok(Changed { before, after })
}

/// Makes the catalogue anew, from the old one where that can be understood, and writes it.
///
/// Returns what `make` has to say beside the catalogue, and why the old one was not understood.
///
/// # Errors
/// The catalogue cannot be reached or written, also after some patience.
pub async fn remake<T>(
    ports: &ConductorPorts<'_>,
    make: impl Fn(Option<&Catalogue>) -> (Catalogue, T),
) -> Result<(T, Option<PortError>), PortError> {
    patiently(ports, || remake_once(ports, &make)).await
}

async fn remake_once<T>(
    ports: &ConductorPorts<'_>,
    make: impl Fn(Option<&Catalogue>) -> (Catalogue, T),
) -> Result<(T, Option<PortError>), PortError> {
    let (old, version, malformed) = match ports.catalogue.read().await {
        Ok((old, version)) => (Some(old), version, None),
        Err(error) if error.reason == Reason::Malformed => (None, ports.catalogue.version().await?, Some(error)),
        Err(error) => return Err(error),
    };
    let (new, said) = make(old.as_ref());
    ports.catalogue.write(&new, version.as_deref()).await?;
    Ok((said, malformed))
}
