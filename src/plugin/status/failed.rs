//! The last run that failed: as it wrote that down itself, or, where it could not, as Kubernetes saw it end.

use jiff::Timestamp;
use serde::Serialize;

use super::shape::Act;
use crate::adapters::kubernetes::board::KubernetesBoard;
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::orders::{Ending, OrderedRun, Orders};
use crate::exit_code::ExitCode;
use crate::model::metrics::{FailedRun, Figures};
use crate::model::outcome::{End, Failure, Outcome};
use crate::model::report::RunReport;
use crate::plugin::connect::Session;
use crate::plugin::job::only_looks;
use crate::ports::monitor::Board;

/// How many runs are looked at that did not write down themselves how they ended.
const LOOKED_AT: usize = 5;

/// Tasks of which a failed one leaves something undone that has to be done once: the backups are not as they
/// should be, or nobody knows. What a restore leaves behind is owed to the cluster, and told by that.
const MISSED: [&str; 5] = ["backup", "verify", "drill", "sync", "prune"];

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failed {
    pub(super) job: String,
    pub(super) task: String,
    pub(super) ended: Timestamp,
    /// Its exit code; none when it was ended before it could say one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<u8>,
    pub(super) why: String,
    /// Whether a later run of that task did what was asked.
    pub(super) good_since: bool,
    /// The command that shows all it told; none when that is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
}

impl Failed {
    /// What a person should do about it, if anything.
    pub(super) fn act(&self) -> Option<Act> {
        let is_missed = MISSED.contains(&self.task.as_str()) && !self.is_harmless();
        let why = || format!("the last {} failed, and none went well since: {}", self.task, self.why);
        (is_missed && !self.good_since).then(|| Act { why: why(), command: self.command.clone() })
    }

    /// Whether nothing is missed by its failure.
    fn is_harmless(&self) -> bool {
        // Of a run that another one kept out, and of a name that was mistyped, whoever typed it was told; that no
        // backup came of it for too long shows by the age of the newest.
        let harmless: &[ExitCode] = match self.task.as_str() {
            "verify" | "drill" => &[ExitCode::Interrupted, ExitCode::Locked, ExitCode::Usage, ExitCode::NotFound],
            _ => &[ExitCode::Interrupted, ExitCode::Locked],
        };
        self.code.is_some_and(|code| harmless.iter().any(|one| one.number() == code))
    }
}

/// Finds the last run that failed, among those that are remembered and what was written down; one that calls
/// for a person before all others.
pub(super) async fn last(place: &Place, runs: &[OrderedRun], session: &Session) -> Result<Option<Failed>, Failure> {
    let client = session.connection()?.client.clone();
    let board = KubernetesBoard::new(client.clone(), &place.namespace, &place.statefulset);
    let (figures, _) = board.figures().await.map_err(|error| session.failure(&error))?;
    let orders = Orders::new(client, &place.namespace);
    let mut found: Vec<_> = figures.failures.values().map(|failed| (failed.clone(), Some(failed.code))).collect();
    for run in unrecorded(runs, &figures) {
        let ending = orders.ending(&run.job).await.map_err(|error| session.failure(&error))?;
        found.extend(judged(run, ending));
    }
    let command = |job: &str| {
        let is_remembered = runs.iter().any(|run| run.job == job);
        is_remembered.then(|| session.command_in(&place.namespace, &format!("logs {job}")))
    };
    let all = found.into_iter().map(|(failed, code)| Failed {
        good_since: is_good_since(&failed, runs, &figures),
        command: command(&failed.job),
        job: failed.job,
        task: failed.task,
        ended: failed.ended,
        code,
        why: failed.why,
    });
    Ok(worst(all))
}

/// The one to show: the newest that calls for a person, or else the newest.
fn worst(all: impl Iterator<Item = Failed>) -> Option<Failed> {
    all.max_by_key(|failed| (failed.act().is_some(), failed.ended))
}

