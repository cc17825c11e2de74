//! What a restore needs of the world beyond a conductor's ports: the StatefulSet, to stop and start it.

use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use super::conductor::ConductorPorts;
use crate::model::obligation::Obligation;
use crate::model::order::GoAheadPlace;
use crate::model::report::LastRestore;
use crate::model::workload::{ClaimUser, Scale, Started, Workload};

/// Everything a restore needs, in one place.
#[derive(Clone, Copy)]
pub struct RestorePorts<'a> {
    /// What every conductor has.
    pub conductor: &'a ConductorPorts<'a>,
    /// The StatefulSet.
    pub workload: &'a dyn WorkloadControl,
    /// Words to runners that wait.
    pub go_aheads: &'a dyn GoAheads,
}

/// The StatefulSet of the cluster, to be stopped and started.
#[async_trait]
pub trait WorkloadControl: Send + Sync {
    /// Looks at everything about it that decides whether and how it can be stopped and started. One that
    /// stands at 0 shall have so many replicas `if_stopped`; as many as its claims tell when missing.
    async fn look(&self, if_stopped: Option<i32>) -> Result<Workload, PortError>;

    /// Sets what it asks for. Done when it is recorded, not when the pods are as asked.
    async fn scale(&self, scale: Scale) -> Result<(), PortError>;

    /// Asks a pod to end, in its own time; no error when it is not there.
    async fn end_pod(&self, pod: &str) -> Result<(), PortError>;

    /// Names whoever has one of these claims mounted, or may still have it: pods of anybody, runners of
    /// dead runs among them, and attachments of their volumes; but for the pod of that name.
    async fn users(&self, claims: &[String], but: Option<&str>) -> Result<Vec<ClaimUser>, PortError>;

    /// Waits until nobody has any of the claims. Returns those who still have when time runs out, or at once
    /// when one of them is not even ending.
    async fn wait_until_free(
        &self,
        claims: &[String],
        but: Option<&str>,
        limit: Duration,
    ) -> Result<Vec<ClaimUser>, PortError>;

    /// Returns when a pod that is not this product's own turns up with one of the claims. Never returns
    /// when none does.
    async fn next_user(&self, claims: &[String]) -> Result<ClaimUser, PortError>;

    /// Waits until the pod of that name is Ready; returns earlier when its server ends again and again.
    async fn wait_until_started(&self, pod: &str, limit: Duration) -> Result<Started, PortError>;

    /// Tells servers in the way of openstack-helm that this pod starts the cluster.
    async fn name_bootstrap(&self, config_map: &str, pod: &str) -> Result<(), PortError>;

    /// Tells them that the cluster lives, so that no later start goes by what [`Self::name_bootstrap`] said.
    async fn forget_bootstrap(&self, config_map: &str) -> Result<(), PortError>;

    /// Records how far a restore is. Fails with [`super::Reason::Missing`] when no obligation of that run
    /// stands any more.
    async fn record_stage(&self, obligation: &Obligation) -> Result<(), PortError>;

    /// Clears the obligation of that run, and remembers the restore, in one.
    async fn finish(&self, run: &str, last: &LastRestore) -> Result<(), PortError>;
}

/// Words to runners that were started ahead and wait, so that an outage need not wait for a pod to start.
#[async_trait]
pub trait GoAheads: Send + Sync {
    /// Makes one for the runner of that name.
    async fn make(&self, runner: &str) -> Result<Box<dyn GoAhead>, PortError>;
}

/// The word to one runner. Dropped without [`GoAhead::give`], it tells the runner to give up.
#[async_trait]
pub trait GoAhead: Send {
    /// Where the runner waits for it.
    fn place(&self) -> GoAheadPlace;

    /// Gives it; `false` when no runner has come to wait for it.
    async fn give(&mut self) -> Result<bool, PortError>;
}
