//! `drill`: orders a run that boots a backup in a throwaway pod, and shows what was found there.

use std::collections::BTreeMap;

use super::cli::{DrillFlags, RunFlags};
use super::connect::Session;
use super::order::{order, see_through};
use super::{CommandResult, backups, find};
use crate::exit_code::ExitCode;
use crate::model::order::{DrillRequest, Task};
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

pub(crate) async fn run(flags: &DrillFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster(session, flags.statefulset.as_deref()).await?;
    let mut chosen = backups::choose(flags.backup.as_slice(), &statefulset, session, screen).await?;
    if chosen.catalogue.listed().is_empty() {
        let what = format!("there is no backup of {statefulset} to boot");
        return Err(Failure::new(ExitCode::NotFound, what).with_hint(session.command("create")));
    }
    let request = DrillRequest {
        backup: chosen.wanted.pop(),
        store: flags.store.map(Into::into),
        query: flags.query.clone(),
        scratch_class: flags.scratch_class.clone(),
    };
    let order = order(&statefulset, Task::Drill(request), BTreeMap::new());
    let run = RunFlags { no_headers: flags.no_headers, ..flags.run.clone() };
    see_through(&order, &run, session, screen).await
}