/// The Jobs that Kubernetes calls failed and that did not say so themselves, the newest first. An agent of
/// before only wrote down that, and not why.
fn unrecorded<'a>(runs: &'a [OrderedRun], figures: &'a Figures) -> impl Iterator<Item = &'a OrderedRun> {
    let went_well = |code: u8| [ExitCode::Done, ExitCode::DoneWithWarnings].iter().any(|good| good.number() == code);
    let is_known = move |job: &str| {
        figures.failures.values().any(|failed| failed.job == job)
            || figures.last.values().any(|last| last.job == job && went_well(last.code))
    };
    let is_newer = |run: &OrderedRun, at: Option<Timestamp>| {
        let Some(recorded) = run.task.as_ref().and_then(|task| figures.failures.get(task)) else { return true };
        let of_recorded = runs.iter().find(|known| known.job == recorded.job).and_then(|known| known.ordered);
        // Kubernetes calls a Job failed seconds after its run has ended, and has written that down.
        let is_later = run.ordered.zip(of_recorded).map(|(own, other)| own > other);
        is_later.unwrap_or_else(|| at.is_some_and(|at| at > recorded.ended))
    };
    let has_failed = move |run: &&OrderedRun| {
        let newer = run.end.as_ref().is_some_and(|end| !end.is_good && is_newer(run, end.at));
        newer && !only_looks(run) && !is_known(&run.job)
    };
    runs.iter().filter(has_failed).take(LOOKED_AT)
}

/// How a Job's run failed; `None` when it did what was asked: warnings have an exit code of their own.
fn judged(run: &OrderedRun, ending: Option<Ending>) -> Option<(FailedRun, Option<u8>)> {
    let end = run.end.as_ref()?;
    let word = ending.as_ref().and_then(|ending| ending.last_word.as_deref());
    let outcome: Option<Outcome<RunReport>> = word.and_then(|word| serde_json::from_str(word).ok());
    let (why, code) = match outcome.map(|outcome| outcome.end) {
        Some(End::Done(_)) => return None,
        Some(End::Failed(failure)) => (failure.in_short(), Some(failure.code.number())),
        None => {
            let how = ending.map_or_else(|| format!("its Job is {}", end.how), |ending| ending.how);
            (format!("it ended without a word: {how}"), None)
        }
    };
    let failed = FailedRun {
        job: run.job.clone(),
        task: run.task.clone().unwrap_or_else(|| "run".to_owned()),
        ended: end.at.or(run.ordered)?,
        code: code.unwrap_or_default(),
        why,
    };
    Some((failed, code))
}

