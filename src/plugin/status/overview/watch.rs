//! `status -A --watch`: a row for every cluster that comes or changes, as kubectl writes them.
//!
//! What has changed is looked at anew, and nothing else: a look at a cluster takes several requests.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::table::{cells, names, table};
use super::{Looked, StatusList, columns, look_at, show, tell_act, tell_gaps};
use crate::adapters::kubernetes::changes::{Change, Changes};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::system_clock::SystemClock;
use crate::model::outcome::Failure;
use crate::plugin::away::wait_out;
use crate::plugin::cli::StatusFlags;
use crate::plugin::connect::Session;
use crate::plugin::find::Clusters;
use crate::plugin::job::is_look;
use crate::plugin::{CommandResult, find};
use crate::ports::Clock;
use crate::ports::PortError;
use crate::render::output::{ListOutput, Machine};
use crate::render::screen::Screen;
use crate::render::table::Continued;

/// What changes together is looked at together.
const SETTLE: Duration = Duration::from_millis(500);

/// Shows the clusters, and what becomes of them until somebody presses Ctrl-C.
pub(super) async fn run(
    mut clusters: Vec<Looked>,
    flags: &StatusFlags,
    session: &Session,
    screen: &mut Screen,
) -> CommandResult {
    let connection = session.connection()?;
    let mut changes = Changes::new(connection.client.clone());
    let namespace = Some(connection.target.namespace.as_str()).filter(|_| !flags.scope.all_namespaces);
    changes.clusters(namespace, flags.scope.selector.as_deref(), is_look);
    let mut view = View { flags, rows: Continued::new(!flags.no_headers), written: String::new() };
    view.begin(&clusters, session, screen)?;
    loop {
        let mut behind = Behind::default();
        settled(&mut changes, &mut behind).await.map_err(|error| session.failure(&error))?;
        let now = loop {
            if let Some(now) = anew(&clusters, &behind, &changes, flags, session).await? {
                break now;
            }
            wait_out(&changes, screen).await;
            behind = Behind { all: true, ..Behind::default() };
        };
        view.differences(&clusters, &now, screen);
        clusters = now;
    }
}

/// What has to be looked at anew.
#[derive(Default)]
struct Behind {
    /// Everything.
    all: bool,
    /// Which clusters there are.
    sets: bool,
    /// These clusters, if they are any.
    of: BTreeSet<(String, String)>,
    /// Whether a watch broke off.
    is_broken: bool,
}

impl Behind {
    fn take(&mut self, change: Change) {
        match change {
            Change::Several => self.all = true,
            Change::Broken => self.is_broken = true,
            Change::Set(place) => {
                self.sets = true;
                self.of.insert((place.namespace, place.statefulset));
            }
            Change::Of(place) => drop(self.of.insert((place.namespace, place.statefulset))),
            // Of those, a watch on several clusters tells none.
            Change::Replica | Change::ConfigMap(_) | Change::Other => {}
        }
    }

    fn has(&self, place: &Place) -> bool {
        self.all || self.of.contains(&(place.namespace.clone(), place.statefulset.clone()))
    }
}

/// Waits until something changes, and a moment for what changes with it.
async fn settled(changes: &mut Changes, behind: &mut Behind) -> Result<(), PortError> {
    behind.take(changes.next().await?);
    let settled = Instant::now() + SETTLE;
    while let Ok(change) = timeout(settled.saturating_duration_since(Instant::now()), changes.next()).await {
        behind.take(change?);
    }
    Ok(())
}

