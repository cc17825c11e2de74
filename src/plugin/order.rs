//! Placing an order and seeing it through: one way for every command that has the cluster do something.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use tokio::time::timeout;

use super::cli::{RunFlags, RunForm};
use super::connect::Session;
use super::follow::{FollowWishes, Followed, Reports, follow, follow_new, limit};
use super::job::{job, name};
use super::{CommandResult, overrides, preflight, report};
use crate::adapters::kubernetes::orders::Orders;
use crate::exit_code::ExitCode;
use crate::model::order::{ORDER_VERSION, Order, Task};
use crate::model::outcome::Failure;
use crate::ports::Reason;
use crate::render::screen::Screen;

/// How long the answer to an order is waited for that somebody has lost interest in.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Writes an order.
pub(crate) fn order(statefulset: &str, task: Task, settings: BTreeMap<String, String>) -> Order {
    Order { version: ORDER_VERSION, statefulset: statefulset.to_owned(), task, settings }
}

/// Creates the Job, or only has the server check it.
///
/// # Errors
/// Somebody pressed Ctrl-C meanwhile: the server may have taken the order before, and what came of it is told.
pub(crate) async fn place(session: &Session, job: &Job, dry_run: bool) -> Result<Job, Failure> {
    let connection = session.connection()?;
    let orders = Orders::new(connection.client.clone(), &connection.target.namespace);
    if dry_run {
        return orders.create(job, dry_run).await.map_err(|error| session.failure(&error));
    }
    let _ordering = session.begin_ordering();
    let mut sent = pin!(orders.create(job, dry_run));
    let answer = tokio::select! {
        // Nobody else tells of a Ctrl-C that comes together with the answer.
        biased;
        _ = tokio::signal::ctrl_c() => timeout(ANSWER_LIMIT, sent).await,
        answer = &mut sent => return answer.map_err(|error| session.failure(&error)),
    };
    let interrupted = |what: String| Failure::new(ExitCode::Interrupted, what);
    Err(match answer {
        Ok(Ok(made)) => {
            let job = name(&made);
            let what =
                format!("interrupted, and the run was ordered all the same: job.batch/{job} goes on in the cluster");
            interrupted(what).with_hint(format!("to see it, from its start: {}", session.logs_of(&job)))
        }
        Ok(Err(error)) if is_refusal(error.reason) => {
            interrupted("interrupted; nothing was ordered".to_owned()).with_cause(error.to_string())
        }
        Ok(Err(error)) => unsure(session).with_cause(error.to_string()),
        Err(_) => unsure(session),
    })
}

/// Whether an error proves that nothing was made: a connection that broke, or an answer that nobody understands,
/// may come after the server took the order.
fn is_refusal(reason: Reason) -> bool {
    matches!(reason, Reason::Forbidden | Reason::Credentials | Reason::Missing | Reason::Conflict)
}

fn unsure(session: &Session) -> Failure {
    let what = "interrupted, and the API server does not say whether the run was ordered";
    Failure::new(ExitCode::Interrupted, what).with_hint(format!("to see it, if it was: {}", session.command("logs")))
}

/// Orders, follows, and shows how it ended.
pub(crate) async fn see_through(
    order: &Order,
    flags: &RunFlags,
    session: &Session,
    screen: &mut Screen,
) -> CommandResult {
    let placed = send(order, session, screen).await?;
    if flags.wait.no_wait {
        screen.line(&format!("job.batch/{} created", placed.job));
        screen.note(&format!("To follow it:\n  {}", session.logs_of(&placed.job)));
        return Ok(ExitCode::Done);
    }
    let reports = if flags.output == Some(RunForm::Json) { Reports::Json } else { Reports::Aside };
    let wishes = FollowWishes::of(&flags.wait, placed.start_timeout, reports);
    match follow_new(&placed.job, &wishes, session, screen).await? {
        Followed::GoesOn(code) => Ok(code),
        Followed::Ended(ended) => Ok(report::run(&placed.job, &ended.outcome, flags.wish(), screen)),
    }
}

/// Orders a look at something, and waits for the answer without showing the steps to it.
///
/// Leaves with [`Followed::GoesOn`] when the answer does not come in time.
pub(crate) async fn ask(
    order: &Order,
    timeout: Duration,
    session: &Session,
    screen: &mut Screen,
) -> Result<(String, Followed), Failure> {
    let placed = send(order, session, screen).await?;
    let timeout = limit(timeout);
    let wishes = FollowWishes { timeout, start_timeout: placed.start_timeout, reports: Reports::Quiet };
    let followed = follow(&placed.job, &wishes, session, screen).await?;
    Ok((placed.job, followed))
}

/// A run that answered a question that was not asked: plugin and agent are of different versions.
pub(crate) fn another_answer(job: &str, session: &Session) -> Failure {
    Failure::new(ExitCode::FailedInCluster, format!("run {job} answered something else than was asked"))
        .with_cause("plugin and agent may be of different versions")
        .with_hint(session.command("version"))
}

/// An order that was sent.
struct Placed {
    job: String,
    start_timeout: Duration,
}

async fn send(order: &Order, session: &Session, screen: &mut Screen) -> Result<Placed, Failure> {
    let settings = overrides::settings(session, screen, &order.statefulset, &order.settings).await?;
    preflight::check(session, order, &settings).await?;
    let manifest = job(order, &session.connection()?.target.namespace, &settings);
    let job = name(&place(session, &manifest, false).await?);
    session.show_warnings(screen);
    Ok(Placed { job, start_timeout: settings.start_timeout })
}
