//! What a restore would do, and what it did.

use super::Shown;
use super::words::{count, millis};
use crate::model::galera::Position;
use crate::model::report::{RestorePreview, RestoreReport};
use crate::render::{age, bytes};

pub(super) fn preview(preview: &RestorePreview) -> Shown {
    let mut lines = lines(preview);
    lines.extend([String::new(), "This is the plan; nothing was changed.".to_owned()]);
    Shown { lines, ..Shown::default() }
}

/// The plan as a person reads it: first what is lost, last the way back.
pub(crate) fn lines(preview: &RestorePreview) -> Vec<String> {
    let title = format!("Restore of {} to backup {}", preview.cluster, preview.backup.name());
    let mut lines = vec![title, String::new()];
    for (n, line) in lost(preview).iter().enumerate() {
        lines.push(format!("{}{line}", if n == 0 { "Lost:      " } else { "           " }));
    }
    for (n, (backup, store)) in preview.chain.iter().enumerate() {
        lines.push(format!("{}{} from {}", if n == 0 { "Chain:     " } else { "           " }, backup, store.word()));
    }
    let room = preview.scratch_free_bytes.map(|free| format!(" of {} free", bytes::human(free))).unwrap_or_default();
    let takes = preview.scratch_bytes.map_or("unknown how much".to_owned(), bytes::human);
    lines.push(format!("Unpacked:  on {}: {takes}{room}", preview.scratch));
    lines.push(format!("First:     {} ({}; {} flavour)", preview.leader, preview.leader_because, preview.flavour));
    for (n, volume) in preview.volumes.iter().enumerate() {
        let head = if n == 0 { "Volumes:   " } else { "           " };
        let size = volume.size_bytes.map(bytes::human);
        let free = volume.free_bytes.map(|free| format!("{} free", bytes::human(free)));
        let room: Vec<_> = size.into_iter().chain(free).collect();
        let size = if room.is_empty() { String::new() } else { format!(" ({})", room.join(", ")) };
        lines.push(format!("{head}{}{size} {}", volume.claim, volume.what));
    }
    for (n, step) in preview.steps.iter().enumerate() {
        lines.push(format!("{}{}. {step}", if n == 0 { "Steps:     " } else { "           " }, n + 1));
    }
    lines.push(format!("Outage:    {}", preview.outage));
    let none = "none: if the restored data do not start, a person has to act";
    lines.push(format!("Way back:  {}", preview.way_back.as_deref().unwrap_or(none)));
    lines.extend(preview.remarks.iter().map(|remark| format!("Note:      {remark}")));
    lines
}

/// What is lost, the time first: that is what somebody who has to decide can judge.
fn lost(preview: &RestorePreview) -> Vec<String> {
    let holds = preview.holds.unwrap_or_else(|| preview.backup.name().time());
    let span = age::since(holds, preview.asked);
    let mut lines = vec![format!("the last {span}: everything written after {holds:.0}")];
    match (&preview.present_position, &preview.backup_position) {
        (Some(present), Some(backup)) if present.uuid == backup.uuid => {
            match present.seqno.saturating_sub(backup.seqno) {
                ..=0 => lines[0] = format!("nothing: no write-set came in the {span} since {holds:.0}"),
                number => lines.push(write_sets(number, present)),
            }
        }
        (Some(present), Some(backup)) => {
            lines.push("the cluster is in another history than the backup:".to_owned());
            lines.push(format!("{}:{} (cluster)", present.uuid, present.seqno));
            lines.push(format!("{}:{} (backup)", backup.uuid, backup.seqno));
        }
        (None, _) => lines.push("no replica answers to say how many write-sets that is".to_owned()),
        (Some(present), None) => {
            lines.push(format!("the cluster is at {}:{}", present.uuid, present.seqno));
            lines.push("where the backup stands is not recorded".to_owned());
        }
    }
    lines.push(format!("asked at {:.0}; what is written from then on is lost, too", preview.asked));
    lines
}

/// So many write-sets, the last of them at a position.
fn write_sets(number: i64, last: &Position) -> String {
    let noun = if number == 1 { "write-set" } else { "write-sets" };
    let first = last.seqno.saturating_sub(number).saturating_add(1);
    format!("{number} {noun}, from seqno {first} to {}", last.seqno)
}

