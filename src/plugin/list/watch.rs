//! `list --watch`: a row for every backup that comes or changes, as kubectl writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::shape::{Backup, BackupList, names, table};
use super::{catalogue_at, columns, left_out, show};
use crate::adapters::kubernetes::changes::{Change, Changes};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::adapters::system_clock::SystemClock;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::plugin::away::wait_out;
use crate::plugin::cli::ListFlags;
use crate::plugin::connect::Session;
use crate::plugin::find::Clusters;
use crate::plugin::{CommandResult, find};
use crate::ports::Clock;
use crate::render::output::{ListOutput, Machine};
use crate::render::screen::Screen;
use crate::render::table::Continued;

/// The pause before a catalogue that could not be read is read again.
const AGAIN: Duration = Duration::from_secs(2);

/// Shows the list, and what becomes of it until somebody presses Ctrl-C.
pub(super) async fn run(
    places: Vec<Place>,
    mut list: BackupList,
    flags: &ListFlags,
    session: &Session,
    screen: &mut Screen,
) -> CommandResult {
    let mut watched = Watched::of(places, flags, session).await?;
    let mut view = View { rows: Continued::new(!flags.no_headers) };
    match &flags.output {
        None | Some(ListOutput::Wide) if !list.items.is_empty() => view.rows(&list.items, flags, screen),
        Some(ListOutput::Machine(machine)) => document(machine, &list, flags, screen),
        _ => show(&list, flags, session, screen)?,
    }
    loop {
        watched.until_behind(flags, session, screen).await?;
        for number in watched.behind.clone() {
            let place = &watched.places[number];
            match catalogue_at(session, place).await {
                Ok(catalogue) => {
                    let now = list.with(place, BackupList::of(&catalogue, place).items, &watched.places);
                    view.differences(&list, &now, flags, screen);
                    list = now;
                    watched.behind.remove(&number);
                }
                // What could not be read is not gone: it is told as it was until it can be read again.
                Err(_) if !watched.changes.are_in_reach().await => wait_out(&watched.changes, screen).await,
                Err(failure) => screen.warn(&left_out(place, &failure)),
            }
        }
    }
}

/// The clusters whose catalogues are watched.
struct Watched {
    changes: Changes,
    /// By the numbers that their catalogues are watched under.
    places: Vec<Place>,
    /// Those whose catalogue has changed and was not read yet.
    behind: BTreeSet<usize>,
}

impl Watched {
    async fn of(places: Vec<Place>, flags: &ListFlags, session: &Session) -> Result<Self, Failure> {
        let connection = session.connection()?;
        let changes = Changes::new(connection.client.clone());
        let mut watched = Self { changes, places: vec![], behind: BTreeSet::new() };
        for place in places {
            watched.take(place, session).await?;
        }
        watched.behind.clear();
        if flags.scope.is_given() {
            let namespace = Some(connection.target.namespace.as_str()).filter(|_| !flags.scope.all_namespaces);
            watched.changes.sets(namespace, flags.scope.selector.as_deref());
        }
        Ok(watched)
    }

    /// Watches a cluster that was not known yet, or not as it is now.
    async fn take(&mut self, place: Place, session: &Session) -> Result<(), Failure> {
        let name = |place: &Place| (place.namespace.clone(), place.statefulset.clone());
        match self.places.iter().position(|known| name(known) == name(&place)) {
            Some(number) if self.places[number] == place => {}
            Some(number) => {
                self.places[number] = place;
                self.behind.insert(number);
            }
            None => {
                let number = self.places.len();
                let map = catalogue_name(session, &place).await?;
                self.changes.config_map(&place.namespace, &map, number);
                self.places.push(place);
                self.behind.insert(number);
            }
        }
        Ok(())
    }

    /// Waits until a catalogue has to be read: it has changed, or could not be read a moment ago.
    async fn until_behind(&mut self, flags: &ListFlags, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
        loop {
            let change = tokio::select! {
                change = self.changes.next() => change.map_err(|error| session.failure(&error))?,
                () = sleep(AGAIN), if !self.behind.is_empty() => return Ok(()),
            };
            match change {
                Change::ConfigMap(number) => drop(self.behind.insert(number)),
                Change::Set(_) | Change::Several => self.find_more(flags, session, screen).await?,
                // It is taken up again by itself, and tells when it is.
                Change::Broken if !self.changes.are_in_reach().await => wait_out(&self.changes, screen).await,
                _ => {}
            }
            if !self.behind.is_empty() {
                return Ok(());
            }
        }
    }

    /// Looks which clusters there are now.
    async fn find_more(&mut self, flags: &ListFlags, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
        loop {
            match self.found(flags, session).await {
                Err(_) if !self.changes.are_in_reach().await => wait_out(&self.changes, screen).await,
                found => return found,
            }
        }
    }

    async fn found(&mut self, flags: &ListFlags, session: &Session) -> Result<(), Failure> {
        // Why those that are gone are not shown was said at the beginning.
        let Clusters { places, .. } = find::clusters(session, &flags.cluster, &flags.scope).await?;
        for place in places {
            self.take(place, session).await?;
        }
        Ok(())
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
            let several = flags.scope.is_given();
            let of = if several { format!("{}/{}: ", backup.namespace, backup.statefulset) } else { String::new() };
            screen.note(&format!("{of}backup/{} is no longer in the catalogue", backup.name));
        }
    }
}

/// The backups that are new or not what they were.
fn changed(before: &BackupList, now: &BackupList) -> Vec<Backup> {
    let was = |new: &Backup| before.items.iter().any(|old| old == new);
    now.items.iter().filter(|new| !was(new)).cloned().collect()
}
