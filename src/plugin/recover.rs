//! `recover`: orders a run that settles what dead runs owe, as the next run of any kind would.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::ask::confirm_name;
use super::cli::RecoverFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::{CommandResult, find};
use crate::adapters::kubernetes::board::KubernetesBoard;
use crate::exit_code::ExitCode;
use crate::model::order::{RecoverRequest, Task};
use crate::model::outcome::Failure;
use crate::ports::monitor::Board;
use crate::render::screen::Screen;

pub(crate) async fn run(
    flags: &RecoverFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    if let Some(ordinal) = flags.leader {
        can_be_chosen(ordinal, &statefulset, session).await?;
    }
    if let Some(ordinal) = flags.leader.filter(|_| !flags.yes) {
        let what = format!(
            "{statefulset} is started from what {statefulset}-{ordinal} has; the other volumes are emptied, and what only they have is lost."
        );
        if asking.is_none() {
            let unasked = "--leader has to be confirmed, and there is no terminal to ask on";
            return Err(Failure::new(ExitCode::Usage, unasked).with_cause(what).with_hint("add --yes"));
        }
        confirm_name(&what, (&session.namespace()?, &statefulset), "--leader", screen, asking).await?;
    }
    let request = RecoverRequest { leader: flags.leader };
    let order = order(&statefulset, Task::Recover(request), BTreeMap::new());
    see_through(&order, &flags.run, session, screen).await
}

/// Makes sure that there is something to choose, before anybody is asked; all else is for the run to say.
async fn can_be_chosen(ordinal: i32, statefulset: &str, session: &Session) -> Result<(), Failure> {
    let connection = session.connection()?;
    let board = KubernetesBoard::new(connection.client.clone(), &connection.target.namespace, statefulset);
    let owed = board.obligation().await.map_err(|error| session.failure(&error))?;
    let refused = |why: String| Failure::new(ExitCode::Refused, why);
    let Some(debt) = owed.as_ref().and_then(|owed| owed.debt.restore()) else {
        let why = format!("{statefulset} owes no restore, so there is nothing to choose a replica for");
        return Err(refused(why).with_hint(session.command("status")));
    };
    if debt.replicas().any(|replica| replica.ordinal == ordinal) {
        return Ok(());
    }
    let pods: Vec<_> = debt.replicas().map(|replica| replica.pod.as_str()).collect();
    Err(refused(format!("{statefulset} has no ordinal {ordinal}: the restore is of {}", pods.join(", "))))
}
