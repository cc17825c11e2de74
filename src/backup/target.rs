//! Which replica is copied, and why that one.

use super::{Observed, Refusal};
use crate::model::cluster::{ClaimView, PodView};
use crate::model::order::ServerAddress;

/// The replica to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its pod.
    pub pod: String,
    /// That pod's UID.
    pub pod_uid: String,
    /// Its ordinal.
    pub ordinal: u32,
    /// Its node.
    pub node: String,
    /// The claim of its data volume.
    pub claim: String,
    /// That claim's UID.
    pub claim_uid: String,
    /// Where its server listens.
    pub server: ServerAddress,
    /// Its server's id within the group.
    pub gcomm_uuid: String,
    /// Where its data directory is, in the server's own eyes.
    pub datadir: String,
    /// The value of its role label.
    pub role: Option<String>,
    /// Why it was chosen, for people.
    pub why: String,
}

/// Chooses the replica: the one asked for, else the highest ordinal that the store can be mounted beside.
///
/// # Errors
/// Refuses a replica that does not exist or that no runner can work beside.
pub fn choose(observed: &Observed, wanted: Option<&str>) -> Result<Target, Refusal> {
    if let Some(store) = &observed.store
        && store.phase != "Bound"
        && !store.waits_for_consumer
    {
        return Err(Refusal::StoreUnusable { claim: store.name.clone(), phase: store.phase.clone() });
    }
    let (pod, why) = match wanted {
        Some(name) => (asked_for(observed, name)?, "asked for with --replica".to_owned()),
        None => by_rule(observed)?,
    };
    usable(observed, pod, why)
}

fn asked_for<'a>(observed: &'a Observed, name: &str) -> Result<&'a PodView, Refusal> {
    let Some(pod) = observed.cluster.pod(name) else {
        let pods = observed.cluster.pods.iter().map(|pod| pod.name.clone()).collect();
        return Err(Refusal::NoSuchReplica { wanted: name.to_owned(), pods });
    };
    match &observed.store {
        Some(store) if !mountable(store, pod) => Err(Refusal::StoreElsewhere {
            pod: pod.name.clone(),
            node: pod.node.clone().unwrap_or_else(|| "<none>".to_owned()),
            claim: store.name.clone(),
            nodes: store.nodes.clone().unwrap_or_default(),
        }),
        _ => Ok(pod),
    }
}

fn by_rule(observed: &Observed) -> Result<(&PodView, String), Refusal> {
    let bound = observed.store.as_ref().and_then(|store| Some((store, store.nodes.as_ref()?)));
    let Some((store, nodes)) = bound else {
        let highest = observed.cluster.pods.iter().max_by_key(|pod| pod.ordinal);
        return highest.map(|pod| (pod, "the highest ordinal".to_owned())).ok_or(Refusal::NoReplica);
    };
    let fitting = observed.cluster.pods.iter().filter(|pod| mountable(store, pod));
    match fitting.max_by_key(|pod| pod.ordinal) {
        Some(pod) => Ok((pod, format!("the highest ordinal on {}, where the store's volume is", nodes.join(", ")))),
        None => Err(Refusal::StoreBesideNone { claim: store.name.clone(), nodes: nodes.clone() }),
    }
}

fn mountable(store: &ClaimView, pod: &PodView) -> bool {
    match (&store.nodes, &pod.node) {
        (None, _) => true,
        (Some(nodes), Some(node)) => nodes.contains(node),
        (Some(_), None) => false,
    }
}

fn usable(observed: &Observed, pod: &PodView, why: String) -> Result<Target, Refusal> {
    let unusable = |why: &str| Refusal::TargetUnusable { pod: pod.name.clone(), why: why.to_owned() };
    let node = pod.node.clone().ok_or_else(|| unusable("it is on no node"))?;
    let host = pod.ip.clone().ok_or_else(|| unusable("it has no address"))?;
    let claim = pod.claim.as_ref().ok_or_else(|| unusable("its data lies on no claim"))?;
    if claim.access_modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        return Err(Refusal::DataVolumeExclusive { pod: pod.name.clone(), claim: claim.name.clone() });
    }
    let member = match observed.member(&pod.name) {
        Some(Ok(member)) => member,
        Some(Err(why)) => return Err(unusable(&format!("its server does not answer ({why})"))),
        None => return Err(unusable("its server was not asked")),
    };
    // Somebody else's desync is theirs to end; even an unsafe backup must not end it for them.
    if !member.is_synced() {
        return Err(unusable(&format!("it is {} with wsrep_desync_count {}", member.state, member.desync_count)));
    }
    Ok(Target {
        pod: pod.name.clone(),
        pod_uid: pod.uid.clone(),
        ordinal: pod.ordinal,
        node,
        claim: claim.name.clone(),
        claim_uid: claim.uid.clone(),
        server: ServerAddress { host, port: observed.cluster.server.port },
        gcomm_uuid: member.gcomm_uuid.clone(),
        datadir: member.datadir.trim_end_matches('/').to_owned(),
        role: pod.role.clone(),
        why,
    })
}
