//! The conductor's ports: the cluster, its members, runners, the Lease and the catalogue.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::{Clock, EventSink, PortError};
use crate::model::catalogue::Catalogue;
use crate::model::cluster::{ClaimView, ClusterView};
use crate::model::event::Event;
use crate::model::galera::Member;
use crate::model::obligation::Obligation;
use crate::model::order::{RunnerOrder, ServerAddress};
use crate::model::rows::Table;

/// Everything a conductor needs, in one place.
pub struct ConductorPorts<'a> {
    /// The cluster as Kubernetes holds it.
    pub cluster: &'a dyn Cluster,
    /// Its members, by SQL.
    pub galera: &'a dyn Galera,
    /// Runner pods.
    pub runners: &'a dyn Runners,
    /// The catalogue.
    pub catalogue: &'a dyn CatalogueStore,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Where reports go.
    pub events: &'a dyn EventSink,
}

/// The cluster as Kubernetes holds it.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Looks at the StatefulSet, its pods and their claims.
    async fn view(&self) -> Result<ClusterView, PortError>;

    /// Looks at one claim.
    async fn claim(&self, name: &str) -> Result<ClaimView, PortError>;

    /// The same, where it need not wait for its first pod once it is bound: one that was made a moment ago
    /// is given the time to get its volume.
    async fn settled_claim(&self, name: &str) -> Result<ClaimView, PortError>;

    /// Whether there is no storage class of that name; `false` also where that cannot be seen:
    /// it is a cluster-wide right which a conductor need not have.
    async fn lacks_class(&self, class: &str) -> bool;

    /// Returns the cluster's stored settings; empty when there are none.
    async fn settings(&self) -> Result<BTreeMap<String, String>, PortError>;

    /// Records an obligation. Fails while another one stands.
    async fn record_obligation(&self, obligation: &Obligation) -> Result<(), PortError>;

    /// Clears the obligation of that run; no error when it is not there any more.
    async fn clear_obligation(&self, run: &str) -> Result<(), PortError>;

    /// Returns when something about how the cluster sees that pod differs from `last`: its Ready
    /// condition, its role label, whether Services send traffic to it. Never returns when nothing does.
    async fn next_sight(&self, pod: &str, last: Option<&Sight>) -> Result<Sight, PortError>;

    /// Waits until that pod, and no successor of it, is Ready. `false` when time ran out.
    async fn wait_until_ready(&self, pod: &str, uid: &str, limit: Duration) -> Result<bool, PortError>;
}

/// How the cluster sees a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Its Ready condition.
    pub ready: bool,
    /// The value of its role label; `None` when it has none.
    pub role: Option<String>,
    /// Services that send traffic to it: those whose EndpointSlices call it ready.
    pub services: Vec<String>,
}

/// The members of the group, reached one by one.
#[async_trait]
pub trait Galera: Send + Sync {
    /// Asks one member for its state.
    async fn member(&self, server: &ServerAddress) -> Result<Member, PortError>;

    /// The replicated tables that the account may see on a member, but for the server's own.
    async fn tables(&self, server: &ServerAddress) -> Result<Vec<Table>, PortError>;

    /// Counts the rows of each of those tables, all that the group has committed by now; `None` for one that
    /// cannot be read, or not within `limit`.
    ///
    /// Fails with [`super::Reason::Malformed`] when the files of one are not as they should be.
    async fn count_rows(
        &self,
        server: &ServerAddress,
        tables: &[Table],
        limit: Duration,
    ) -> Result<Vec<Option<u64>>, PortError>;

    /// Closes the gate for runners on that server.
    ///
    /// Fails with [`super::Reason::Conflict`] when another run holds it, which is how a second run
    /// on one server is excluded even where the Lease is lost.
    async fn close_gate(&self, server: &ServerAddress) -> Result<Box<dyn Gate>, PortError>;

    /// Sets `wsrep_desync=OFF` on the member with that id; `false`, and nothing sent, when another
    /// one answers at that address.
    async fn set_desync_off(&self, server: &ServerAddress, gcomm_uuid: &str) -> Result<bool, PortError>;
}

/// A closed gate. Dropped without [`Gate::open`], it tells the waiting runner to give up.
#[async_trait]
pub trait Gate: Send {
    /// Lets the runner go ahead.
    ///
    /// The value stays with the conductor as its sign of life on that server. With `hold`, the runner
    /// desyncs but does not copy before [`Gate::drained`].
    async fn open(&mut self, hold: bool) -> Result<(), PortError>;

