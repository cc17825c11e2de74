//! Which replica is started first, and where the backup is unpacked for it.
//!
//! One pod must be able to mount its data volume together with what is restored, and Kubernetes must be
//! able to start it alone. Never a place from which an empty server could start the cluster first.

use super::Observed;
use crate::model::bytes::human;
use crate::model::cluster::ClaimView;
use crate::model::obligation::ScratchPlace;
use crate::model::order::{DataPlace, RestoreRequest, StoreName};
use crate::model::workload::{Flavour, Replica, Workload};
use crate::proof::Chain;

/// Where the volume of backups keeps work that is not at its end; that of restores, too, by agents of before.
const UNFINISHED: &str = ".unfinished";

/// The replica that is started first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// It.
    pub replica: Replica,
    /// The pod that has its volume mounted now, if any.
    pub pod: Option<String>,
    /// Where the backup is unpacked.
    pub scratch: ScratchPlace,
    /// Where its data lie, and whether there is room beside them.
    pub place: DataPlace,
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
    DataPlace { directory: parts.join("/"), is_full: false }
}

/// What a leader has to be able to do.
pub(super) struct Wanted<'a> {
    /// The chain it gets.
    pub chain: &'a Chain,
    /// Where the data lie on each volume.
    pub place: DataPlace,
    /// Bytes the chain takes once it is unpacked; `None` when that is not recorded.
    pub bytes: Option<u64>,
    /// What was asked for.
    pub request: &'a RestoreRequest,
}

/// Why a replica cannot lead.
#[derive(Debug)]
pub(super) struct WhyNot {
    /// In words.
    pub words: String,
    /// Whether a place to unpack would make it possible.
    pub lacks_place: bool,
}

impl From<String> for WhyNot {
    fn from(words: String) -> Self {
        Self { words, lacks_place: false }
    }
}

/// The replicas that have a volume, but for the leader.
pub(super) fn others(workload: &Workload, leader: &Replica) -> Vec<Replica> {
    let there = workload.replicas.iter().filter(|(_, claim)| claim.is_some()).map(|(replica, _)| replica);
    there.filter(|replica| *replica != leader).cloned().collect()
}

