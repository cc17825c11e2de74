//! `logs`: a run from its start, from any machine, while it goes on or afterwards.

use std::time::Duration;

use super::cli::{LogsFlags, RunForm};
use super::connect::Session;
use super::follow::{FollowWishes, Followed, Reports, follow, limit};
use super::job::is_look;
use super::{CommandResult, backups, find, report};
use crate::adapters::kubernetes::orders::{OrderedRun, Orders};
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// A run that is looked at was ordered before: its pod is there, or has had its time.
const START_LIMIT: Duration = Duration::from_mins(5);

/// How many runs an error names.
const SHOWN: usize = 5;

pub(crate) async fn run(flags: &LogsFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let job = match &flags.job {
        Some(job) => known(session, job.trim_start_matches("job.batch/").trim_start_matches("job/")).await?,
        None => worth_seeing(session, flags.statefulset.as_deref(), screen).await?,
    };
    let reports = match flags.output {
        Some(RunForm::Json) => Reports::Json,
        // Its data are only how the run ended.
        Some(RunForm::Yaml) => Reports::Aside,
        None if flags.timestamps => Reports::TimedLines,
        None => Reports::Lines,
    };
    let wishes = FollowWishes { timeout: limit(flags.timeout), start_timeout: START_LIMIT, reports };
    let ended = match follow(&job, &wishes, session, screen).await? {
        Followed::GoesOn(code) => return Ok(code),
        Followed::Ended(ended) => ended,
    };
    if let Some(form) = flags.output {
        report::tell(&job, &ended.outcome, form, screen);
        return Ok(report::end(&ended.outcome, screen));
    }
    Ok(report::to_its_end(&ended.outcome, ended.newest.filter(|_| flags.timestamps), screen))
}

/// The runs that are remembered, the newest first.
async fn runs(session: &Session, statefulset: Option<&str>) -> Result<Vec<OrderedRun>, Failure> {
    let connection = session.connection()?;
    let orders = Orders::new(connection.client.clone(), &connection.target.namespace);
    orders.runs(statefulset).await.map_err(|error| session.failure(&error))
}

async fn known(session: &Session, job: &str) -> Result<String, Failure> {
    let runs = runs(session, None).await?;
    if runs.iter().any(|run| run.job == job) {
        return Ok(job.to_owned());
    }
    if runs.is_empty()
        && let Some(failure) = find::named_in_vain(session, None).await
    {
        return Err(failure);
    }
    let there: Vec<&str> = runs.iter().take(SHOWN).map(|run| run.job.as_str()).collect();
    let failure = Failure::new(ExitCode::Error, format!("there is no run {job} in namespace {}", session.namespace()?));
    let failure = match there.as_slice() {
        [] => failure.with_cause("no run is remembered there; they are forgotten a week after they end"),
        there => failure.with_cause(format!("the newest are {}", there.join(", "))),
    };
    let names: Vec<&str> = runs.iter().map(|run| run.job.as_str()).collect();
    Err(match backups::nearest(job, &names) {
        Some(near) => failure.with_hint(format!("did you mean {near}?")),
        None if names.is_empty() => failure.with_hint(session.command("list")),
        None => failure.with_hint(format!("to see the run at work, or the newest: {}", session.command("logs"))),
    })
}

/// Finds the run that is worth seeing, and says which one that is.
async fn worth_seeing(session: &Session, statefulset: Option<&str>, screen: &mut Screen) -> Result<String, Failure> {
    let runs = runs(session, statefulset).await?;
    let Some((run, why)) = choose(&runs) else {
        if let Some(failure) = find::named_in_vain(session, statefulset).await {
            return Err(failure);
        }
        let of = statefulset.map(|name| format!(" of {name}")).unwrap_or_default();
        let what = format!("no run{of} is remembered in namespace {}", session.namespace()?);
        return Err(Failure::new(ExitCode::Error, what)
            .with_cause("runs are forgotten a week after they end")
            .with_hint(session.command("create")));
    };
    screen.note(&format!("run {}, {why}", run.job));
    Ok(run.job.clone())
}

/// Chooses the run at work, or else the newest that did anything, of those that are given the newest first.
///
/// One that is turned away because another is at work is newer than that one, and has nothing to tell. What was
/// passed over is named: why a run was refused may be what is looked for.
fn choose(runs: &[OrderedRun]) -> Option<(&OrderedRun, String)> {
    let runs: Vec<&OrderedRun> = runs.iter().filter(|run| !run.task.as_deref().is_some_and(is_look)).collect();
    let worked: Vec<&OrderedRun> = runs.iter().filter(|run| !did_nothing(run)).copied().collect();
    if let Some(run) = worked.iter().filter(|run| run.is_running).min_by_key(|run| (run.ordered, &run.job)) {
        let state =
            run.waits.as_ref().map_or("which is at work".to_owned(), |why| format!("which has not started: {why}"));
        return Some((run, state));
    }
    let newest = runs.first()?;
    match worked.first() {
        None => Some((newest, "the newest; none did anything".to_owned())),
        Some(run) if run == newest => Some((run, "the newest".to_owned())),
        Some(run) => Some((run, format!("the newest that did anything; {} was {}", newest.job, nothing(newest)))),
    }
}

/// Whether a run was only asked, or turned away before it changed anything.
fn did_nothing(run: &OrderedRun) -> bool {
    run.only_asks || matches!(run.failed, Some(ExitCode::Locked | ExitCode::Refused))
}

fn nothing(run: &OrderedRun) -> &'static str {
    if run.only_asks { "a dry run" } else { "refused" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(job: &str) -> OrderedRun {
        let (ordered, task) = (None, Some("backup".to_owned()));
        let job = job.to_owned();
        OrderedRun { job, ordered, task, is_running: false, waits: None, only_asks: false, failed: None, end: None }
    }

    fn refused(job: &str, code: ExitCode) -> OrderedRun {
        OrderedRun { failed: Some(code), ..run(job) }
    }

    fn chosen(runs: &[OrderedRun]) -> Option<String> {
        choose(runs).map(|(run, why)| format!("{}, {why}", run.job))
    }

    #[test]
    fn the_run_at_work_is_seen_before_the_newest() {
        let at_work = OrderedRun { is_running: true, ..run("b") };
        let asks = OrderedRun { is_running: true, only_asks: true, ..run("d") };
        let runs = [asks, refused("c", ExitCode::Locked), at_work, run("a")];
        assert_eq!(chosen(&runs).unwrap(), "b, which is at work");
    }

    #[test]
    fn a_run_that_did_nothing_is_passed_over_and_named() {
        let asks = OrderedRun { only_asks: true, ..run("c") };
        let refused = refused("b", ExitCode::Refused);
        let failed = OrderedRun { failed: Some(ExitCode::FailedInCluster), ..run("a") };
        let runs = [asks.clone(), refused.clone(), failed.clone()];
        assert_eq!(chosen(&runs).unwrap(), "a, the newest that did anything; c was a dry run");
        assert_eq!(chosen(&runs[1..]).unwrap(), "a, the newest that did anything; b was refused");
        assert_eq!(chosen(&runs[..2]).unwrap(), "c, the newest; none did anything");
        assert_eq!(chosen(&[failed, asks]).unwrap(), "a, the newest");
        assert_eq!(chosen(&[OrderedRun { task: Some("status".to_owned()), ..run("x") }]), None);
    }
}
