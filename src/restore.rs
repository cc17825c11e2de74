//! The restore: the cluster is set back to a stored backup, proven before the outage, undone when it fails.
//!
//! Phase 1 unpacks the backup in a scratch outside every data directory and boots it there, while the
//! cluster serves; then the cluster is stopped. Phase 2 puts the proven copy into place on one volume, the
//! leader's, and sets its old data aside. Phase 3 starts the leader alone; the outage ends when it serves.
//! Only then are the other volumes emptied, and their replicas join. A leader that does not come up in time
//! is undone: the old cluster comes back from what was set aside, or from a replica that nobody touched.
//!
//! Every choice is made in [`plan`]. The plan is recorded as an obligation before the first effect, with
//! the stage it has reached; [`resume`] goes on from there when the conductor died.

use std::collections::BTreeMap;

use crate::model::backup_id::BackupId;
use crate::model::bytes;
use crate::model::catalogue::Catalogue;
use crate::model::cluster::{ClaimView, ClusterView};
use crate::model::command;
use crate::model::galera::Member;
use crate::model::obligation::{Debt, OBLIGATION_SCHEMA, Obligation, RestoreDebt, ScratchPlace, Stage};
use crate::model::order::{Refill, RestoreRequest, StoreName};
use crate::model::report::{RestorePreview, RestoreReport, VolumeReport};
use crate::model::settings::Settings;
use crate::model::workload::{Flavour, Replica, Scale, Workload};
use crate::patience::patiently;
use crate::ports::PortError;
use crate::ports::conductor::RunnerSpec;
use crate::ports::restore::RestorePorts;
use crate::proof::Chain;
use crate::stores::Inputs;

mod chosen;
mod course;
mod error;
mod leader;
mod look;
mod obstacles;
mod outage;
mod phase1_lend;
mod phase1_prove;
mod phase1_stop;
mod phase2_refill;
mod phase3_join;
mod phase3_start;
mod positions;
mod preview;
mod proven_rows;
mod rollback;
mod rows;
mod serving;
mod strays;
mod volume;
mod without_leader;

pub use error::RestoreError;
pub use leader::Leader;
pub use look::settle;

use course::{Course, Limits};
use leader::{Wanted, WhyNot};
use phase1_prove::Proven;

/// What an unpacked backup grows by while it is prepared and served.
const GROWTH_BYTES: u64 = 64 << 20;

/// Everything a restore's plan is made from.
pub struct Observed<'a> {
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// The cluster's settings.
    pub settings: &'a Settings,
    /// What backups there should be.
    pub catalogue: Catalogue,
    /// The StatefulSet, to be stopped and started.
    pub workload: Workload,
    /// What every server said, by pod; the error's text where one did not answer.
    pub members: Vec<(String, Result<Member, String>)>,
    /// The claim of the local store, or the one that was named to unpack on; `None` when neither is used.
    pub store: Option<ClaimView>,
    /// What was seen of data volumes so far, by the pod of their replica; `None` of one that could not be looked at.
    pub looks: BTreeMap<String, Option<VolumeReport>>,
    /// The Job's name.
    pub job: &'a str,
    /// Now.
    pub now: jiff::Timestamp,
}

/// A restore with every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct RestorePlan {
    /// The chain, and where each of it is taken from at first.
    pub chain: Chain,
    /// The replica that is started first.
    pub leader: Leader,
    /// What is recorded before the first effect.
    pub debt: RestoreDebt,
    /// Those of the chain that this cluster's own catalogue has: proven, they count as verified.
    own: Vec<BackupId>,
    /// The runners that prove it: the next is tried where one finds its copy damaged.
    pub proofs: Vec<RunnerSpec>,
    /// What the others get theirs from, where that was asked for.
    refill: Option<Refill>,
    /// The limits.
    limits: Limits,
    /// Bytes it takes unpacked; `None` when that is not recorded.
    unpacked_bytes: Option<u64>,
    /// What should be known although it does not stand in the way.
    remarks: Vec<String>,
}

impl Observed<'_> {
    fn inputs(&self) -> Inputs<'_> {
        Inputs { catalogue: &self.catalogue, settings: self.settings, cluster: self.cluster, job: self.job }
    }

    /// Whether the server of that pod answered.
    fn answers(&self, pod: &str) -> bool {
        self.members.iter().any(|(of, member)| of == pod && member.is_ok())
    }

    /// What was seen of the volume of that pod's replica.
    fn look_at(&self, pod: &str) -> Option<&VolumeReport> {
        self.looks.get(pod)?.as_ref()
    }

    /// The first server that answered.
    fn answering(&self) -> Option<&Member> {
        self.members.iter().find_map(|(_, member)| member.as_ref().ok())
    }
}

