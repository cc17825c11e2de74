//! What speaks against backing a cluster up now: every finding, not the first only.

use std::fmt;

use super::Observed;
use crate::model::cluster::ClusterView;
use crate::model::galera::Member;

/// One thing that speaks against a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Fewer pods than replicas asked for.
    PodsMissing {
        /// Replicas asked for.
        wanted: i32,
        /// Pods there are.
        found: usize,
    },
    /// The StatefulSet asks for no replicas.
    ScaledToZero,
    /// About one pod.
    Pod {
        /// The pod.
        pod: String,
        /// What is wrong with it.
        trouble: Trouble,
    },
    /// Members are in different histories.
    HistoriesDiffer,
    /// Taking the target out would leave nobody to send a state transfer.
    NoDonorLeft,
}

/// What can be wrong with one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its Ready condition is not true.
    NotReady,
    /// It is being deleted.
    Terminating,
    /// Its server did not answer.
    NoAnswer(String),
    /// `wsrep_ready` is not ON.
    WsrepNotReady,
    /// `wsrep_connected` is not ON.
    NotConnected,
    /// It is not in a Primary component; the status it gave.
    NotPrimary(String),
    /// It is not Synced; the state it gave.
    NotSynced(String),
    /// Somebody has desynced it and no obligation of ours says so.
    Desynced,
    /// It sees another number of members.
    SizeDiffers {
        /// Replicas asked for.
        wanted: i32,
        /// Members it sees.
        sees: u32,
    },
    /// `gcs.sync_donor` is on.
    SyncDonor,
    /// `wsrep_mode` has `BF_ABORT_MARIABACKUP`.
    AbortsBackups,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodsMissing { wanted, found } => write!(f, "{found} of {wanted} replicas have a pod"),
            Self::ScaledToZero => f.write_str("the StatefulSet is scaled to 0"),
            Self::Pod { pod, trouble } => write!(f, "{pod} {trouble}"),
            Self::HistoriesDiffer => f.write_str("the replicas are in different histories (wsrep_cluster_state_uuid)"),
            Self::NoDonorLeft => {
                f.write_str("fewer than two replicas are Synced, so none could send a state transfer meanwhile")
            }
        }
    }
}

impl Finding {
    /// Whether it is found only because a run has desynced this replica for its copy. `others_synced` are the other
    /// replicas that keep up.
    #[must_use]
    pub fn follows_from_desync_of(&self, target: &str, others_synced: usize) -> bool {
        match self {
            Self::Pod { pod, trouble } => pod == target && trouble.follows_from_desync(),
            // With the others missing, too, none could send a state transfer whatever this one did.
            Self::NoDonorLeft => others_synced > 0,
            Self::PodsMissing { .. } | Self::ScaledToZero | Self::HistoriesDiffer => false,
        }
    }
}

impl Trouble {
    fn follows_from_desync(&self) -> bool {
        match self {
            Self::NotReady | Self::Desynced => true,
            // On its way back it is Joined for a moment.
            Self::NotSynced(state) => ["Donor/Desynced", "Joined"].contains(&state.as_str()),
            _ => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("is not Ready"),
            Self::Terminating => f.write_str("is being deleted"),
            Self::NoAnswer(why) => write!(f, "does not answer SQL ({why})"),
            Self::WsrepNotReady => f.write_str("has wsrep_ready OFF"),
            Self::NotConnected => f.write_str("has wsrep_connected OFF"),
            Self::NotPrimary(status) => write!(f, "is in a {} component", or_unknown(status)),
            Self::NotSynced(state) => write!(f, "is {}, not Synced{}", or_unknown(state), meaning(state)),
            Self::Desynced => f.write_str("is desynced by somebody else"),
            Self::SizeDiffers { wanted, sees } => write!(f, "sees {sees} members, not {wanted}"),
            Self::SyncDonor => f.write_str("has gcs.sync_donor on, so a desynced replica would throttle the cluster"),
            Self::AbortsBackups => {
                f.write_str("has BF_ABORT_MARIABACKUP in wsrep_mode, which deadlocks backups under load")
            }
        }
    }
}