/// Whether a run of the same task did what was asked after that one.
fn is_good_since(failed: &FailedRun, runs: &[OrderedRun], figures: &Figures) -> bool {
    let is_later = |at: &Timestamp| *at > failed.ended;
    let of_task = |run: &&OrderedRun| run.task.as_deref() == Some(&failed.task) && !only_looks(run);
    let ended_well = |run: &OrderedRun| run.end.as_ref().filter(|end| end.is_good).and_then(|end| end.at);
    figures.success.get(&failed.task).is_some_and(is_later)
        || runs.iter().filter(of_task).filter_map(ended_well).any(|at| is_later(&at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kubernetes::orders::RunEnd;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + 60 * minute).unwrap()
    }

    fn run(job: &str, is_good: bool, minute: i64) -> OrderedRun {
        OrderedRun {
            job: job.to_owned(),
            ordered: Some(at(minute - 1)),
            task: Some("backup".to_owned()),
            is_running: false,
            waits: None,
            only_asks: false,
            failed: None,
            end: Some(RunEnd { is_good, at: Some(at(minute)), how: "Failed (BackoffLimitExceeded)".to_owned() }),
        }
    }

    fn said(word: &str) -> Ending {
        Ending { last_word: Some(word.to_owned()), how: "exit code 1".to_owned() }
    }

    fn failed(minute: i64) -> FailedRun {
        let (job, task, why) = ("recorded".to_owned(), "backup".to_owned(), "no room".to_owned());
        FailedRun { job, task, ended: at(minute), code: 4, why }
    }

    #[test]
    fn a_run_that_was_killed_before_it_could_write_is_found_and_one_that_wrote_is_not_looked_for() {
        let failures = [("backup".to_owned(), failed(5))].into();
        let figures = Figures { failures, ..Figures::default() };
        let runs = [run("killed", false, 9), run("good", true, 7), run("recorded", false, 5), run("older", false, 3)];
        let names: Vec<&str> = unrecorded(&runs, &figures).map(|run| run.job.as_str()).collect();
        assert_eq!(names, ["killed"]);
    }

    #[test]
    fn of_two_that_failed_one_right_after_the_other_the_later_one_is_the_last() {
        let figures = Figures { failures: [("backup".to_owned(), failed(5))].into(), ..Figures::default() };
        // Kubernetes calls the first one failed after the second has written that down.
        let first = OrderedRun { ordered: Some(at(3)), ..run("first", false, 6) };
        let runs = [OrderedRun { ordered: Some(at(4)), ..run("recorded", false, 7) }, first];
        assert_eq!(unrecorded(&runs, &figures).count(), 0);
    }

    #[test]
    fn why_it_failed_is_what_it_said_or_how_its_pod_ended() {
        let word = r#"{"schema":1,"failed":{"code":"no-such","message":"m"}}"#;
        let killed = judged(&run("x", false, 1), Some(said(word))).unwrap();
        assert_eq!((killed.1, killed.0.why.as_str()), (None, "it ended without a word: exit code 1"));
        let word = r#"{"schema":1,"failed":{"code":"locked","message":"the Lease is held","causes":["by run y"]}}"#;
        let locked = judged(&run("x", false, 1), Some(said(word))).unwrap();
        assert_eq!((locked.1, locked.0.why.as_str()), (Some(11), "the Lease is held: by run y"));
        let gone = judged(&run("x", false, 1), None).unwrap();
        assert_eq!(gone.0.why, "it ended without a word: its Job is Failed (BackoffLimitExceeded)");
    }

    #[test]
    fn a_run_that_ended_with_warnings_has_not_failed() {
        let word = r#"{"schema":1,"done":{"recover":{}},"warnings":["w"]}"#;
        assert_eq!(judged(&run("x", false, 1), Some(said(word))), None);
    }

    #[test]
    fn a_person_is_called_only_while_nothing_good_of_that_kind_came_after_it() {
        let none = Figures::default();
        assert!(!is_good_since(&failed(5), &[run("before", true, 4)], &none));
        assert!(is_good_since(&failed(5), &[run("after", true, 6)], &none));
        let figures = Figures { success: [("backup".to_owned(), at(7))].into(), ..Figures::default() };
        assert!(is_good_since(&failed(5), &[], &figures));
        let told = |task: &str, code, good_since| Failed {
            job: "x".to_owned(),
            task: task.to_owned(),
            ended: at(5),
            code: Some(code),
            why: "no room".to_owned(),
            good_since,
            command: Some("logs x".to_owned()),
        };
        let act = told("backup", 4, false).act().unwrap();
        assert_eq!(act.why, "the last backup failed, and none went well since: no room");
        assert_eq!(act.command.as_deref(), Some("logs x"));
        for quiet in
            [told("backup", 4, true), told("restore", 14, false), told("drill", 10, false), told("verify", 11, false)]
        {
            assert_eq!(quiet.act(), None, "{quiet:?}");
        }
    }

    #[test]
    fn a_backup_that_is_missed_is_shown_before_a_newer_run_that_nobody_misses() {
        let told = |task: &str, code, minute| Failed {
            job: task.to_owned(),
            task: task.to_owned(),
            ended: at(minute),
            code: Some(code),
            why: "no bucket".to_owned(),
            good_since: false,
            command: None,
        };
        // A bucket that is gone is told by the code of what was not found.
        let shown = worst([told("backup", 10, 1), told("drill", 10, 9)].into_iter()).unwrap();
        assert_eq!((shown.job.as_str(), shown.act().is_some()), ("backup", true));
    }
}
