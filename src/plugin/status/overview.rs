//! `status -A` and `status -l`: clusters as a table, by what Kubernetes knows of them.
//!
//! The replicas are not asked: that takes a run in each namespace, which nobody orders by looking around.

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::facts::{gather, gather_remains};
use super::shape::{Act, Fact, Facts, Health, Last, Status};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::obligation::Debt;
use crate::model::outcome::Failure;
use crate::plugin::cli::StatusFlags;
use crate::plugin::connect::Session;
use crate::plugin::find::Clusters;
use crate::plugin::{CommandResult, find};
use crate::ports::Clock;
use crate::render::screen::Screen;
use crate::render::table::Table;
use crate::render::{age, bytes};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// How many clusters are looked at at the same time.
const LOOKERS: usize = 4;

/// Several clusters as other programs see them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusList {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Status>,
}

pub(super) async fn run(flags: &StatusFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let Clusters { places, gap } = find::clusters(session, &flags.cluster, &flags.scope).await?;
    let looks = places.iter().map(|place| look(place, session));
    let looked: Vec<_> = stream::iter(looks).buffered(LOOKERS).collect().await;
    let mut list = StatusList { api_version: "mariadb-backup.io/v1", kind: "ClusterStatusList", items: vec![] };
    // Who may not see those that are gone is no less well served with those that are there.
    let mut code = ExitCode::Done;
    if let Some(gap) = gap {
        screen.warn(&gap);
    }
    for (place, looked) in places.iter().zip(looked) {
        let (facts, gaps) = looked?;
        for gap in &gaps {
            screen.warn(&format!("{}/{}: {gap}", place.namespace, place.statefulset));
            code = ExitCode::DoneWithWarnings;
        }
        list.items.push(Status::of(facts, None));
    }
    session.show_warnings(screen);
    match &flags.output {
        Some(machine) => screen.data(&machine.write(&list, !flags.no_headers)),
        None if list.items.is_empty() => screen.note(&find::none_found(session, &flags.scope)?),
        None => screen.data(&table(&list.items, SystemClock.now(), flags.scope.all_namespaces).text(!flags.no_headers)),
    }
    let mut bad = list.items.iter().filter(|status| status.health == Health::Unhealthy).peekable();
    if bad.peek().is_some() {
        code = ExitCode::Refused;
    }
    for status in bad {
        tell_act(status, screen);
    }
    Ok(code)
}

async fn look(place: &Place, session: &Session) -> Result<(Facts, Vec<String>), Failure> {
    if place.is_gone { Ok(gather_remains(place, session).await) } else { gather(place, session).await }
}

/// Says which cluster needs a person, why, and what to type.
fn tell_act(status: &Status, screen: &mut Screen) {
    for Act { why, command } in &status.act {
        screen.note(&format!("{}/{} needs a person: {why}", status.namespace, status.statefulset));
        if let Some(command) = command {
            screen.note(&format!("  {command}"));
        }
    }
}

const HEADERS: [&str; 8] = ["CLUSTER", "READY", "OWED", "RUNNING", "FULL", "INCREMENT", "NEXT", "FREE"];

fn table(clusters: &[Status], now: Timestamp, with_namespace: bool) -> Table {
    let first = if with_namespace { &["NAMESPACE"][..] } else { &[] };
    let mut table = Table::new(&[first, &HEADERS[..]].concat());
    for status in clusters {
        let mut cells = cells(status, now);
        if with_namespace {
            cells.insert(0, status.namespace.clone());
        }
        table.row(&cells);
    }
    table
}

fn ready(status: &Status) -> String {
    let ready = status.replicas.iter().filter(|replica| replica.pod_ready).count();
    let wanted = status.wanted_replicas.map_or(UNKNOWN.to_owned(), |wanted| wanted.to_string());
    format!("{ready}/{wanted}")
}

fn cells(status: &Status, now: Timestamp) -> Vec<String> {
    let ready = if status.is_gone { "gone".to_owned() } else { ready(status) };
    let last = |last: &Fact<Last>| match last {
        Fact::Unknown => UNKNOWN.to_owned(),
        Fact::Nothing => NONE.to_owned(),
        Fact::Known(last) => age::since(last.created, now),
    };
    let owed = match &status.obligation {
        Fact::Unknown => UNKNOWN,
        Fact::Nothing => NONE,
        Fact::Known(owed) => match owed.debt {
            Debt::Desync(_) => "desync",
            Debt::Restore(_) => "restore",
        },
    };
    let running = match status.running.as_deref() {
        None => UNKNOWN.to_owned(),
        Some([]) => NONE.to_owned(),
        Some([run, ..]) => run.task.clone().unwrap_or_else(|| "run".to_owned()),
    };
    let next = status.schedules.iter().flatten().filter_map(|schedule| schedule.next).min();
    vec![
        status.statefulset.clone(),
        ready,
        owed.to_owned(),
        running,
        last(&status.last_full),
        last(&status.last_incremental),
        next.map_or_else(|| NONE.to_owned(), |next| age::since(now, next)),
        status.room.as_ref().map_or_else(|| UNKNOWN.to_owned(), |room| bytes::human(room.free_bytes)),
    ]
}
