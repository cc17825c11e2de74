//! `recover`: orders a run that settles what dead runs owe, as the next run of any kind would.

use std::collections::BTreeMap;

use super::cli::RecoverFlags;
use super::connect::Session;
use super::order::{order, see_through};
use super::{CommandResult, find};
use crate::model::order::{RecoverRequest, Task};
use crate::render::screen::Screen;

pub(crate) async fn run(flags: &RecoverFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let order = order(&statefulset, Task::Recover(RecoverRequest {}), BTreeMap::new());
    see_through(&order, &flags.run, session, screen).await
}
