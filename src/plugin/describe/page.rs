//! One backup as a page to read, as `kubectl describe` writes them.

use jiff::Timestamp;

use super::shape::Description;
use crate::model::manifest::{DesyncTimes, Manifest};
use crate::model::order::StoreName;
use crate::plugin::status::drill_text;
use crate::render::table::{Table, harmless};
use crate::render::{age, bytes};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// Writes the page; every line ends with a line break.
pub(super) fn text(described: &Description, now: Timestamp) -> String {
    let backup = &described.backup;
    let entry = &backup.entry;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let mut rows = vec![
        ("Name", backup.name.clone()),
        ("Namespace", backup.namespace.clone()),
        ("Cluster", backup.statefulset.clone()),
        ("Type", backup.kind.to_owned()),
        ("Created", format!("{} ({} ago)", backup.created, age::since(backup.created, now))),
        ("Restorable", described.broken.as_ref().map_or("yes".to_owned(), |why| format!("no: {why}"))),
        ("Chain", described.chain.join(" -> ")),
        ("Parent", or_none(entry.parent.as_ref().map(ToString::to_string))),
        ("Needed by", or_none(Some(described.needed_by.join(", ")).filter(|names| !names.is_empty()))),
        ("In local store", place(described, StoreName::Local)),
        ("In S3", place(described, StoreName::S3)),
        ("Verified", verified(described, now)),
        ("Encrypted", if described.encrypted { "yes" } else { "no" }.to_owned()),
        ("Stored", sizes(described)),
        ("Duration", duration(described)),
        ("Position", entry.position.as_ref().map_or(UNKNOWN.to_owned(), ToString::to_string)),
    ];
    rows.extend(described.manifest.iter().flat_map(of_manifest));
    rows.extend(described.last_drill.iter().map(|last| ("Last drill", drill_text(last, now))));
    let lines = rows.iter().map(|(name, text)| format!("{:<16}{}\n", format!("{name}:"), harmless(text)));
    format!("{}\n{}", lines.collect::<Vec<_>>().concat(), files(described).text(true))
}

fn place(described: &Description, store: StoreName) -> String {
    let word = described.place(store);
    match described.store_trouble.get(store.word()) {
        Some(trouble) => format!("{word}: {trouble}"),
        None => word.to_owned(),
    }
}

fn verified(described: &Description, now: Timestamp) -> String {
    let entry = &described.backup.entry;
    let at = |time: Timestamp| format!("{time:.0} ({} ago)", age::since(time, now));
    match (entry.damaged, entry.verified) {
        (Some(time), _) => format!("damaged, found at {}", at(time)),
        (None, Some(time)) => format!("{}: every byte was read and is what was recorded", at(time)),
        (None, None) => format!("{NONE}: nobody has read every byte since it was written"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn sizes(described: &Description) -> String {
    let backup = &described.backup;
    let Some(stored) = backup.size_bytes else { return UNKNOWN.to_owned() };
    let of = backup.entry.stream_bytes.filter(|_| stored > 0).map(|bytes| {
        format!(", of {} before compression ({:.1} to 1)", bytes::human(bytes), bytes as f64 / stored as f64)
    });
    format!("{}{}", bytes::human(stored), of.unwrap_or_default())
}

fn duration(described: &Description) -> String {
    let entry = &described.backup.entry;
    // The catalogue has whole seconds only.
    let exact = described.manifest.as_ref().map(|manifest| manifest.finished.duration_since(manifest.started));
    let exact = exact.and_then(|took| u64::try_from(took.as_millis()).ok());
    let Some(millis) = exact.or(entry.duration_secs.map(|seconds| seconds * 1000)) else { return UNKNOWN.to_owned() };
    let took = if exact.is_some() { age::took_millis(millis) } else { age::took(millis / 1000) };
    let of_second = |bytes: u64| bytes.saturating_mul(1000).checked_div(millis);
    let rate = entry.stream_bytes.and_then(of_second).map(|rate| format!(", {}/s", bytes::human(rate)));
    format!("{took}{}", rate.unwrap_or_default())
}

fn of_manifest(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let (source, origin) = (&manifest.source, &manifest.origin);
    let lsn = &origin.lsn;
    let mut rows = vec![
        ("Holds", format!("the cluster as it was just before {:.0}, when its copy ended", manifest.finished)),
        ("LSN", format!("{} to {}, last record {}", lsn.from, lsn.to, lsn.last)),
        ("Desynced", desynced(&manifest.desync)),
        ("Source", format!("pod {} on node {}, claim {}", source.pod, source.node, source.claim)),
        ("Server", format!("{} (image {})", origin.server_version, source.server_image)),
        ("Tool", origin.tool_version.clone()),
        ("Agent", manifest.agent_version.clone()),
    ];
    rows.extend(manifest.full_because.iter().map(|why| ("Full because", why.clone())));
    if manifest.allow_unsafe {
        rows.push(("Unsafe", "it was ordered although the cluster might not be healthy".to_owned()));
    }
    rows
}

fn desynced(times: &DesyncTimes) -> String {
    let [window, before, after, resync] =
        [times.window_millis, times.before_millis, times.after_millis, times.resync_millis].map(age::took_millis);
    format!("{window} ({before} before the first byte, {after} after the last), Synced {resync} later")
}

fn files(described: &Description) -> Table {
    let mut table = Table::new(&["FILE", "SIZE", "SUM"]);
    for (name, file) in &described.files {
        let size = file.size.map_or_else(|| UNKNOWN.to_owned(), bytes::human);
        table.row(&[name.clone(), size, file.checksum.clone()]);
    }
    table
}
