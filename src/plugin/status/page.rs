//! A cluster's status as a page to read: facts as `kubectl describe` writes them, lists as tables.

use jiff::Timestamp;

use super::failed::Failed;
use super::shape::{Act, Fact, Health, Holder, Kept, Last, Run, Status, what_is_owed};
use crate::model::catalogue::RoomSeen;
use crate::model::obligation::Obligation;
use crate::model::report::{LastDrill, LastRestore, MemberStatus, ReplicaStatus};
use crate::plugin::schedule::brief;
use crate::render::table::{Table, harmless};
use crate::render::{age, bytes};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// Writes the page; every line ends with a line break.
pub(super) fn text(status: &Status, now: Timestamp, with_headers: bool) -> String {
    let mut parts = vec![facts(status, now)];
    if !status.replicas.is_empty() {
        parts.push(replicas(&status.replicas).text(with_headers));
    }
    if !status.findings.is_empty() {
        let lines: Vec<String> = status.findings.iter().map(|finding| format!("  {}\n", harmless(finding))).collect();
        parts.push(format!("Findings:\n{}", lines.concat()));
    }
    if let Some(schedules) = status.schedules.as_ref().filter(|schedules| !schedules.is_empty()) {
        parts.push(brief(schedules, now).text(with_headers));
    }
    if !status.act.is_empty() {
        let lines: Vec<String> = status.act.iter().map(|act| format!("{}\n", harmless(&act_text(act)))).collect();
        parts.push(lines.concat());
    }
    parts.join("\n")
}

fn facts(status: &Status, now: Timestamp) -> String {
    let mut rows = vec![
        ("Cluster", status.statefulset.clone()),
        ("Namespace", status.namespace.clone()),
        ("Health", health(status)),
        ("Owed", fact(&status.obligation, |owed| owed_text(owed, now))),
        ("Lease", fact(&status.lease, |held| lease_text(held, now))),
        ("Last full", fact(&status.last_full, |last| last_text(last, now))),
        ("Last incremental", fact(&status.last_incremental, |last| last_text(last, now))),
        ("Free space", status.room.as_ref().map_or_else(|| UNKNOWN.to_owned(), |room| room_text(room, now))),
        ("Volume full in", full_text(status)),
    ];
    if let Fact::Known(last) = &status.last_restore {
        rows.push(("Last restore", restore_text(last, now)));
    }
    rows.extend(status.kept.iter().map(|kept| ("Old data kept", kept_text(kept, now))));
    if let Fact::Known(last) = &status.last_drill {
        rows.push(("Last drill", drill_text(last, now)));
    }
    if let Fact::Known(failed) = &status.last_failed {
        rows.push(("Last failed run", failed_text(failed, now)));
    }
    match &status.running {
        None => rows.push(("Running", UNKNOWN.to_owned())),
        Some(runs) if runs.is_empty() => rows.push(("Running", NONE.to_owned())),
        Some(runs) => rows.extend(runs.iter().map(|run| (run_name(run), run_text(run, now)))),
    }
    match &status.schedules {
        None => rows.push(("Schedules", UNKNOWN.to_owned())),
        Some(none) if none.is_empty() => rows.push(("Schedules", NONE.to_owned())),
        // They have a table of their own.
        Some(_) => {}
    }
    rows.extend(status.restore_refused.iter().map(|why| ("Restore", format!("would be refused: {why}"))));
    rows.extend(status.unknown_settings.iter().map(|key| ("Unknown setting", key.clone())));
    let lines: Vec<String> =
        rows.iter().map(|(name, text)| format!("{:<19}{}\n", format!("{name}:"), harmless(text))).collect();
    lines.concat()
}

fn fact<T>(fact: &Fact<T>, text: impl FnOnce(&T) -> String) -> String {
    match fact {
        Fact::Unknown => UNKNOWN.to_owned(),
        Fact::Nothing => NONE.to_owned(),
        Fact::Known(it) => text(it),
    }
}

fn health(status: &Status) -> String {
    let ready = status.replicas.iter().filter(|replica| replica.pod_ready).count();
    let wanted = status.wanted_replicas.map_or(UNKNOWN.to_owned(), |wanted| wanted.to_string());
    let word = match status.health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Unknown => "unknown",
        Health::Restoring => {
            let replicas = if ready == 1 { "replica" } else { "replicas" };
            return format!("being restored ({ready} {replicas} ready); leave it alone until that has ended");
        }
    };
    let meanwhile = match &status.obligation {
        Fact::Known(owed) if status.health != Health::Unhealthy => owed.debt.desync(),
        _ => None,
    };
    let meanwhile = meanwhile.map(|desync| format!("; {} is out of them to be copied", desync.pod)).unwrap_or_default();
    format!("{word} ({ready}/{wanted} replicas ready{meanwhile})")
}