/// Says what keeps a member from being Synced, where its state tells.
fn meaning(state: &str) -> &'static str {
    match state {
        "Donor/Desynced" => " (it sends a state transfer, or somebody has desynced it)",
        _ if state.starts_with("Join") => " (it receives a state transfer, or catches up after one)",
        _ => "",
    }
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "<unknown>" } else { text }
}

/// Returns everything that speaks against backing this cluster up now.
#[must_use]
pub fn of(observed: &Observed) -> Vec<Finding> {
    among(&observed.cluster, &observed.members)
}

/// Returns the same from what the servers said, by pod.
#[must_use]
pub fn among(cluster: &ClusterView, members: &[(String, Result<Member, String>)]) -> Vec<Finding> {
    let mut found = Vec::new();
    let said = |pod: &str| members.iter().find(|(name, _)| name == pod).map(|(_, member)| member);
    if cluster.replicas == 0 {
        found.push(Finding::ScaledToZero);
    }
    if usize::try_from(cluster.replicas) != Ok(cluster.pods.len()) && cluster.replicas > 0 {
        found.push(Finding::PodsMissing { wanted: cluster.replicas, found: cluster.pods.len() });
    }
    for pod in &cluster.pods {
        let mut push = |trouble| found.push(Finding::Pod { pod: pod.name.clone(), trouble });
        if pod.terminating {
            push(Trouble::Terminating);
        } else if !pod.ready {
            push(Trouble::NotReady);
        }
        match said(&pod.name) {
            Some(Ok(member)) => of_member(member, cluster.replicas).into_iter().for_each(push),
            Some(Err(why)) => push(Trouble::NoAnswer(why.clone())),
            None => push(Trouble::NoAnswer("it has no address".to_owned())),
        }
    }
    found.extend(of_group(cluster, members));
    found
}

fn of_member(member: &Member, replicas: i32) -> Vec<Trouble> {
    let size_differs = i64::from(member.cluster_size) != i64::from(replicas);
    let not_synced = !member.is_synced();
    let state = || {
        if member.state == crate::model::galera::SYNCED {
            Trouble::Desynced
        } else {
            Trouble::NotSynced(member.state.clone())
        }
    };
    [
        (!member.ready).then_some(Trouble::WsrepNotReady),
        (!member.connected).then_some(Trouble::NotConnected),
        (member.cluster_status != "Primary").then(|| Trouble::NotPrimary(member.cluster_status.clone())),
        not_synced.then(state),
        size_differs.then_some(Trouble::SizeDiffers { wanted: replicas, sees: member.cluster_size }),
        member.sync_donor.then_some(Trouble::SyncDonor),
        member.aborts_backups.then_some(Trouble::AbortsBackups),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_group(cluster: &ClusterView, members: &[(String, Result<Member, String>)]) -> Vec<Finding> {
    let members: Vec<_> = members.iter().filter_map(|(_, member)| member.as_ref().ok()).collect();
    let mut histories: Vec<_> = members.iter().map(|member| &member.state_uuid).collect();
    histories.sort();
    histories.dedup();
    let synced = members.iter().filter(|member| member.is_synced()).count();
    let no_donor = cluster.replicas > 1 && synced < 2;
    [(histories.len() > 1).then_some(Finding::HistoriesDiffer), no_donor.then_some(Finding::NoDonorLeft)]
        .into_iter()
        .flatten()
        .collect()
}

impl Observed {
    /// Returns what the pod's server said; `None` when it was not asked.
    #[must_use]
    pub fn member(&self, pod: &str) -> Option<&Result<Member, String>> {
        self.members.iter().find(|(name, _)| name == pod).map(|(_, member)| member)
    }
}
