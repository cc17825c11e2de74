//! What telling those who watch a cluster needs of the world.

use async_trait::async_trait;

use super::{Clock, EventSink, PortError};
use crate::model::metrics::Figures;
use crate::model::notice::Notice;
use crate::model::obligation::Obligation;

/// Everything that telling needs, in one place.
pub struct MonitorPorts<'a> {
    /// Where those look who watch the cluster.
    pub board: &'a dyn Board,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Where trouble is told: it is nobody's failure.
    pub events: &'a dyn EventSink,
}

/// Where those look who watch a cluster.
#[async_trait]
pub trait Board: Send + Sync {
    /// Puts up a notice where Kubernetes shows what happened to the cluster.
    async fn announce(&self, notice: &Notice) -> Result<(), PortError>;

    /// Returns what is owed to the cluster.
    async fn obligation(&self) -> Result<Option<Obligation>, PortError>;

    /// Reads the figures; none with no version when there are none yet.
    async fn figures(&self) -> Result<(Figures, Option<String>), PortError>;

    /// Writes the figures over the version that was read. Fails with [`super::Reason::Conflict`] when
    /// somebody else has written meanwhile.
    async fn publish(&self, figures: &Figures, version: Option<&str>) -> Result<(), PortError>;
}