/// Chooses the leader: the lowest ordinal where that is possible, else the highest that is; else says of each
/// why not.
pub(super) fn choose(observed: &Observed<'_>, wanted: &Wanted<'_>) -> Result<Leader, Vec<WhyNot>> {
    let asked = wanted.request.leader;
    let replicas = &observed.workload.replicas;
    let lowest = replicas.iter().take(1);
    let candidates: Vec<_> = lowest.chain(replicas.iter().skip(1).rev()).collect();
    if let Some(asked) = asked
        && candidates.iter().all(|(replica, _)| replica.ordinal != asked)
    {
        return Err(vec![format!("there is no replica with ordinal {asked}").into()]);
    }
    let asked_for = |of: &Replica| asked.is_none_or(|asked| of.ordinal == asked);
    let candidates: Vec<_> = candidates.into_iter().filter(|(replica, _)| asked_for(replica)).collect();
    let mut reasons = Vec::new();
    // One whose old data can be set aside, before any whose old data have to be given up.
    for gives_up in [false, true] {
        reasons.clear();
        for (replica, claim) in &candidates {
            match possible(observed, wanted, replica, claim.as_ref(), gives_up) {
                Ok((scratch, place)) => {
                    let because = because(observed, replica, asked.is_some());
                    let pod = observed.cluster.pod(&replica.pod).filter(|pod| pod.node.is_some());
                    let pod = pod.map(|pod| pod.name.clone());
                    return Ok(Leader { replica: replica.clone(), pod, scratch, place, because });
                }
                Err(why) => reasons.push(WhyNot { words: format!("not {}: {}", replica.pod, why.words), ..why }),
            }
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
        "its volume can be mounted together with what is restored, and has the room; no lower ordinal has both"
            .to_owned()
    }
}

/// Says where the backup would be unpacked with this leader, or why it cannot be one; also one whose old data could not be
/// set aside, with `gives_up`.
fn possible(
    observed: &Observed<'_>,
    wanted: &Wanted<'_>,
    replica: &Replica,
    claim: Option<&ClaimView>,
    gives_up: bool,
) -> Result<(ScratchPlace, DataPlace), WhyNot> {
    let Some(claim) = claim else { return Err(format!("its claim {} is not there", replica.claim).into()) };
    startable(observed, replica, claim)?;
    let meets_store = observed.store.as_ref().is_some_and(|store| meet(store, claim));
    if wanted.chain.uses(StoreName::Local) && !meets_store {
        return Err("its volume and the volume of backups can be mounted on no common node".to_owned().into());
    }
    let is_beside = has_room_beside(observed, wanted, replica)?;
    let is_named = wanted.request.scratch_claim.is_some();
    if is_beside && !is_named {
        return Ok((ScratchPlace::Beside, wanted.place.clone()));
    }
    let lacks_place = |words: String| WhyNot { words, lacks_place: true };
    let store = observed.store.as_ref().filter(|_| meets_store);
    let store = store.ok_or_else(|| lacks_place(no_place(observed, wanted, replica, is_beside)))?;
    if let Some((size, bytes)) = store.capacity_bytes.zip(wanted.bytes).filter(|(size, bytes)| size < bytes) {
        let (size, bytes) = (human(size), human(bytes));
        return Err(lacks_place(format!("claim {} has {size}, and it takes {bytes} unpacked", store.name)));
    }
    if !is_beside && wanted.request.keep_old_data {
        let words =
            "--keep-old-data asks for the old data, and its volume has no place for them beside the restored ones";
        return Err(words.to_owned().into());
    }
    if !is_beside && !gives_up {
        return Err("its old data could not be set aside".to_owned().into());
    }
    let is_full = !is_beside && wanted.place.has_room_beside();
    Ok((ScratchPlace::Store(store_scratch(observed.job)), DataPlace { is_full, ..wanted.place.clone() }))
}

/// Refuses what Kubernetes, or its own start script, cannot start first and alone.
fn startable(observed: &Observed<'_>, replica: &Replica, claim: &ClaimView) -> Result<(), String> {
    let Observed { workload, .. } = observed;
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
    Ok(())
}

/// Whether its volume has room for the restored data beside the old ones, with what is kept free for a server; refused
/// where it has none even without the old ones. As long as nobody has looked, or knows what they take, the most that its
/// layout allows.
fn has_room_beside(observed: &Observed<'_>, wanted: &Wanted<'_>, replica: &Replica) -> Result<bool, String> {
    let is_outside = wanted.place.has_room_beside();
    let Some((look, bytes)) = observed.look_at(&replica.pod).zip(wanted.bytes) else { return Ok(is_outside) };
    let reserve = observed.settings.data_free_bytes;
    let needed = bytes.saturating_add(reserve);
    if is_outside && needed <= look.free_bytes {
        return Ok(true);
    }
    let emptied = look.free_bytes.saturating_add(look.data_bytes);
    if needed <= emptied {
        return Ok(false);
    }
    Err(format!(
        "{} takes {} unpacked, and its volume would have {} without its old data (with {} kept free for its server)",
        wanted.request.backup,
        human(bytes),
        human(emptied),
        human(reserve)
    ))
}

/// Why there is no place to unpack.
fn no_place(observed: &Observed<'_>, wanted: &Wanted<'_>, replica: &Replica, is_beside: bool) -> String {
    let elsewhere = match &observed.store {
        Some(store) => format!("claim {} cannot be mounted beside it", store.name),
        None => "no volume of backups is used here".to_owned(),
    };
    if is_beside {
        return elsewhere;
    }
    match observed.look_at(&replica.pod).zip(wanted.bytes).filter(|_| wanted.place.has_room_beside()) {
        Some((look, bytes)) => format!(
            "{} takes {} unpacked, its volume has {} left (with {} kept free for its server), and {elsewhere}",
            wanted.request.backup,
            human(bytes),
            human(look.free_bytes),
            human(observed.settings.data_free_bytes)
        ),
        None => {
            format!("its data directory is the root of its volume, and {elsewhere}, so there is no place to unpack")
        }
    }
}

/// What a restore uses on the volume of backups, below its root. Not among the work of runs that are not at their end:
/// those of another cluster with the same volume would sweep it.
pub(super) fn store_scratch(job: &str) -> String {
    format!(".restore_{job}")
}

/// Whether what a dead restore left in that directory goes with what other dead runs left.
pub(super) fn is_swept(directory: &str) -> bool {
    directory.starts_with(UNFINISHED)
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
