//! `verify`: orders a run that reads every byte of stored backups, and shows its verdicts.

use std::collections::BTreeMap;

use super::cli::VerifyFlags;
use super::connect::Session;
use super::follow::{Followed, follow_new};
use super::job::{job, name};
use super::{CommandResult, find, list, order, overrides, report};
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::order::{ORDER_VERSION, Order, Task, VerifyRequest};
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// How many characters may differ for a name to be the one that was meant.
const NEAR: usize = 4;

pub(crate) async fn run(flags: &VerifyFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster(session, flags.statefulset.as_deref()).await?;
    let there = list::catalogue(session, screen, &statefulset).await?.backups();
    let backups = choose(&flags.backups, &there).map_err(|failure| match failure.hint {
        None => failure.with_hint(session.command("list")),
        Some(_) => failure,
    })?;
    if there.is_empty() {
        screen.note(&format!("No backups found of {statefulset}; there is nothing to verify."));
        return Ok(ExitCode::Done);
    }
    let order = Order {
        version: ORDER_VERSION,
        task: Task::Verify(VerifyRequest { backups, deep: true, ..VerifyRequest::default() }),
        settings: BTreeMap::new(),
        statefulset,
    };
    let settings = overrides::settings(session, screen, &order.statefulset, &order.settings).await?;
    order::preflight(session, &order, &settings).await?;
    let manifest = job(&order, &session.connection()?.target.namespace, &settings);
    let job = name(&order::place(session, &manifest, false).await?);
    session.show_warnings(screen);
    if flags.wait.no_wait {
        screen.line(&format!("job.batch/{job} created"));
        return Ok(ExitCode::Done);
    }
    match follow_new(&job, &flags.wait, settings.start_timeout, session, screen).await? {
        Followed::GoesOn(code) => Ok(code),
        Followed::Ended(outcome) => Ok(report::verification(&job, &outcome, flags.output, screen)),
    }
}

/// Finds the backups that were named, by name, as `list -o name` writes it or as a path in a store.
fn choose(wanted: &[String], there: &[BackupId]) -> Result<Vec<BackupId>, Failure> {
    wanted.iter().map(|text| one(text.trim_start_matches("backup/"), there)).collect()
}

fn one(wanted: &str, there: &[BackupId]) -> Result<BackupId, Failure> {
    let is_meant =
        |id: &&BackupId| id.name().as_str() == wanted || id.to_string() == wanted || id.directory() == wanted;
    if let Some(id) = there.iter().find(is_meant) {
        return Ok(id.clone());
    }
    let failure = Failure::new(ExitCode::NotFound, format!("there is no backup {wanted} in the catalogue"));
    let near = there.iter().map(|id| (distance(id.name().as_str(), wanted), id)).min_by_key(|(far, _)| *far);
    Err(match near.filter(|(far, _)| *far <= NEAR) {
        Some((_, id)) => failure.with_hint(format!("did you mean {}?", id.name())),
        None => failure,
    })
}

/// How many characters have to be changed, added or left out to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there() -> Vec<BackupId> {
        ["base/2026-01-01_00-00-00", "incr/2026-01-01_00-00-00/2026-01-02_00-00-00"]
            .map(|id| id.parse().unwrap())
            .to_vec()
    }

    #[test]
    fn a_backup_is_found_by_every_name_it_is_shown_with() {
        for name in ["2026-01-02_00-00-00", "backup/2026-01-02_00-00-00", "2026-01-01_00-00-00/2026-01-02_00-00-00"] {
            assert_eq!(choose(&[name.to_owned()], &there()).unwrap(), [there()[1].clone()], "{name}");
        }
        assert_eq!(choose(&[], &there()).unwrap(), []);
    }

    #[test]
    fn an_unknown_name_is_refused_and_a_near_one_offered() {
        let near = choose(&["2026-01-02_00-00-01".to_owned()], &there()).unwrap_err();
        assert_eq!((near.code, near.hint.as_deref()), (ExitCode::NotFound, Some("did you mean 2026-01-02_00-00-00?")));
        assert_eq!(choose(&["yesterday".to_owned()], &there()).unwrap_err().hint, None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
