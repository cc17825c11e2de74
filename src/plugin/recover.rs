//! `recover`: orders a run that settles what dead runs owe, as the next run of any kind would.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::ask::confirm_name;
use super::cli::RecoverFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::{CommandResult, find};
use crate::exit_code::ExitCode;
use crate::model::order::{RecoverRequest, Task};
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

pub(crate) async fn run(
    flags: &RecoverFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
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