/// The command that brings the backup from its volume to S3, with the cluster whose it is.
fn sync_of(chain: &Chain, request: &RestoreRequest) -> Option<String> {
    let command = "kubectl mariadb-backup sync --to s3";
    let place = request.of_another.as_ref().and_then(|foreign| foreign.cluster.split_once('/'));
    let placed = |(namespace, statefulset)| command::placed(command, namespace, statefulset);
    chain.uses(StoreName::Local).then(|| place.map_or(command.to_owned(), placed))
}

/// Decides everything about a restore.
///
/// # Errors
/// It cannot be done, or not without what the request does not allow. Nothing was touched.
pub fn plan(observed: &Observed<'_>, request: &RestoreRequest) -> Result<RestorePlan, RestoreError> {
    let inputs = observed.inputs();
    let nearest = [StoreName::Local, StoreName::S3];
    // Beside a claim to unpack on, the volume of backups is not mounted.
    let store = if request.scratch_claim.is_some() { Some(StoreName::S3) } else { request.store };
    let chain = Chain::of(&inputs, &request.backup, store, nearest)?;
    let unpacked_bytes = chain.unpacked_bytes(&inputs).ok();
    let full = chain.members.first().and_then(|base| observed.catalogue.entry(base));
    let full_bytes = full.and_then(|entry| entry.stream_bytes);
    // Increments may have dropped what the full backup holds.
    let least_bytes = full_bytes.filter(|_| chain.members.len() == 1);
    let obstacles = obstacles::of(observed, request, least_bytes);
    if !obstacles.is_empty() {
        return Err(RestoreError::Obstacles(obstacles));
    }
    let place = leader::data_place(observed);
    let bytes = unpacked_bytes.map(|bytes| bytes.saturating_add(GROWTH_BYTES));
    let wanted = leader::Wanted { chain: &chain, place, bytes, request };
    let leader = leader::choose(observed, &wanted).map_err(|reasons| no_leader(observed, &wanted, reasons))?;
    if request.sets_aside == Some(true) && !leader.place.has_room_beside() {
        let pod = &leader.replica.pod;
        let less = format!(
            "the volume of {pod} has less room than when the plan was shown: its old data could not be set aside"
        );
        return Err(RestoreError::Obstacles(vec![less]));
    }
    let others = leader::others(&observed.workload, &leader.replica);
    let debt = RestoreDebt {
        backup: request.backup.clone(),
        stage: Stage::Proving,
        leader: leader.replica.clone(),
        first_leader: None,
        lent: phase1_lend::place(observed, &leader, &others, request.refill)?,
        lent_is_whole: false,
        store_claim: Some(store_claim(observed).to_owned()),
        others,
        saved: saved(&observed.workload),
        stood_at_zero: observed.workload.scale.replicas == 0,
        place: leader.place.clone(),
        scratch: leader.scratch.clone(),
        previous: previous(observed),
        starts_at_any_ordinal: observed.workload.starts_at_any_ordinal,
        opened: false,
        history: None,
        state_config_map: observed.workload.flavour.state_config_map().map(str::to_owned),
        keep_old_data: request.keep_old_data,
        reached: Stage::Proving,
        stopped: None,
        stopped_at: None,
        restored_to: None,
        served: None,
        served_lsn: 0,
        chosen: None,
        went_on_from: None,
        why: None,
    };
    if !request.no_rollback && !has_way_back(observed, &debt) {
        return Err(no_way_back(observed, &debt));
    }
    let mut chains = vec![chain.clone()];
    let other = Chain::of(&inputs, &request.backup, store, [StoreName::S3, StoreName::Local])?;
    chains.extend((other != chain && leader::can_read(observed, &other, &leader.replica)).then_some(other));
    let proofs = chains.iter().enumerate();
    let proofs = proofs.map(|(n, chain)| phase1_prove::runner(observed, chain, &leader, n, request)).collect();
    let mut remarks = obstacles::remarks(observed, full_bytes);
    remarks.extend(unpacked_bytes.is_none().then(|| obstacles::UNKNOWN_SIZE.to_owned()));
    let (limits, refill) = (Limits::of(observed.settings), request.refill);
    // A backup of another cluster may have the name of one of ours.
    let own = if request.of_another.is_none() { chain.members.clone() } else { vec![] };
    Ok(RestorePlan { chain, leader, debt, own, proofs, refill, limits, unpacked_bytes, remarks })
}

