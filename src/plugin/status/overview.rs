//! `status -A` and `status -l`: clusters as a table, by what Kubernetes knows of them.
//!
//! The replicas are not asked: that takes a run in each namespace, which nobody orders by looking around.

mod table;
mod watch;

use futures::{StreamExt, stream};
use serde::Serialize;

use super::facts::{gather, gather_remains};
use super::shape::{Act, Facts, Health, Status};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::plugin::cli::StatusFlags;
use crate::plugin::connect::Session;
use crate::plugin::find::Clusters;
use crate::plugin::{CommandResult, find};
use crate::ports::Clock;
use crate::render::output::ListOutput;
use crate::render::screen::Screen;
use table::{Columns, names, table};

/// How many clusters are looked at at the same time.
const LOOKERS: usize = 4;

/// Several clusters as other programs see them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusList<'a> {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<&'a Status>,
}

impl<'a> StatusList<'a> {
    fn of(clusters: &'a [Looked]) -> Self {
        let items = clusters.iter().map(|looked| &looked.status).collect();
        Self { api_version: "mariadb-backup.io/v1", kind: "ClusterStatusList", items }
    }
}

/// A cluster that was looked at, with a sentence about each part that could not be had.
#[derive(Clone)]
struct Looked {
    place: Place,
    status: Status,
    gaps: Vec<String>,
}

impl Looked {
    /// Whether both are one cluster, be it gone meanwhile.
    fn is_same(&self, other: &Self) -> bool {
        let name = |looked: &Self| (looked.place.namespace.clone(), looked.place.statefulset.clone());
        name(self) == name(other)
    }
}

pub(super) async fn run(flags: &StatusFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let Clusters { places, gap } = find::clusters(session, &flags.cluster, &flags.scope).await?;
    let looked = look_at(&places, session).await?;
    // Who may not see those that are gone is no less well served with those that are there.
    if let Some(gap) = gap {
        screen.warn(&gap);
    }
    for looked in &looked {
        tell_gaps(looked, screen);
    }
    session.show_warnings(screen);
    if flags.watch {
        return watch::run(looked, flags, session, screen).await;
    }
    show(&looked, flags, session, screen)?;
    for looked in &looked {
        tell_act(&looked.status, screen);
    }
    Ok(code(&looked))
}

/// The exit code that tells a script how the clusters are.
fn code(clusters: &[Looked]) -> ExitCode {
    let is_bad = |looked: &Looked| looked.status.health == Health::Unhealthy;
    let has_gaps = |looked: &Looked| !looked.gaps.is_empty();
    match (clusters.iter().any(is_bad), clusters.iter().any(has_gaps)) {
        (true, _) => ExitCode::Refused,
        (false, true) => ExitCode::DoneWithWarnings,
        (false, false) => ExitCode::Done,
    }
}

/// Looks at clusters, some of them at the same time.
async fn look_at(places: &[Place], session: &Session) -> Result<Vec<Looked>, Failure> {
    let looks = places.iter().map(|place| look(place, session));
    let looked: Vec<_> = stream::iter(looks).buffered(LOOKERS).collect().await;
    let looked = places.iter().zip(looked).map(|(place, looked)| {
        let (facts, gaps) = looked?;
        Ok(Looked { place: place.clone(), status: Status::of(facts, None), gaps })
    });
    looked.collect()
}

async fn look(place: &Place, session: &Session) -> Result<(Facts, Vec<String>), Failure> {
    if place.is_gone { Ok(gather_remains(place, session).await) } else { gather(place, session).await }
}

fn show(clusters: &[Looked], flags: &StatusFlags, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    match &flags.output {
        Some(ListOutput::Machine(machine)) => {
            screen.data(&machine.write(&StatusList::of(clusters), !flags.no_headers));
        }
        Some(ListOutput::Name) => screen.data(&names(clusters.iter().map(|looked| &looked.status))),
        None | Some(ListOutput::Wide) if clusters.is_empty() => screen.note(&find::none_found(session, &flags.scope)?),
        None | Some(ListOutput::Wide) => {
            let statuses = clusters.iter().map(|looked| &looked.status);
            screen.data(&table(statuses, SystemClock.now(), columns(flags)).text(!flags.no_headers));
        }
    }
    Ok(())
}

/// The columns that flags ask for.
fn columns(flags: &StatusFlags) -> Columns {
    Columns { namespace: flags.scope.all_namespaces, wide: flags.output == Some(ListOutput::Wide) }
}

/// Says what could not be had of a cluster.
fn tell_gaps(Looked { place, gaps, .. }: &Looked, screen: &mut Screen) {
    for gap in gaps {
        screen.warn(&format!("{}/{}: {gap}", place.namespace, place.statefulset));
    }
}

/// Says that a cluster needs a person, if it does, why, and what to type.
fn tell_act(status: &Status, screen: &mut Screen) {
    for Act { why, command } in &status.act {
        screen.note(&format!("{}/{} needs a person: {why}", status.namespace, status.statefulset));
        if let Some(command) = command {
            screen.note(&format!("  {command}"));
        }
    }
}