/// Looks at what has changed; `None` when nobody answers, and so nothing is known anew.
async fn anew(
    before: &[Looked],
    behind: &Behind,
    changes: &Changes,
    flags: &StatusFlags,
    session: &Session,
) -> Result<Option<Vec<Looked>>, Failure> {
    if behind.is_broken && !changes.are_in_reach().await {
        return Ok(None);
    }
    let places = match which(before, behind, flags, session).await {
        Ok(places) => places,
        Err(_) if !changes.are_in_reach().await => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let was = |place: &Place| before.iter().find(|looked| looked.place == *place);
    let stale: Vec<Place> = places.iter().filter(|place| behind.has(place) || was(place).is_none()).cloned().collect();
    let looked = look_at(&stale, session).await?;
    let has_new_gap =
        |now: &Looked| !now.gaps.is_empty() && was(&now.place).is_none_or(|before| before.gaps != now.gaps);
    // What nobody says now has not changed by that.
    if looked.iter().any(has_new_gap) && !changes.are_in_reach().await {
        return Ok(None);
    }
    let now = |place: &Place| looked.iter().find(|looked| looked.place == *place).or_else(|| was(place)).cloned();
    Ok(Some(places.iter().filter_map(now).collect()))
}

/// Which clusters there are.
async fn which(
    before: &[Looked],
    behind: &Behind,
    flags: &StatusFlags,
    session: &Session,
) -> Result<Vec<Place>, Failure> {
    if !behind.all && !behind.sets {
        return Ok(before.iter().map(|looked| looked.place.clone()).collect());
    }
    // Why those that are gone are not shown was said at the beginning.
    let Clusters { places, .. } = find::clusters(session, &flags.cluster, &flags.scope).await?;
    Ok(places)
}

/// What was written so far.
struct View<'a> {
    flags: &'a StatusFlags,
    rows: Continued,
    /// The last document.
    written: String,
}

impl View<'_> {
    fn begin(&mut self, clusters: &[Looked], session: &Session, screen: &mut Screen) -> Result<(), Failure> {
        match &self.flags.output {
            Some(ListOutput::Machine(machine)) => self.document(machine, clusters, screen),
            None | Some(ListOutput::Wide) if !clusters.is_empty() => self.rows(clusters.iter(), screen),
            _ => show(clusters, self.flags, session, screen)?,
        }
        for looked in clusters {
            tell_act(&looked.status, screen);
        }
        Ok(())
    }

    fn differences(&mut self, before: &[Looked], now: &[Looked], screen: &mut Screen) {
        let was = |now: &Looked| before.iter().find(|old| old.is_same(now));
        let at = SystemClock.now();
        let columns = columns(self.flags);
        let row = |looked: &Looked| cells(&looked.status, at, columns);
        // At one time: that it has become older changes no row.
        let changed = now.iter().filter(|new| was(new).is_none_or(|old| row(old) != row(new)));
        let changed: Vec<&Looked> = changed.collect();
        match &self.flags.output {
            // A document tells what is gone by not holding it.
            Some(ListOutput::Machine(machine)) => self.document(machine, now, screen),
            Some(ListOutput::Name) => screen.data(&names(changed.iter().map(|looked| &looked.status))),
            None | Some(ListOutput::Wide) if !changed.is_empty() => self.rows(changed.into_iter(), screen),
            None | Some(ListOutput::Wide) => {}
        }
        for gone in before.iter().filter(|old| !now.iter().any(|new| new.is_same(old))) {
            screen.note(&format!("{}/{} is no longer there", gone.status.namespace, gone.status.statefulset));
        }
        for looked in now {
            let was = was(looked);
            if was.is_none_or(|was| was.gaps != looked.gaps) {
                tell_gaps(looked, screen);
            }
            if was.is_none_or(|was| was.status.act != looked.status.act) {
                tell_act(&looked.status, screen);
            }
        }
    }

    fn rows<'a>(&mut self, clusters: impl Iterator<Item = &'a Looked>, screen: &mut Screen) {
        let statuses = clusters.map(|looked| &looked.status);
        let more = table(statuses, SystemClock.now(), columns(self.flags));
        screen.data(&self.rows.text(&more));
    }

    /// Writes the whole document where it is not what was written last.
    fn document(&mut self, machine: &Machine, clusters: &[Looked], screen: &mut Screen) {
        let text = machine.write(&StatusList::of(clusters), !self.flags.no_headers);
        if text != self.written {
            screen.data(&format!("{text}{}", machine.separator()));
            self.written = text;
        }
    }
}