    /// Tells the runner that traffic has left the replica, or that nobody waits for that any longer.
    async fn drained(&mut self) -> Result<(), PortError>;
}

/// What a runner is and where it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunnerSpec {
    /// Name of its pod.
    pub name: String,
    /// What it shall do.
    pub order: RunnerOrder,
    /// The replica beside which it must run, with that replica's data claim mounted read-only.
    pub beside: Option<Beside>,
    /// A data volume, mounted writable at its root.
    pub data: Option<DataVolume>,
    /// Claim of the local store, mounted at the order's path; `None` when only S3 is used.
    pub store_claim: Option<String>,
    /// What the order's S3 store needs mounted; `None` when S3 is not used.
    pub s3: Option<S3Mounts>,
    /// A volume that is made for it and goes with its pod.
    pub scratch: Option<ScratchVolume>,
    /// Whether the claim of the store was made for this run, so that its volume may still belong to root.
    pub fresh_store: bool,
    /// A pod beside which it must run although it mounts nothing of it.
    pub near: Option<String>,
    /// Secret with the account that may desync, mounted for the runner.
    pub operator_secret: Option<String>,
    /// Secret with the account mariadb-backup uses.
    pub backup_secret: Option<String>,
}

/// A replica's data volume, for a runner that may change all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataVolume {
    /// Its claim.
    pub claim: String,
    /// The pod that has it mounted, beside which the runner must run; `None` when none does.
    pub beside: Option<String>,
}

/// A volume that lives as long as a runner's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchVolume {
    /// Its size.
    pub bytes: u64,
    /// Its storage class; `None` for the cluster's default.
    pub class: Option<String>,
}

/// What is mounted for a runner that uses S3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Mounts {
    /// Secret with the keys; without it the pod's own identity is used.
    pub secret: Option<String>,
    /// ConfigMap with `ca.crt`.
    pub ca_config_map: Option<String>,
}

/// The replica a runner works beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The replica's pod.
    pub pod: String,
    /// The claim of its data volume.
    pub claim: String,
}

/// Runner pods.
#[async_trait]
pub trait Runners: Send + Sync {
    /// Starts a runner and waits until its agent runs.
    ///
    /// Fails with the reason of a pod that does not start: image, claim, scheduling, Secret.
    async fn start(&self, spec: &RunnerSpec, limit: Duration) -> Result<Box<dyn Runner>, PortError>;

    /// Deletes a runner's pod and waits until none of its processes can be left.
    async fn remove(&self, name: &str) -> Result<(), PortError>;

    /// Asks for the pod of a runner that has ended to be removed, and does not wait for that.
    async fn dismiss(&self, name: &str) -> Result<(), PortError>;

    /// Names every runner of this cluster that is there, whoever it works for.
    async fn all(&self) -> Result<Vec<String>, PortError>;

    /// Names the runners of this cluster whose conductor is gone, whether they still work or not.
    async fn orphans(&self) -> Result<Vec<String>, PortError>;
}

/// A running runner.
#[async_trait]
pub trait Runner: Send {
    /// Waits for the next thing to know about it.
    async fn next(&mut self) -> Result<RunnerNews, PortError>;
}

/// What can be known about a runner.
#[derive(Clone, Debug, PartialEq)]
pub enum RunnerNews {
    /// It reported something.
    Event(Event),
    /// It ended.
    Ended {
        /// Its last word; `None` when it was killed before it could say one.
        last_word: Option<String>,
        /// How its container ended: exit code, signal, OOM kill, pod lost.
        how: String,
    },
}

/// The catalogue's ConfigMap.
#[async_trait]
pub trait CatalogueStore: Send + Sync {
    /// Reads it; an empty one with no version when there is none.
    ///
    /// Fails with [`super::Reason::Malformed`] when it makes no sense.
    async fn read(&self) -> Result<(Catalogue, Option<String>), PortError>;

    /// Returns its version, whatever it holds; `None` when there is none.
    async fn version(&self) -> Result<Option<String>, PortError>;

    /// Writes it over the version that was read. Fails with [`super::Reason::Conflict`] when
    /// somebody else has written meanwhile.
    async fn write(&self, catalogue: &Catalogue, version: Option<&str>) -> Result<(), PortError>;
}

/// The cluster's Lease, held.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Returns when the Lease is no longer surely ours.
    async fn lost(&self);

    /// Gives it back.
    async fn release(&self) -> Result<(), PortError>;
}
