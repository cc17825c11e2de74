//! What a restore would do, in words, for a person who has to say yes.

use jiff::{SignedDuration, Timestamp};

use super::outage::Outage;
use super::{Observed, RestorePlan, has_way_back, store_claim};
use crate::model::catalogue::Entry;
use crate::model::galera::{Member, Position};
use crate::model::obligation::{RestoreDebt, ScratchPlace};
use crate::model::order::StoreName;
use crate::model::report::{RestorePreview, VolumePlan};
use crate::model::workload::Replica;

/// Writes it from a plan and what was seen.
pub(super) fn of(plan: &RestorePlan, observed: &Observed<'_>) -> RestorePreview {
    let look = observed.look_at(&plan.leader.replica.pod);
    let debt = &plan.debt;
    let outage = Outage::of(plan, observed);
    let entry = observed.catalogue.entry(&debt.backup);
    let (backup_position, present_position) =
        (entry.as_ref().and_then(|entry| entry.position.clone()), present(observed));
    let since = restored_since(present_position.as_ref(), backup_position.as_ref(), observed);
    RestorePreview {
        cluster: format!("{}/{}", observed.cluster.namespace, observed.cluster.statefulset),
        backup: debt.backup.clone(),
        chain: plan.chain.members.iter().cloned().zip(plan.chain.from.iter().copied()).collect(),
        holds: entry.as_ref().and_then(|entry| holds(debt, entry)),
        backup_position,
        present_position,
        asked: observed.now,
        flavour: observed.workload.flavour.words().to_owned(),
        leader: debt.leader.pod.clone(),
        leader_because: plan.leader.because.clone(),
        volumes: volumes(plan, observed),
        sets_aside: debt.place.has_room_beside(),
        scratch: scratch(plan, observed),
        scratch_bytes: plan.unpacked_bytes,
        scratch_free_bytes: look.filter(|_| debt.scratch == ScratchPlace::Beside).map(|look| look.free_bytes),
        steps: steps(plan, observed),
        outage: outage.words(),
        predicted_outage: outage.predicted(),
        way_back: way_back(plan, observed),
        remarks: plan.remarks.iter().cloned().chain(since).collect(),
    }
}

/// That the history the cluster is in, other than the backup's, is that of the last restore: each begins one of its own.
fn restored_since(present: Option<&Position>, of: Option<&Position>, observed: &Observed<'_>) -> Option<String> {
    let present = present.filter(|present| of.is_some_and(|of| of.uuid != present.uuid))?;
    let last = observed.cluster.last_restore.as_ref().filter(|last| last.report.history == present.uuid)?;
    let (backup, time) = (&last.report.backup, last.at);
    Some(format!("its history is that of the restore of {backup} at {time:.0}; each restore begins a new one"))
}

/// The end of the copy: what was written while it went on is in the backup.
fn holds(debt: &RestoreDebt, entry: &Entry) -> Option<Timestamp> {
    if entry.finished.is_some() {
        return entry.finished;
    }
    // Entered before that was recorded, or by the original.
    let took = SignedDuration::from_secs(i64::try_from(entry.duration_secs?).ok()?);
    debt.backup.name().time().checked_add(took).ok()
}

/// The furthest that any replica says it is.
fn present(observed: &Observed<'_>) -> Option<Position> {
    let said = observed.members.iter().filter_map(|(_, member)| member.as_ref().ok());
    said.max_by_key(|member| member.last_committed).map(Member::position)
}

