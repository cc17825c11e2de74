//! Which replica is started first, and where the backup is unpacked for it.
//!
//! One pod must be able to mount its data volume together with what is restored, and Kubernetes must be
//! able to start it alone. Never a place from which an empty server could start the cluster first.

use super::Observed;
use crate::model::cluster::ClaimView;
use crate::model::obligation::ScratchPlace;
use crate::model::order::{DataPlace, StoreName};
use crate::model::workload::{Flavour, Replica, Workload};
use crate::proof::Chain;

/// The replica that is started first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// It.
    pub replica: Replica,
    /// The pod that has its volume mounted now, if any.
    pub pod: Option<String>,
    /// Where the backup is unpacked.
    pub scratch: ScratchPlace,
    /// Why this one, in words.
    pub because: String,
}

/// Finds where the data lie on the volumes: as a server says, else as is usual.
pub(super) fn data_place(observed: &Observed<'_>) -> DataPlace {
    let server = &observed.cluster.server;
    let mount = server.mount_path.trim_end_matches('/');
    let said = observed.answering().map(|member| member.datadir.trim_end_matches('/').to_owned());
    let is_below = |below: &&str| below.is_empty() || below.starts_with('/');
    let below = said.as_deref().and_then(|datadir| datadir.strip_prefix(mount)).filter(is_below);
    let below = below.map(|below| below.trim_matches('/'));
    let below = below.unwrap_or(observed.workload.flavour.usual_data_directory());
    let parts: Vec<_> =
        [server.sub_path.trim_matches('/'), below].into_iter().filter(|part| !part.is_empty()).collect();
    DataPlace { directory: parts.join("/") }
}

/// The replicas that have a volume, but for the leader.
pub(super) fn others(workload: &Workload, leader: &Replica) -> Vec<Replica> {
    let there = workload.replicas.iter().filter(|(_, claim)| claim.is_some()).map(|(replica, _)| replica);
    there.filter(|replica| *replica != leader).cloned().collect()
}

/// Chooses the leader: the lowest ordinal where that is possible, else the highest that is; else says of each
/// why not.
pub(super) fn choose(
    observed: &Observed<'_>,
    chain: &Chain,
    place: &DataPlace,
    wanted: Option<i32>,
) -> Result<Leader, Vec<String>> {
    let replicas = &observed.workload.replicas;
    let lowest = replicas.iter().take(1);
    let candidates: Vec<_> = lowest.chain(replicas.iter().skip(1).rev()).collect();
    if let Some(wanted) = wanted
        && candidates.iter().all(|(replica, _)| replica.ordinal != wanted)
    {
        return Err(vec![format!("there is no replica with ordinal {wanted}")]);
    }
    let mut reasons = Vec::new();
    for (replica, claim) in candidates.into_iter().filter(|(of, _)| wanted.is_none_or(|wanted| of.ordinal == wanted)) {
        match possible(observed, chain, place, replica, claim.as_ref()) {
            Ok(scratch) => {
                let because = because(observed, replica, wanted.is_some());
                let pod = observed.cluster.pod(&replica.pod).filter(|pod| pod.node.is_some());
                let pod = pod.map(|pod| pod.name.clone());
                return Ok(Leader { replica: replica.clone(), pod, scratch, because });
            }
            Err(why) => reasons.push(format!("not {}: {why}", replica.pod)),
        }
    }
    Err(reasons)
}

fn because(observed: &Observed<'_>, replica: &Replica, is_wanted: bool) -> String {
    if is_wanted {
        "it was asked for".to_owned()
    } else if replica.ordinal == observed.workload.scale.first {
        "it is the lowest ordinal, and its volume can be mounted together with what is restored".to_owned()
    } else {
        "its volume can be mounted together with the volume of backups, and that of a lower ordinal cannot".to_owned()
    }
}

/// Says where the backup would be unpacked with this leader, or why it cannot be one.
fn possible(
    observed: &Observed<'_>,
    chain: &Chain,
    place: &DataPlace,
    replica: &Replica,
    claim: Option<&ClaimView>,
) -> Result<ScratchPlace, String> {
    let Observed { workload, .. } = observed;
    let Some(claim) = claim else { return Err(format!("its claim {} is not there", replica.claim)) };
    if claim.phase != "Bound" {
        return Err(format!("its claim {} is {}", replica.claim, claim.phase));
    }
    if replica.ordinal != workload.scale.first {
        if !workload.starts_at_any_ordinal {
            return Err("this Kubernetes can start only the lowest ordinal alone (1.31 can start any)".to_owned());
        }
        if workload.flavour == Flavour::Bitnami {
            return Err("its start script lets only ordinal 0 start the cluster".to_owned());
        }
    }
    let meets_store = observed.store.as_ref().is_some_and(|store| meet(store, claim));
    if chain.uses(StoreName::Local) && !meets_store {
        return Err("its volume and the volume of backups can be mounted on no common node".to_owned());
    }
    if place.has_siblings() {
        return Ok(ScratchPlace::Beside);
    }
    if meets_store {
        return Ok(ScratchPlace::Store(store_scratch(observed.job)));
    }
    Err("its data directory is the root of its volume, and the volume of backups cannot be mounted beside it, so there is no place to unpack".to_owned())
}

/// What a restore uses on the volume of backups, below its root: swept with what other dead runs left.
pub(super) fn store_scratch(job: &str) -> String {
    format!(".unfinished/restore_{job}")
}

/// Whether a chain can be read by a runner on that replica's volume.
pub(super) fn can_read(observed: &Observed<'_>, chain: &Chain, leader: &Replica) -> bool {
    let claim = observed.workload.claim_of(leader);
    let meets = || claim.zip(observed.store.as_ref()).is_some_and(|(claim, store)| meet(store, claim));
    !chain.uses(StoreName::Local) || meets()
}

/// Whether two volumes can be mounted on one node, as far as can be seen.
pub(super) fn meet(one: &ClaimView, other: &ClaimView) -> bool {
    match (&one.nodes, &other.nodes) {
        (Some(one), Some(other)) => one.iter().any(|node| other.contains(node)),
        _ => true,
    }
}