fn owed_text(owed: &Obligation, now: Timestamp) -> String {
    format!("{}, by run {}, for {}", what_is_owed(owed), owed.run, age::since(owed.since, now))
}

fn lease_text(held: &Holder, now: Timestamp) -> String {
    let since = held.since.map(|since| format!(", for {}", age::since(since, now))).unwrap_or_default();
    let renewed = held.renewed.map(|renewed| format!(" (renewed {} ago)", age::since(renewed, now)));
    format!("run {}{since}{}", held.run, renewed.unwrap_or_default())
}

fn last_text(last: &Last, now: Timestamp) -> String {
    format!("{}, {} ago", last.name, age::since(last.created, now))
}

fn restore_text(last: &LastRestore, now: Timestamp) -> String {
    let report = &last.report;
    let not = if report.is_chosen { format!(" (not restored: {} was chosen)", report.leader) } else { String::new() };
    format!("{}{not}, {} ago", report.backup.name(), age::since(last.at, now))
}

fn kept_text(Kept { data, command }: &Kept, now: Timestamp) -> String {
    let how = command.clone().unwrap_or_else(|| "docs/disk-full.md says how".to_owned());
    let (pod, place, since) = (&data.pod, &data.place, age::since(data.at, now));
    format!("of {since} ago, in {place} on the volume of {pod}, unless removed since; to remove: {how}")
}

/// When which backup was booted last, how long that took, and what came of it.
pub(crate) fn drill_text(last: &LastDrill, now: Timestamp) -> String {
    let (name, when, took) = (last.backup.name(), age::since(last.at, now), age::took_millis(last.took_millis));
    match &last.failed {
        None => format!("{name}, {when} ago: it boots; took {took}"),
        Some(why) => format!("{name}, {when} ago: failed after {took}: {why} (run {})", last.run),
    }
}

fn failed_text(failed: &Failed, now: Timestamp) -> String {
    let Failed { job, task, why, .. } = failed;
    let code = failed.code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let since = if failed.good_since { " (a later one went well)" } else { "" };
    let log = failed.command.as_ref().map(|command| format!("; its log: {command}")).unwrap_or_default();
    format!("{job} ({task}){since}, {} ago{code}: {why}{log}", age::since(failed.ended, now))
}

fn room_text(room: &RoomSeen, now: Timestamp) -> String {
    let (free, total) = (bytes::human(room.free_bytes), bytes::human(room.total_bytes));
    format!("{free} of {total} in the local store (the volume of backups), seen {} ago", age::since(room.at, now))
}

fn run_name(run: &Run) -> &'static str {
    if run.waits.is_some() { "Not started" } else { "Running" }
}

fn run_text(run: &Run, now: Timestamp) -> String {
    let since = run.since.map(|since| format!(", for {}", age::since(since, now))).unwrap_or_default();
    let waits = run.waits.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let phase = run.phase.as_ref().map(|phase| format!(", in phase {phase}")).unwrap_or_default();
    let doing = run.doing.as_ref().map(|doing| format!(": {doing}")).unwrap_or_default();
    format!("{} ({}){since}{waits}{phase}{doing}", run.job, run.task.as_deref().unwrap_or("run"))
}

fn full_text(status: &Status) -> String {
    match &status.full_in_days {
        Fact::Unknown => UNKNOWN.to_owned(),
        Fact::Nothing => "never, at the present rate".to_owned(),
        Fact::Known(_) if status.is_full => "now: the next backup may not fit".to_owned(),
        Fact::Known(0) => "less than a day, at the present rate".to_owned(),
        Fact::Known(days) => format!("{days}d, at the present rate"),
    }
}

/// Why somebody has to do something, and the command where one does it: the last that is read.
fn act_text(act: &Act) -> String {
    let command = act.command.as_ref().map(|command| format!("\n  {command}")).unwrap_or_default();
    format!("A person should act: {}{command}", act.why)
}

fn replicas(replicas: &[ReplicaStatus]) -> Table {
    let mut table = Table::new(&["POD", "NODE", "READY", "ROLE", "STATE", "SIZE", "QUEUE", "SEQNO"]);
    for replica in replicas {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        let said = |text: fn(&MemberStatus) -> String| replica.member.as_ref().map_or_else(|| UNKNOWN.to_owned(), text);
        table.row(&[
            replica.pod.clone(),
            or_none(&replica.node),
            if replica.pod_ready { "True" } else { "False" }.to_owned(),
            or_none(&replica.role),
            said(|member| member.state.clone()),
            said(|member| member.size.to_string()),
            said(|member| member.queue.to_string()),
            said(|member| member.seqno.to_string()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
