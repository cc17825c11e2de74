//! What of a cluster's state calls a person, and what does not.

use super::shape::{Act, Fact, Facts, Health, what_is_owed};
use crate::model::forecast::UntilFull;
use crate::model::obligation::{Obligation, RestoreDebt};
use crate::model::report::{DesyncSeen, StatusReport};

/// What comes of judging a cluster.
pub(super) struct Judged {
    /// What speaks against its health.
    pub(super) findings: Vec<String>,
    pub(super) act: Vec<Act>,
    pub(super) health: Health,
}

/// Judges a cluster by what Kubernetes knows, and what its replicas said or are seen to be.
pub(super) fn judged(facts: &Facts, told: &StatusReport, was_asked: bool, full: Option<UntilFull>) -> Judged {
    let owed = facts.view.as_ref().and_then(|view| view.obligation.as_ref());
    // What a run that goes on owes it is about to settle itself; or one that was sent to and is at work on it.
    let goes_on = |owed: &Obligation| facts.running.iter().flatten().any(|run| run.job == owed.run || run.settles());
    let living = owed.filter(|owed| goes_on(owed));
    let left = owed.filter(|owed| !goes_on(owed));
    let settle = left.map(|owed| Act {
        why: format!("run {} has ended and still owes {}", owed.run, what_is_owed(owed)),
        command: Some(facts.recover.clone()),
    });
    let findings = without_desync(&told.findings, told.desynced.as_ref().filter(|seen| is_in_hand(facts, left, seen)));
    // Who scales or restarts anything now would get into its way.
    let restores = living.and_then(|owed| owed.debt.restore()).is_some_and(RestoreDebt::has_left_proving);
    let missed = if let Fact::Known(failed) = &facts.failed { failed.act() } else { None };
    let others = unhealthy(&findings).into_iter().chain(missed).chain(no_room(facts, full));
    let act: Vec<Act> = settle.into_iter().chain(others.filter(|_| !restores)).collect();
    let health = match (act.is_empty(), was_asked) {
        (true, _) if restores => Health::Restoring,
        (false, _) => Health::Unhealthy,
        (true, true) => Health::Healthy,
        (true, false) => Health::Unknown,
    };
    Judged { findings, act, health }
}

/// Whether a desync is ended by the run that began it, or has been since it was seen; `left` is what a dead run owes.
fn is_in_hand(facts: &Facts, left: Option<&Obligation>, seen: &DesyncSeen) -> bool {
    let is_left = left.and_then(|owed| owed.debt.desync()).is_some_and(|desync| desync.pod == seen.pod);
    facts.view.is_some() && facts.running.is_some() && !is_left
}

/// The findings that there are not only because of that desync.
fn without_desync(findings: &[String], in_hand: Option<&DesyncSeen>) -> Vec<String> {
    let follows = |finding: &&String| in_hand.is_some_and(|seen| seen.findings.contains(finding));
    findings.iter().filter(|finding| !follows(finding)).cloned().collect()
}

/// What speaks against the cluster's health, as one thing to do something about.
fn unhealthy(findings: &[String]) -> Option<Act> {
    let more = match findings.len().saturating_sub(1) {
        0 => String::new(),
        1 => ", and one finding more".to_owned(),
        more => format!(", and {more} findings more"),
    };
    Some(Act { why: format!("{}{more}", findings.first()?), command: None })
}

/// That the next backup will not fit, as far as the ones before tell.
fn no_room(facts: &Facts, full: Option<UntilFull>) -> Option<Act> {
    let why = "the next backup may not fit: the volume of backups has less room than the ones before took".to_owned();
    (full == Some(UntilFull::Now)).then(|| Act { why, command: facts.make_room.clone() })
}
