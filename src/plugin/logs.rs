//! `logs`: a run from its start, from any machine, while it goes on or afterwards.

use std::time::Duration;

use super::cli::LogsFlags;
use super::connect::Session;
use super::follow::{FollowWishes, Followed, Reports, follow};
use super::{CommandResult, report};
use crate::adapters::kubernetes::orders::Orders;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// A run that is looked at was ordered before: its pod is there, or has had its time.
const START_LIMIT: Duration = Duration::from_mins(5);

pub(crate) async fn run(flags: &LogsFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let job = match &flags.job {
        Some(job) => job.trim_start_matches("job.batch/").trim_start_matches("job/").to_owned(),
        None => newest(session, flags.statefulset.as_deref(), screen).await?,
    };
    let wishes = FollowWishes {
        timeout: Some(flags.timeout).filter(|limit| !limit.is_zero()),
        start_timeout: START_LIMIT,
        reports: if flags.output.is_some() { Reports::Json } else { Reports::Lines },
    };
    match follow(&job, &wishes, session, screen).await? {
        Followed::GoesOn(code) => Ok(code),
        Followed::Ended(outcome) if wishes.reports == Reports::Json => Ok(report::end(&outcome, screen)),
        Followed::Ended(outcome) => Ok(report::any(&job, &outcome, screen)),
    }
}

async fn newest(session: &Session, statefulset: Option<&str>, screen: &mut Screen) -> Result<String, Failure> {
    let connection = session.connection()?;
    let namespace = &connection.target.namespace;
    let orders = Orders::new(connection.client.clone(), namespace);
    let runs = orders.runs(statefulset).await.map_err(|error| session.failure(&error))?;
    let Some(run) = runs.into_iter().next() else {
        let what = format!("no run is remembered in namespace {namespace}");
        return Err(Failure::new(ExitCode::Error, what)
            .with_cause("runs are forgotten a week after they end")
            .with_hint(session.command("create")));
    };
    screen.note(&format!("run {}", run.job));
    Ok(run.job)
}
