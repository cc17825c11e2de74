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
    let mut reasons = Vec::new();
    for (replica, claim) in candidates.into_iter().filter(|(of, _)| asked.is_none_or(|asked| of.ordinal == asked)) {
        match possible(observed, wanted, replica, claim.as_ref()) {
            Ok((scratch, place)) => {
                let because = because(observed, replica, asked.is_some());
                let pod = observed.cluster.pod(&replica.pod).filter(|pod| pod.node.is_some());
                let pod = pod.map(|pod| pod.name.clone());
                return Ok(Leader { replica: replica.clone(), pod, scratch, place, because });
            }
            Err(why) => reasons.push(WhyNot { words: format!("not {}: {}", replica.pod, why.words), ..why }),
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
    wanted: &Wanted<'_>,
    replica: &Replica,
    claim: Option<&ClaimView>,
) -> Result<(ScratchPlace, DataPlace), WhyNot> {
    let Some(claim) = claim else { return Err(format!("its claim {} is not there", replica.claim).into()) };
    startable(observed, replica, claim)?;
    let meets_store = observed.store.as_ref().is_some_and(|store| meet(store, claim));
    if wanted.chain.uses(StoreName::Local) && !meets_store {
        return Err("its volume and the volume of backups can be mounted on no common node".to_owned().into());
    }
    let room = room(observed, wanted, replica)?;
    if room == Room::Scratch && wanted.request.scratch_claim.is_none() {
        return Ok((ScratchPlace::Beside, wanted.place.clone()));
    }
    if !meets_store {
        return Err(WhyNot { words: no_place(observed, wanted, replica), lacks_place: true });
    }
    let is_full = room == Room::Data && wanted.place.has_room_beside();
    if room == Room::Data && wanted.request.keep_old_data {
        let words =
            "--keep-old-data asks for the old data, and its volume has no place for them beside the restored ones";
        return Err(words.to_owned().into());
    }
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

/// For what the volume of a leader has room, each including what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// To unpack on it, beside the data that a server lives on.
    Scratch,
    /// For the old data beside the restored ones, once no server lives on it.
    Aside,
    /// For the restored data, once the old ones are gone.
    Data,
}

/// What its volume has room for; as long as nobody has looked, or knows what it takes, the most that its layout allows.
fn room(observed: &Observed<'_>, wanted: &Wanted<'_>, replica: &Replica) -> Result<Room, String> {
    let is_beside = wanted.place.has_room_beside();
    let Some((look, bytes)) = observed.look_at(&replica.pod).zip(wanted.bytes) else {
        return Ok(if is_beside { Room::Scratch } else { Room::Data });
    };
    if is_beside && bytes.saturating_add(observed.settings.data_free_bytes) <= look.free_bytes {
        return Ok(Room::Scratch);
    }
    if is_beside && bytes <= look.free_bytes {
        return Ok(Room::Aside);
    }
    let emptied = look.free_bytes.saturating_add(look.data_bytes);
    if bytes <= emptied {
        return Ok(Room::Data);
    }
    let (backup, bytes, emptied) = (&wanted.request.backup, human(bytes), human(emptied));
    Err(format!("{backup} takes {bytes} unpacked, and its volume would have {emptied} without its old data"))
}

/// Why there is no place to unpack.
fn no_place(observed: &Observed<'_>, wanted: &Wanted<'_>, replica: &Replica) -> String {
    let elsewhere = match &observed.store {
        Some(store) => format!("claim {} cannot be mounted beside it", store.name),
        None => "no volume of backups is used here".to_owned(),
    };
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