/// The claim whose volume is mounted where backups are: theirs, or the one that was named to unpack on.
fn store_claim<'a>(observed: &'a Observed<'_>) -> &'a str {
    observed.store.as_ref().map_or(&observed.settings.store_claim, |store| &store.name)
}

/// Why the old cluster could not come back.
fn no_way_back(observed: &Observed<'_>, debt: &RestoreDebt) -> RestoreError {
    let silent = observed.members.iter().filter_map(|(pod, said)| Some(format!("{pod}: {}", said.as_ref().err()?)));
    RestoreError::NoWayBack {
        cluster: observed.cluster.statefulset.clone(),
        is_full: debt.place.is_full,
        starts_another: starts_another(observed),
        silent: silent.collect(),
    }
}

/// Why nobody can lead, and what would make it possible.
fn no_leader(observed: &Observed<'_>, wanted: &Wanted<'_>, reasons: Vec<WhyNot>) -> RestoreError {
    let request = wanted.request;
    let is_in_s3 = Chain::of(&observed.inputs(), &request.backup, Some(StoreName::S3), [StoreName::S3; 2]).is_ok();
    let lacks_place = request.scratch_claim.is_none() && is_in_s3 && reasons.iter().any(|why| why.lacks_place);
    RestoreError::NoLeader {
        reasons: reasons.into_iter().map(|why| why.words).collect(),
        sync: sync_of(wanted.chain, request),
        place: lacks_place.then(|| match wanted.bytes {
            // A file system takes its own part.
            Some(bytes) => format!("of {} or more", bytes::human(bytes + bytes / 5)),
            None => "that holds it unpacked".to_owned(),
        }),
    }
}

/// What the StatefulSet shall ask for at the end: what it asks for now, or as many as were found of one that
/// stands at 0.
fn saved(workload: &Workload) -> Scale {
    let found = i32::try_from(workload.replicas.len()).unwrap_or(i32::MAX);
    Scale { replicas: found, ..workload.scale }
}

/// The history the cluster is in, by the word of those who are in its majority.
fn previous(observed: &Observed<'_>) -> Option<String> {
    let said = observed.members.iter().filter_map(|(_, member)| member.as_ref().ok());
    said.filter(|member| member.cluster_status == "Primary").map(|member| member.state_uuid.clone()).next()
}

/// Whether a replica other than the lowest ordinal could start the cluster alone.
fn starts_another(observed: &Observed<'_>) -> bool {
    observed.workload.starts_at_any_ordinal && observed.workload.flavour != Flavour::Bitnami
}

/// Whether the old cluster could come back once the leader's volume was written: from the data set aside, or
/// from another replica, which must have said that it has them.
fn has_way_back(observed: &Observed<'_>, debt: &RestoreDebt) -> bool {
    debt.place.has_room_beside()
        || (starts_another(observed) && debt.others.iter().any(|other| observed.answers(&other.pod)))
}

/// Says what would be done.
#[must_use]
pub fn preview(plan: &RestorePlan, observed: &Observed<'_>) -> RestorePreview {
    preview::of(plan, observed)
}

/// Carries a restore out.
///
/// # Errors
/// Says which part failed, and how the cluster is now.
pub async fn run(plan: &RestorePlan, job: &str, ports: &RestorePorts<'_>) -> Result<RestoreReport, RestoreError> {
    let since = ports.conductor.clock.now();
    let obligation = Obligation {
        schema: OBLIGATION_SCHEMA,
        debt: Debt::Restore(Box::new(plan.debt.clone())),
        run: job.to_owned(),
        since,
    };
    record(&obligation, ports).await.map_err(|source| RestoreError::NotBegun { source })?;
    let mut course = Course::new(&obligation, plan.debt.clone(), job, plan.limits.clone(), *ports);
    let ready = match phase1_prove::run(plan, ports).await {
        Ok(proven) => make_ready(proven, plan, job, &mut course).await,
        Err(failure) => Err(RestoreError::NotProven { backup: plan.debt.backup.clone(), failure: Box::new(failure) }),
    };
    if let Err(error) = ready {
        phase1_prove::abandon(&mut course).await;
        return Err(error);
    }
    if plan.debt.scratch == ScratchPlace::Beside {
        let switch = phase2_refill::act(&course);
        course.start_ahead(switch, plan.leader.pod.clone()).await;
    }
    course.enter(Stage::Stopping).await?;
    course::drive(course).await
}

