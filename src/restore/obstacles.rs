//! What stands in the way of a restore, all of it at once, before anything is touched.

use super::Observed;
use crate::model::bytes::human;
use crate::model::order::RestoreRequest;
use crate::model::workload::{Keeper, Replica, Workload};

/// What is to be known of a backup whose size when it is unpacked is not recorded, such as one of the original.
pub(super) const UNKNOWN_SIZE: &str = "how large the backup is when it is unpacked is not recorded; if there is not the room for it, the restore is given up while the cluster serves";

/// What is to be known where the optional ClusterRole is missing.
const UNSEEN: &str = "nodes and VolumeAttachments may not be looked at here: whether a volume is free is told by pods alone, and a node that is lost shows in the outage; a cluster admin grants it by: kubectl mariadb-backup setup";

/// Returns whatever makes a restore impossible or dangerous now.
pub(super) fn of(observed: &Observed<'_>, request: &RestoreRequest, full_bytes: Option<u64>) -> Vec<String> {
    let workload = &observed.workload;
    let name = &observed.cluster.statefulset;
    let mut found = of_workload(workload);
    if workload.replicas.is_empty() {
        found.push(format!(
            "StatefulSet {name} is scaled to 0 and has no claim left; scale it to what it shall be first"
        ));
    }
    let missing: Vec<_> =
        workload.replicas.iter().filter(|(_, claim)| claim.is_none()).map(|(of, _)| of.claim.as_str()).collect();
    if workload.scale.replicas == 0 && request.replicas.is_none() && !missing.is_empty() {
        found.push(format!(
            "StatefulSet {name} is scaled to 0, and claim {} is not there, so nobody knows how many replicas it had; say it with --replicas",
            missing.join(", ")
        ));
    }
    let asked = workload.scale.replicas;
    if asked > 0 && request.replicas.is_some_and(|wanted| wanted != asked) {
        found.push(format!("StatefulSet {name} runs {asked} replicas; --replicas is for one that is scaled to 0"));
    }
    let gitops = workload.keepers.iter().filter(|_| !request.gitops_paused);
    found.extend(gitops.map(|by| kept(by, "--gitops-paused")));
    let operator = workload.controller.iter().filter(|_| !request.operator_suspended);
    found.extend(operator.map(|by| kept(by, "--operator-suspended")));
    found.extend(workload.flavour.unknown_start(observed.settings.bootstrap.is_some()).map(str::to_owned));
    for (replica, claim) in &workload.replicas {
        if request.scratch_claim.as_ref() == Some(&replica.claim) {
            found.push(format!("claim {} holds data of the cluster, so nothing is unpacked there", replica.claim));
        }
        let Some(claim) = claim else { continue };
        // One that waits for its first pod is bound once that starts.
        if claim.phase != "Bound" && !claim.waits_for_consumer {
            let (name, pod, phase) = (&replica.claim, &replica.pod, &claim.phase);
            found.push(format!(
                "claim {name} is {phase}, so {pod} could not join; why: kubectl describe persistentvolumeclaim {name}; to go on without it, scale the StatefulSet to 0, delete the claim, and say how many shall run with --replicas"
            ));
        }
        if claim.access_modes.iter().any(|mode| mode == "ReadWriteOncePod") {
            found.push(format!("claim {} is ReadWriteOncePod, so no runner can be given its volume", replica.claim));
        }
    }
    found.extend(too_small(observed, full_bytes));
    found
}

/// The volumes that were seen to be smaller than what is restored: nobody with one of these could have it.
fn too_small(observed: &Observed<'_>, full_bytes: Option<u64>) -> Vec<String> {
    let replicas = observed.workload.replicas.iter().map(|(replica, _)| replica);
    let told = replicas.filter_map(|replica| {
        let (room, full) = (observed.look_at(&replica.pod)?.total_bytes, full_bytes?);
        let (Replica { pod, claim, .. }, size) = (replica, human(room));
        (room < full).then(|| {
            format!(
                "the volume of {pod} has {size} in all, and the full backup alone is {}, so {pod} could not have it; make claim {claim} larger",
                human(full)
            )
        })
    });
    told.collect()
}