fn volumes(plan: &RestorePlan, observed: &Observed<'_>) -> Vec<VolumePlan> {
    let debt = &plan.debt;
    let aside = match (debt.place.has_room_beside(), debt.keep_old_data) {
        (true, true) => "gets the restored data; the old ones are set aside on it and kept",
        (true, false) => "gets the restored data; the old ones are set aside on it until all replicas serve",
        (false, _) if debt.place.is_full => "is emptied, for it has no room for both, and gets the restored data",
        (false, _) => "is emptied and gets the restored data",
    };
    let plan_of = |replica: &Replica, what: String| {
        let size_bytes = observed.workload.claim_of(replica).and_then(|claim| claim.capacity_bytes);
        let free_bytes = observed.look_at(&replica.pod).map(|look| look.free_bytes);
        VolumePlan { pod: replica.pod.clone(), claim: replica.claim.clone(), size_bytes, free_bytes, what }
    };
    let other = |replica: &Replica| {
        let what = match &debt.lent {
            Some(_) => format!("gets a copy of the restored data once {} serves", debt.leader.pod),
            None => format!("is emptied once {} serves, and gets everything from it", debt.leader.pod),
        };
        plan_of(replica, what)
    };
    std::iter::once(plan_of(&debt.leader, aside.to_owned())).chain(debt.others.iter().map(other)).collect()
}

fn scratch(plan: &RestorePlan, observed: &Observed<'_>) -> String {
    match &plan.debt.scratch {
        ScratchPlace::Beside => format!("the volume of {}, beside its data", plan.debt.leader.pod),
        ScratchPlace::Store(_) if store_claim(observed) != observed.settings.store_claim => {
            format!("claim {}", store_claim(observed))
        }
        ScratchPlace::Store(_) => "the local store (the volume of backups)".to_owned(),
    }
}

fn steps(plan: &RestorePlan, observed: &Observed<'_>) -> Vec<String> {
    let debt = &plan.debt;
    let leader = &debt.leader.pod;
    let from: Vec<_> = [StoreName::Local, StoreName::S3]
        .into_iter()
        .filter(|store| plan.chain.uses(*store))
        .map(StoreName::word)
        .collect();
    let into_place = match debt.scratch {
        ScratchPlace::Beside => "by its name alone",
        ScratchPlace::Store(_) => "by copying it",
    };
    let mut steps = vec![
        format!(
            "read every byte of the backup from {} and compare it, unpack and prepare it on {}",
            from.join(" and "),
            scratch(plan, observed)
        ),
        prove_step(debt),
        match debt.asked().replicas {
            0 => "make sure that no pod holds any of the volumes".to_owned(),
            all => format!("stop all {all} replicas; wait until no pod holds any of their volumes"),
        },
        format!("put the restored data into place on the volume of {leader}, {into_place}"),
        format!("start {leader} alone, in a new history, and look at it"),
    ];
    if !debt.others.is_empty() {
        let others: Vec<_> = debt.others.iter().map(|replica| replica.pod.as_str()).collect();
        let others = others.join(", ");
        steps.push(match &debt.lent {
            Some(_) => {
                format!("copy the restored data to the volumes of {others}, start them, and wait until each is Synced")
            }
            None => format!("empty the volumes of {others}, start them, and wait until each is Synced"),
        });
    }
    steps
        .push(if debt.keep_old_data { "remove the scratch" } else { "remove the scratch and the old data" }.to_owned());
    steps
}

fn prove_step(debt: &RestoreDebt) -> String {
    let prove = "boot a server on it without network, log in with today's Secrets, also with those of the servers' own pods, open every table";
    let is_copied = debt.lent.is_some() && debt.scratch == ScratchPlace::Beside;
    let copy = if is_copied { "; copy it to the volume of backups, for the other replicas" } else { "" };
    format!("{prove}{copy}")
}

fn way_back(plan: &RestorePlan, observed: &Observed<'_>) -> Option<String> {
    let debt = &plan.debt;
    if !has_way_back(observed, debt) {
        return None;
    }
    let (leader, limit) = (&debt.leader.pod, plan.limits.lead.as_secs());
    if debt.stood_at_zero {
        let from = if debt.place.has_room_beside() {
            "get back into place"
        } else {
            "come back from the furthest of the other replicas, which are started for it"
        };
        return Some(format!(
            "when {leader} does not serve within {limit} s, the old data {from}, and the cluster is stopped as it was"
        ));
    }
    let from = if debt.place.has_room_beside() {
        "from the old data set aside, or the replica that is furthest"
    } else {
        "from the furthest of the replicas that are not touched before"
    };
    Some(format!("when {leader} does not serve within {limit} s, the old cluster is started again {from}"))
}