/// Does the rest of what comes before the outage.
async fn make_ready(
    proven: Proven,
    plan: &RestorePlan,
    job: &str,
    course: &mut Course<'_>,
) -> Result<(), RestoreError> {
    let ports = course.ports;
    phase1_prove::check_copy(&proven, plan, job, &ports).await?;
    course.debt.history = Some(proven.history);
    course.debt.restored_to = proven.position;
    course.proven_rows = proven.rows;
    phase1_lend::run(course, plan.refill).await?;
    still_the_same(plan, &ports).await
}

/// Looks once more, after hours of proving perhaps, that the StatefulSet is as it was planned for.
async fn still_the_same(plan: &RestorePlan, ports: &RestorePorts<'_>) -> Result<(), RestoreError> {
    let now = patiently(ports.conductor, || ports.workload.look(None))
        .await
        .map_err(|source| RestoreError::NotBegun { source })?;
    let mut obstacles = obstacles::of_workload(&now);
    if now.scale != plan.debt.asked() {
        obstacles.push("it was scaled while the backup was proven".to_owned());
    }
    if obstacles.is_empty() { Ok(()) } else { Err(RestoreError::Obstacles(obstacles)) }
}

/// Records the obligation, also where the answer to a first try was lost on its way.
async fn record(obligation: &Obligation, ports: &RestorePorts<'_>) -> Result<(), PortError> {
    let cluster = ports.conductor.cluster;
    match cluster.record_obligation(obligation).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let view = patiently(ports.conductor, || cluster.view()).await?;
            if view.obligation.as_ref() == Some(obligation) { Ok(()) } else { Err(error) }
        }
    }
}

/// How a restore that was gone on with ended.
#[derive(Debug)]
pub enum Resumed {
    /// It is done.
    Done(Box<RestoreReport>),
    /// It had not stopped the cluster yet, and was given up.
    GivenUp,
}

/// Makes sure that a person may choose the replica with that ordinal to start the cluster of a restore that its run did
/// not bring to its end.
///
/// # Errors
/// It cannot be chosen; nothing was changed.
pub async fn check_choice(
    ordinal: i32,
    owed: &Obligation,
    debt: &RestoreDebt,
    settings: &Settings,
    job: &str,
    ports: &RestorePorts<'_>,
) -> Result<Replica, RestoreError> {
    let course = Course::new(owed, debt.clone(), job, Limits::of(settings), *ports);
    chosen::check(&course, ordinal).await
}

/// Starts the cluster from what that replica has, and lets the others get everything from it.
///
/// # Errors
/// As [`run`].
pub async fn resume_from(
    replica: &Replica,
    owed: &Obligation,
    debt: &RestoreDebt,
    settings: &Settings,
    job: &str,
    ports: &RestorePorts<'_>,
) -> Result<RestoreReport, RestoreError> {
    let mut course = Course::new(owed, debt.clone(), job, Limits::of(settings), *ports);
    course.resumed = true;
    chosen::choose(&mut course, replica).await?;
    course::drive(course).await
}

/// Goes on with a restore whose run died: finishes it, or brings the old cluster back.
///
/// # Errors
/// As [`run`].
pub async fn resume(
    owed: &Obligation,
    debt: &RestoreDebt,
    settings: &Settings,
    job: &str,
    ports: &RestorePorts<'_>,
) -> Result<Resumed, RestoreError> {
    let mut course = Course::new(owed, debt.clone(), job, Limits::of(settings), *ports);
    match debt.stage {
        Stage::Proving => {
            phase1_prove::abandon(&mut course).await;
            return Ok(Resumed::GivenUp);
        }
        // Nothing is written yet, and nobody waits for this restore any more: the shortest outage is back.
        Stage::Stopping => {
            course.debt.why = Some("its run died before anything was written".to_owned());
            course.enter(Stage::RollingBack).await?;
        }
        _ => {}
    }
    course.resumed = true;
    course::drive(course).await.map(|report| Resumed::Done(Box::new(report)))
}
