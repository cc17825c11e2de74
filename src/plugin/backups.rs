//! Which backups are meant: names as people type them, against the catalogue.

use super::connect::Session;
use super::list;
use crate::exit_code::ExitCode;
use crate::model::backup_id::{BackupId, BackupName};
use crate::model::catalogue::Catalogue;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// How many characters may differ for a name to be the one that was meant.
const NEAR: usize = 4;

/// The backups that were named, and all there are.
pub(crate) struct Chosen {
    pub(crate) wanted: Vec<BackupId>,
    pub(crate) catalogue: Catalogue,
}

/// Finds the backups that were named in a cluster's catalogue.
pub(crate) async fn choose(
    wanted: &[String],
    statefulset: &str,
    session: &Session,
    screen: &mut Screen,
) -> Result<Chosen, Failure> {
    let catalogue = list::catalogue(session, screen, statefulset).await?;
    let there = catalogue.listed();
    let wanted = named(wanted, &there).map_err(|failure| match failure.hint {
        None if there.is_empty() => failure
            .with_hint(format!("the catalogue is empty; to look into the stores: {}", session.command("list --live"))),
        None => failure.with_hint(session.command("list")),
        Some(_) => failure,
    })?;
    Ok(Chosen { wanted, catalogue })
}

/// Finds the backups that were named, by name, as `list -o name` writes it or as a path in a store.
fn named(wanted: &[String], there: &[BackupId]) -> Result<Vec<BackupId>, Failure> {
    wanted.iter().map(|text| one(text.trim_start_matches("backup/"), there)).collect()
}

fn one(wanted: &str, there: &[BackupId]) -> Result<BackupId, Failure> {
    let is_meant =
        |id: &&BackupId| id.name().as_str() == wanted || id.to_string() == wanted || id.directory() == wanted;
    if let Some(id) = there.iter().find(is_meant) {
        return Ok(id.clone());
    }
    if wanted.is_empty() {
        return Err(Failure::new(ExitCode::Usage, "no backup is named: its name is empty"));
    }
    let failure = Failure::new(ExitCode::NotFound, format!("there is no backup {wanted} in the catalogue"));
    if wanted.parse::<BackupName>().is_ok() {
        // Another moment is another state of the data, and no slip of the pen: none is offered.
        return Err(failure.with_cause("it was removed, or never made"));
    }
    let names: Vec<&str> = there.iter().map(|id| id.name().as_str()).collect();
    Err(match nearest(wanted, &names) {
        Some(near) => failure.with_hint(format!("did you mean {near}?")),
        None => failure,
    })
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let far = |name: &&&str| distance(name, wanted);
    names.iter().min_by_key(far).filter(|name| distance(name, wanted) <= NEAR).copied()
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
            assert_eq!(named(&[name.to_owned()], &there()).unwrap(), [there()[1].clone()], "{name}");
        }
        assert_eq!(named(&[], &there()).unwrap(), []);
    }

    #[test]
    fn an_unknown_name_is_refused_and_a_near_one_offered() {
        let near = named(&["2026-01-02_00-00-0".to_owned()], &there()).unwrap_err();
        assert_eq!((near.code, near.hint.as_deref()), (ExitCode::NotFound, Some("did you mean 2026-01-02_00-00-00?")));
        let gone = named(&["2026-01-02_00-00-01".to_owned()], &there()).unwrap_err();
        assert_eq!(gone.hint, None, "another backup is never offered in its place");
        assert_eq!(named(&["yesterday".to_owned()], &there()).unwrap_err().hint, None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
