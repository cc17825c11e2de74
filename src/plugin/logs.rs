//! `logs`: a run from its start, from any machine, while it goes on or afterwards.

use std::time::Duration;

use super::cli::LogsFlags;
use super::connect::Session;
use super::follow::{FollowWishes, Followed, Reports, follow};
use super::job::is_look;
use super::{CommandResult, backups, report};
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
        None => newest(session, flags.statefulset.as_deref(), screen).await?,
    };
    let wishes = FollowWishes {
        timeout: Some(flags.timeout).filter(|limit| !limit.is_zero()),
        start_timeout: START_LIMIT,
        reports: if flags.output.is_some() { Reports::Json } else { Reports::Lines },
    };
    match follow(&job, &wishes, session, screen).await? {
        Followed::GoesOn(code) => Ok(code),
        Followed::Ended(ended) if wishes.reports == Reports::Json => Ok(report::end(&ended.outcome, screen)),
        Followed::Ended(ended) => Ok(report::to_its_end(&ended.outcome, screen)),
    }
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
        None => failure.with_hint(format!("{} shows the newest run", session.command("logs"))),
    })
}

/// The run that is worth seeing: the one at work, or else the newest.
///
/// One that is turned away because another is at work is newer than that one, and has nothing to tell.
async fn newest(session: &Session, statefulset: Option<&str>, screen: &mut Screen) -> Result<String, Failure> {
    let is_look = |run: &OrderedRun| run.task.as_deref().is_some_and(is_look);
    let mut runs = runs(session, statefulset).await?;
    runs.retain(|run| !is_look(run));
    let at_work = runs.iter().filter(|run| run.is_running).min_by_key(|run| (run.ordered, &run.job));
    let Some(run) = at_work.or(runs.first()) else {
        let what = format!("no run is remembered in namespace {}", session.namespace()?);
        return Err(Failure::new(ExitCode::Error, what)
            .with_cause("runs are forgotten a week after they end")
            .with_hint(session.command("create")));
    };
    screen.note(&format!("run {}", run.job));
    Ok(run.job.clone())
}
