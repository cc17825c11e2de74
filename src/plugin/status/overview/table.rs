//! Clusters as a table of kubectl's kind, a row each.

use jiff::Timestamp;

use crate::model::obligation::Debt;
use crate::plugin::status::shape::{Fact, Last, Status};
use crate::render::table::Table;
use crate::render::{age, bytes};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// Which columns the table has beyond the usual ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    pub(super) namespace: bool,
    pub(super) wide: bool,
}

const USUAL: [&str; 8] = ["CLUSTER", "READY", "OWED", "RUNNING", "FULL", "INCREMENT", "NEXT", "FREE"];
const MORE: [&str; 6] = ["FULL-IN", "DRILL", "RESTORE", "FAILED", "IMAGE", "NODES"];

/// The table.
pub(super) fn table<'a>(clusters: impl Iterator<Item = &'a Status>, now: Timestamp, columns: Columns) -> Table {
    let first = if columns.namespace { &["NAMESPACE"][..] } else { &[] };
    let more = if columns.wide { &MORE[..] } else { &[] };
    let mut table = Table::new(&[first, &USUAL[..], more].concat());
    for status in clusters {
        table.row(&cells(status, now, columns));
    }
    table
}

/// The row of a cluster.
pub(super) fn cells(status: &Status, now: Timestamp, columns: Columns) -> Vec<String> {
    let namespace = columns.namespace.then(|| status.namespace.clone());
    let more = if columns.wide { more_cells(status, now).to_vec() } else { vec![] };
    namespace.into_iter().chain(usual_cells(status, now)).chain(more).collect()
}

/// The names, one a line. What is gone has none by which kubectl would find it.
pub(super) fn names<'a>(clusters: impl Iterator<Item = &'a Status>) -> String {
    let there = clusters.filter(|status| !status.is_gone);
    let lines: Vec<String> = there.map(|status| format!("statefulset.apps/{}\n", status.statefulset)).collect();
    lines.concat()
}

/// A fact as a cell.
fn cell<T>(fact: &Fact<T>, text: impl FnOnce(&T) -> String) -> String {
    match fact {
        Fact::Unknown => UNKNOWN.to_owned(),
        Fact::Nothing => NONE.to_owned(),
        Fact::Known(it) => text(it),
    }
}

fn ready(status: &Status) -> String {
    if status.is_gone {
        return "gone".to_owned();
    }
    let ready = status.replicas.iter().filter(|replica| replica.pod_ready).count();
    let wanted = status.wanted_replicas.map_or(UNKNOWN.to_owned(), |wanted| wanted.to_string());
    format!("{ready}/{wanted}")
}

fn usual_cells(status: &Status, now: Timestamp) -> [String; 8] {
    let last = |last: &Fact<Last>| cell(last, |last| age::since(last.created, now));
    let owed = |debt: &Debt| match debt {
        Debt::Desync(_) => "desync".to_owned(),
        Debt::Restore(_) => "restore".to_owned(),
    };
    let running = match status.running.as_deref() {
        None => UNKNOWN.to_owned(),
        Some([]) => NONE.to_owned(),
        Some([run, ..]) => run.task.clone().unwrap_or_else(|| "run".to_owned()),
    };
    let next = status.schedules.iter().flatten().filter_map(|schedule| schedule.next).min();
    [
        status.statefulset.clone(),
        ready(status),
        cell(&status.obligation, |obligation| owed(&obligation.debt)),
        running,
        last(&status.last_full),
        last(&status.last_incremental),
        next.map_or_else(|| NONE.to_owned(), |next| age::since(now, next)),
        status.room.as_ref().map_or_else(|| UNKNOWN.to_owned(), |room| bytes::human(room.free_bytes)),
    ]
}

fn more_cells(status: &Status, now: Timestamp) -> [String; 6] {
    let full_in = match status.full_in_days {
        Fact::Unknown => UNKNOWN.to_owned(),
        Fact::Nothing => "never".to_owned(),
        Fact::Known(days) => format!("{days}d"),
    };
    let failed = match &status.last_failed {
        Fact::Known(failed) if failed.good_since => NONE.to_owned(),
        failed => cell(failed, |failed| failed.task.clone()),
    };
    [
        full_in,
        cell(&status.last_drill, |last| match last.failed {
            None => age::since(last.at, now),
            Some(_) => "failed".to_owned(),
        }),
        cell(&status.last_restore, |last| age::since(last.at, now)),
        failed,
        status.server_image.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        nodes(status),
    ]
}

/// The nodes of its servers, each once, in the order of the replicas.
fn nodes(status: &Status) -> String {
    let mut nodes: Vec<&str> = vec![];
    for node in status.replicas.iter().filter_map(|replica| replica.node.as_deref()) {
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    if nodes.is_empty() { NONE.to_owned() } else { nodes.join(",") }
}
