//! `list --watch`: a row for every backup that comes or changes, as kubectl writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::shape::{Backup, BackupList, names, table};
use super::{columns, read_several, show};
use crate::adapters::kubernetes::changes::{Change, Changes};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::plugin::CommandResult;
use crate::plugin::cli::ListFlags;
use crate::plugin::connect::Session;
use crate::ports::Clock;
use crate::render::output::{ListOutput, Machine};
use crate::render::screen::Screen;
use crate::render::table::Continued;

/// The pause before a catalogue that could not be read is read again.
const AGAIN: Duration = Duration::from_secs(2);

/// Shows the list, and what becomes of it until somebody presses Ctrl-C.
pub(super) async fn run(
    places: &[Place],
    mut list: BackupList,
    flags: &ListFlags,
    session: &Session,
    screen: &mut Screen,
) -> CommandResult {
    let mut changes = Changes::new(session.connection()?.client.clone());
    for (number, place) in places.iter().enumerate() {
        changes.config_map(&place.namespace, &catalogue_name(session, place).await?, number);
    }
    let mut view = View { rows: Continued::new(!flags.no_headers) };
    match &flags.output {
        None | Some(ListOutput::Wide) if !list.items.is_empty() => view.rows(&list.items, flags, screen),
        Some(ListOutput::Machine(machine)) => document(machine, &list, flags, screen),
        _ => show(&list, flags, session, screen)?,
    }
    // Clusters whose catalogue has changed and was not read yet.
    let mut behind = BTreeSet::new();
    loop {
        tokio::select! {
            change = changes.next() => match change.map_err(|error| session.failure(&error))? {
                Change::ConfigMap(number) => drop(behind.insert(number)),
                _ => continue,
            },
            () = sleep(AGAIN), if !behind.is_empty() => {}
        }
        for number in behind.clone() {
            let (read, code) = read_several(&places[number..=number], session, screen).await;
            if code != ExitCode::Done {
                // What could not be read is not gone: it is told as it was until it can be read again.
                continue;
            }
            behind.remove(&number);
            let now = list.with(&places[number], read.items, places);
            view.differences(&list, &now, flags, screen);
            list = now;
        }
    }
}

async fn catalogue_name(session: &Session, place: &Place) -> Result<String, Failure> {
    let preflight = Preflight::new(session.connection()?.client.clone(), &place.namespace);
    let stored = preflight.settings(&place.statefulset).await.map_err(|error| session.failure(&error))?;
    // Settings that cannot be read have been said, or were left out, when the list was.
    let settings = Settings::read(&place.statefulset, &stored, &BTreeMap::new());
    Ok(settings.map(|settings| settings.hash_config_map).unwrap_or_default())
}

/// Writes the whole list, and what tells it from the next.
fn document(machine: &Machine, list: &BackupList, flags: &ListFlags, screen: &mut Screen) {
    screen.data(&format!("{}{}", machine.write(list, !flags.no_headers), machine.separator()));
}

/// What was written so far.
struct View {
    rows: Continued,
}

impl View {
    fn rows(&mut self, backups: &[Backup], flags: &ListFlags, screen: &mut Screen) {
        let table = table(backups, SystemClock.now(), columns(flags));
        screen.data(&self.rows.text(&table));
    }

    fn differences(&mut self, before: &BackupList, now: &BackupList, flags: &ListFlags, screen: &mut Screen) {
        let changed = changed(before, now);
        let gone = before.items.iter().filter(|old| !now.items.iter().any(|new| new.key() == old.key()));
        let gone: Vec<&Backup> = gone.collect();
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        match &flags.output {
            // A document tells what is gone by not holding it.
            Some(ListOutput::Machine(machine)) => {
                document(machine, now, flags, screen);
                return;
            }
            Some(ListOutput::Name) => screen.data(&names(&changed)),
            None | Some(ListOutput::Wide) if !changed.is_empty() => self.rows(&changed, flags, screen),
            None | Some(ListOutput::Wide) => {}
        }
        for backup in gone {
            screen.note(&format!("backup/{} is no longer in the catalogue", backup.name));
        }
    }
}

/// The backups that are new or not what they were.
fn changed(before: &BackupList, now: &BackupList) -> Vec<Backup> {
    let was = |new: &Backup| before.items.iter().any(|old| old == new);
    now.items.iter().filter(|new| !was(new)).cloned().collect()
}