/// What was lost in the end, which is more than was planned with: clients wrote while the backup was proven.
fn was_lost(report: &RestoreReport) -> Option<String> {
    let stopped = report.stopped_at.as_ref()?;
    let Some(restored) = &report.restored_to else {
        return Some(format!("the cluster was stopped at {stopped}; where the backup stands is not known"));
    };
    if stopped.uuid != restored.uuid {
        return Some(format!("the cluster was stopped at {stopped}, and the backup holds {restored}"));
    }
    match stopped.seqno.saturating_sub(restored.seqno) {
        ..=0 => Some("no write-set had come since the backup when the cluster was told to stop".to_owned()),
        number => Some(format!("lost: {}, and what came while the cluster stopped", write_sets(number, stopped))),
    }
}

pub(super) fn shown(report: &RestoreReport) -> Shown {
    let serve = count(report.replicas, "replica");
    let new = if report.is_chosen { "" } else { "new " };
    let mut summary = vec![format!("{serve} serve in the {new}history {}", report.history)];
    summary.extend(was_lost(report).filter(|_| !report.is_chosen));
    if let Some(rows) = &report.rows {
        let left = if rows.left_out == 0 { String::new() } else { format!(" (not known of {})", rows.left_out) };
        summary.push(format!("tables with as many rows on every replica: {}{left}", rows.equal));
    }
    if let Some(kept) = &report.kept_in {
        summary.push(format!(
            "the old data stay on the volume of {}, in {kept}; remove that when nobody needs it any more",
            report.kept_on()
        ));
    }
    if let Some(parts) = &report.outage_parts {
        let [stop, place, start] = [parts.stop_millis, parts.place_millis, parts.start_millis].map(millis);
        summary
            .push(format!("outage: stopping took {stop}, getting the data into place {place}, starting one {start}"));
    }
    let (outage, full) = (millis(report.outage_millis), millis(report.full_strength_millis));
    let by = if report.resumed { ", by two runs" } else { "" };
    if report.is_chosen {
        let (leader, backup) = (&report.leader, report.backup.name());
        summary.push(format!("{leader} was chosen to start the cluster; backup {backup} was not restored by it"));
        return Shown { summary, ..Shown::default() };
    }
    summary.push(format!(
        "restored backup {}{by}: outage {outage}, full strength after {full}; the next backup is a full one",
        report.backup.name()
    ));
    Shown { headers: None, lines: Vec::new(), warnings: Vec::new(), summary }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::galera::Position;
    use crate::model::order::StoreName;
    use crate::model::report::{OutageParts, VolumePlan};
    use crate::model::rows::RowCounts;

    fn plan() -> RestorePreview {
        let position = |seqno| Some(Position { uuid: "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002".to_owned(), seqno });
        let volume = |n: u32, what: &str| VolumePlan {
            pod: format!("db-{n}"),
            claim: format!("data-db-{n}"),
            size_bytes: (n < 2).then_some(50 << 30),
            free_bytes: (n > 1).then_some(9 << 30),
            what: what.to_owned(),
        };
        RestorePreview {
            cluster: "shop/db".to_owned(),
            backup: "incr/2026-01-01_00-00-00/2026-01-02_00-00-00".parse().unwrap(),
            chain: vec![
                ("base/2026-01-01_00-00-00".parse().unwrap(), StoreName::S3),
                ("incr/2026-01-01_00-00-00/2026-01-02_00-00-00".parse().unwrap(), StoreName::Local),
            ],
            holds: Some("2026-01-02T00:12:14Z".parse().unwrap()),
            backup_position: position(100),
            present_position: position(142),
            asked: "2026-01-02T03:04:05Z".parse().unwrap(),
            flavour: "plain".to_owned(),
            leader: "db-2".to_owned(),
            leader_because: "it was asked for".to_owned(),
            volumes: vec![volume(2, "gets the restored data"), volume(0, "is emptied")],
            sets_aside: true,
            scratch: "the volume of db-2, beside its data".to_owned(),
            scratch_bytes: Some(3 << 30),
            scratch_free_bytes: Some(9 << 30),
            steps: vec!["boot it".to_owned(), "stop".to_owned()],
            outage: "short".to_owned(),
            predicted_outage: None,
            way_back: Some("the old cluster comes back".to_owned()),
            remarks: vec!["Flux may start it again".to_owned()],
        }
    }

    #[test]
    fn a_plan_says_first_what_is_lost_and_last_how_it_is_undone() {
        insta::assert_snapshot!(lines(&plan()).join("\n"), @r"
        Restore of shop/db to backup 2026-01-02_00-00-00

        Lost:      the last 171m: everything written after 2026-01-02T00:12:14Z
                   42 write-sets, from seqno 101 to 142
                   asked at 2026-01-02T03:04:05Z; what is written from then on is lost, too
        Chain:     2026-01-01_00-00-00 from s3
                   2026-01-01_00-00-00/2026-01-02_00-00-00 from local
        Unpacked:  on the volume of db-2, beside its data: 3GiB of 9GiB free
        First:     db-2 (it was asked for; plain flavour)
        Volumes:   data-db-2 (9GiB free) gets the restored data
                   data-db-0 (50GiB) is emptied
        Steps:     1. boot it
                   2. stop
        Outage:    short
        Way back:  the old cluster comes back
        Note:      Flux may start it again
        ");
    }

    #[test]
    fn what_nobody_can_say_is_lost_is_not_made_up() {
        let silent = RestorePreview { present_position: None, ..plan() };
        assert_eq!(lost(&silent)[1], "no replica answers to say how many write-sets that is");
        let other = Position { uuid: "6c2c7e4c-f1d0-11ef-8a4c-0242ac110002".to_owned(), seqno: i64::MAX };
        let moved = RestorePreview { present_position: Some(other), ..plan() };
        assert!(lost(&moved)[1].contains("in another history"), "{:?}", lost(&moved));
        let unknown = RestorePreview { holds: None, ..plan() };
        assert_eq!(lost(&unknown)[0], "the last 3h4m: everything written after 2026-01-02T00:00:00Z");
        let still = RestorePreview { present_position: plan().backup_position, ..plan() };
        assert_eq!(lost(&still)[0], "nothing: no write-set came in the 171m since 2026-01-02T00:12:14Z");
        let unrecorded = RestorePreview { backup_position: None, ..plan() };
        let all = [plan(), silent, moved, unknown, still, unrecorded];
        assert!(all.iter().flat_map(lost).all(|line| line.len() < 89), "with what stands before it, under 100");
        let of_unknown_size = lines(&RestorePreview { scratch_bytes: None, ..plan() });
        let wanted = "Unpacked:  on the volume of db-2, beside its data: unknown how much of 9GiB free";
        assert!(of_unknown_size.iter().any(|line| line == wanted), "{of_unknown_size:#?}");
    }

    fn report() -> RestoreReport {
        RestoreReport {
            backup: "base/2026-01-01_00-00-00".parse().unwrap(),
            leader: "db-2".to_owned(),
            replicas: 3,
            history: "h".to_owned(),
            stopped_at: plan().present_position,
            restored_to: plan().backup_position,
            outage_millis: 9_400,
            full_strength_millis: 71_000,
            outage_parts: Some(OutageParts { stop_millis: 4_100, place_millis: 200, start_millis: 5_000 }),
            kept_on: None,
            kept_in: Some(".mariadb-backup/old-run".to_owned()),
            rows: Some(RowCounts { equal: 12, left_out: 1, ..RowCounts::default() }),
            resumed: false,
            is_chosen: false,
        }
    }

    #[test]
    fn of_a_backup_that_does_not_tell_where_it_stands_no_loss_is_made_up() {
        let unknown = RestoreReport { restored_to: None, ..report() };
        let wanted =
            "the cluster was stopped at 5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:142; where the backup stands is not known";
        assert_eq!(was_lost(&unknown).as_deref(), Some(wanted));
        assert_eq!(was_lost(&RestoreReport { stopped_at: None, ..unknown }), None);
    }

    #[test]
    fn a_restore_says_how_long_the_cluster_did_not_serve() {
        insta::assert_snapshot!(shown(&report()).summary.join("\n"), @r"
        3 replicas serve in the new history h
        lost: 42 write-sets, from seqno 101 to 142, and what came while the cluster stopped
        tables with as many rows on every replica: 12 (not known of 1)
        the old data stay on the volume of db-2, in .mariadb-backup/old-run; remove that when nobody needs it any more
        outage: stopping took 4.1s, getting the data into place 0.2s, starting one 5.0s
        restored backup 2026-01-01_00-00-00: outage 9.4s, full strength after 71s; the next backup is a full one
        ");
    }
}