/// Returns whatever about a StatefulSet would start it again, or delete its volumes.
pub(super) fn of_workload(workload: &Workload) -> Vec<String> {
    let mut found = Vec::new();
    if workload.deletes_claims {
        found.push(
            "the StatefulSet deletes its claims when it is scaled down (persistentVolumeClaimRetentionPolicy.whenScaled: Delete); set that to Retain"
                .to_owned(),
        );
    }
    for autoscaler in &workload.autoscalers {
        found.push(format!(
            "HorizontalPodAutoscaler {autoscaler} would start the cluster again; for the time: kubectl delete horizontalpodautoscaler {autoscaler}"
        ));
    }
    found.extend(workload.trouble.iter().cloned());
    found
}

/// Whether a tool is paused stands in objects of its own, in any namespace: who paused it says so.
fn kept(by: &Keeper, flag: &str) -> String {
    let Keeper { name, pause } = by;
    format!("{name} would start the cluster again in the middle; pause it ({pause}) and say {flag}")
}

/// Returns what should be known although it does not stand in the way.
pub(super) fn remarks(observed: &Observed<'_>, full_bytes: Option<u64>) -> Vec<String> {
    let workload = &observed.workload;
    let resume = |by: &Keeper| format!("{} is said to be paused; resume it when the restore is done", by.name);
    let mut remarks: Vec<_> = workload.keepers.iter().chain(&workload.controller).map(resume).collect();
    if workload.scale.replicas == 0 {
        let found = workload.replicas.len();
        remarks.push(format!(
            "the StatefulSet is scaled to 0; claims of {found} replicas are there, so many will run (--replicas says another number)"
        ));
    }
    let missing = workload.replicas.iter().filter(|(_, claim)| claim.is_none());
    remarks.extend(missing.map(|(replica, _)| format!("claim {} is not there; it will be made anew", replica.claim)));
    let there = || workload.replicas.iter().filter_map(|(replica, claim)| Some((replica, claim.as_ref()?)));
    let unbound = there().filter(|(_, claim)| claim.phase != "Bound");
    remarks.extend(unbound.map(|(replica, claim)| {
        format!(
            "claim {} is {} until its first pod; {} joins once it is bound",
            replica.claim, claim.phase, replica.pod
        )
    }));
    remarks.extend(may_be_too_small(observed, full_bytes));
    if !workload.sees_nodes {
        remarks.push(UNSEEN.to_owned());
    }
    let silent: Vec<_> =
        observed.members.iter().filter(|(_, member)| member.is_err()).map(|(pod, _)| pod.as_str()).collect();
    if !silent.is_empty() {
        remarks.push(format!("{} did not answer, so it is not known what is lost there", silent.join(", ")));
    }
    remarks
}

/// The volumes that may not hold what is restored, as far as was seen of them; else by what their claims ask for, to which
/// not every kind of volume is held.
fn may_be_too_small(observed: &Observed<'_>, full_bytes: Option<u64>) -> Vec<String> {
    let replicas = observed.workload.replicas.iter();
    let told = replicas.filter_map(|(replica, claim)| {
        let seen = observed.look_at(&replica.pod).map(|look| look.free_bytes.saturating_add(look.data_bytes));
        let (room, full) = (seen.or(claim.as_ref()?.capacity_bytes)?, full_bytes?);
        let (pod, claim) = (&replica.pod, &replica.claim);
        (room < full).then(|| {
            let (room, full) = (human(room), human(full));
            format!("the volume of {pod} (claim {claim}) takes {room}, and the full backup alone is {full}: it may not hold it")
        })
    });
    told.collect()
}
