//! A volume and a bucket: what one can do for the other.

use super::*;
use crate::model::event::EventKind;
use crate::model::outcome::End;

const STREAM: &str = "base/2026-01-31_23-59-59/backup.mbstream.zst";
const INFO: &str = "base/2026-01-31_23-59-59/mariadb_backup_info";
const MANIFEST: &str = "base/2026-01-31_23-59-59/manifest.json";

/// A volume and a bucket with the same backup of ours; the volume also has one of the original.
fn both() -> (Memory, Memory, CheckOrder) {
    let (local, mut order) = world();
    let s3 = Memory::default();
    s3.inside().keeps_sums = true;
    memory::put_backup(&s3, FULL, &vec![7; 3 << 20]);
    order.stores.s3 = Some(S3Store {
        endpoint: None,
        bucket: "b".to_owned(),
        prefix: "p".to_owned(),
        region: "r".to_owned(),
        path_style: true,
        checksums_when_required: true,
        owner: None,
        max_parts: 10_000,
        bytes_per_sec: 0,
        credentials: None,
        ca_file: None,
    });
    order.backups[1].s3 = true;
    order.depth = Depth::Changed;
    order.repair = true;
    (local, s3, order)
}

async fn check(local: &Memory, s3: &Memory, order: &CheckOrder) -> (CheckReport, Vec<String>) {
    let (report, warnings, _) = check_and_hear(local, s3, order).await;
    (report, warnings)
}

/// Checks, and returns the steps told on the way too.
async fn check_and_hear(local: &Memory, s3: &Memory, order: &CheckOrder) -> (CheckReport, Vec<String>, Vec<String>) {
    let (_stopper, stop) = stop::channel();
    let (ports, events) = memory::ports(Some(local), Some(s3));
    let outcome = run(order.clone(), &ports, stop).await;
    let End::Done(report) = outcome.end else { panic!("{outcome:?}") };
    let (mut warned, mut steps) = (Vec::new(), Vec::new());
    for kind in events.all() {
        match kind {
            EventKind::Warned { message } => warned.push(message),
            EventKind::Step { message } => steps.push(message),
            _ => {}
        }
    }
    assert_eq!(warned, outcome.warnings);
    (report, outcome.warnings, steps)
}

fn verdicts(report: &CheckReport) -> (String, String) {
    (report.local.clone().into(), report.s3.clone().into())
}

fn texts(local: &str, s3: &str) -> (String, String) {
    (local.to_owned(), s3.to_owned())
}

#[tokio::test]
async fn of_s3_nothing_large_is_read_unless_every_byte_is_asked_for() {
    let (local, s3, mut order) = both();
    let (report, warnings) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), warnings), (texts("rr", "-g"), Vec::new()));
    assert_eq!((report.good, s3.opened()), (vec![id(ORIGINAL), id(FULL)], vec![MANIFEST.to_owned()]));
    order.depth = Depth::Full;
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!(verdicts(&report), texts("rr", "-r"));
    assert_eq!(report.bytes, 2 * ((3 << 20) + 4) + 5);
}

#[tokio::test]
async fn a_sum_that_s3_keeps_tells_damage_that_no_size_tells() {
    let (local, s3, order) = both();
    s3.damage(STREAM);
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!(verdicts(&report), texts("rr", "-d"));
    let line = differ(STREAM, &s3.bytes(STREAM).unwrap(), &local.bytes(STREAM).unwrap());
    assert_eq!((report.bad, report.good), (vec![format!("s3: {line}")], vec![id(ORIGINAL)]));
    s3.inside().keeps_sums = false;
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!(verdicts(&report), texts("gg", "-g"), "without kept sums only sizes are compared");
}

#[tokio::test]
async fn a_bucket_that_is_down_takes_nothing_from_what_the_volume_tells() {
    let (local, s3, mut order) = both();
    s3.inside().is_down = true;
    local.damage(STREAM);
    order.on_corrupt = OnCorrupt::Quarantine;
    let (report, warnings) = check(&local, &s3, &order).await;
    assert_eq!(verdicts(&report), texts("rd", "--"));
    assert_eq!(warnings, ["nothing is known of s3: cannot reach the store"]);
    assert_eq!(local.inside().aside, [], "what S3 may still have is not given up");
}

#[tokio::test]
async fn a_volume_that_is_down_takes_nothing_from_what_the_bucket_tells() {
    let (local, s3, order) = both();
    local.inside().is_down = true;
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.good), (texts("--", "-g"), vec![id(FULL)]));
}

#[tokio::test]
async fn a_file_s3_does_not_hand_out_is_unknown_and_not_damaged() {
    let (local, s3, mut order) = both();
    order.depth = Depth::Full;
    s3.inside().faults.insert(STREAM.to_owned(), Fault::Breaks);
    let (report, warnings) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.bad_count), (texts("rr", "--"), 0));
    assert_eq!(warnings, [format!("s3: {STREAM}: cannot be read: Input/output error (os error 5)")]);
}

#[tokio::test]
async fn only_what_is_bad_on_the_volume_is_fetched_and_proven_on_its_way() {
    for bad in [STREAM, INFO, MANIFEST] {
        for (damage, what) in [(true, "its bytes"), (false, "is missing")] {
            let (local, s3, order) = both();
            let whole = local.bytes(bad);
            if damage {
                local.damage(bad);
            } else {
                local.take(bad);
            }
            let (report, warnings, steps) = check_and_hear(&local, &s3, &order).await;
            assert_eq!(
                (verdicts(&report), report.bad_count, report.repaired_count),
                (texts("rf", "-g"), 0, 1),
                "{bad}"
            );
            // What is mended needs nobody's attention any more.
            assert_eq!(warnings, [""; 0]);
            assert!(steps.iter().any(|step| step.starts_with(&format!("local: {bad}: {what}"))), "{steps:?}");
            let mut opened = vec![MANIFEST.to_owned(), bad.to_owned()];
            opened.sort();
            assert_eq!((local.bytes(bad), s3.opened()), (whole, opened));
            assert_eq!(verdicts(&check(&local, &s3, &order).await.0), texts("gr", "-g"));
        }
    }
}

#[tokio::test]
async fn a_damaged_manifest_hides_no_damage_of_the_files_it_vouches_for() {
    let (local, s3, order) = both();
    local.damage(MANIFEST);
    local.damage(INFO);
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.repaired_count), (texts("rf", "-g"), 2));
    assert_eq!(local.bytes(INFO), Some(b"info".to_vec()));
}

#[tokio::test]
async fn a_backup_missing_on_the_volume_is_fetched_whole_and_its_manifest_last() {
    let (local, s3, order) = both();
    local.inside().files.retain(|path, _| !path.starts_with(FULL));
    local.inside().changes.clear();
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.repaired_count), (texts("rf", "-g"), 3));
    assert_eq!(report.good, [id(ORIGINAL), id(FULL)]);
    assert_eq!(s3.inside().opened, [MANIFEST, STREAM, INFO, MANIFEST]);
}

#[tokio::test]
async fn what_s3_turns_out_to_have_damaged_is_not_put_on_the_volume() {
    let (local, s3, order) = both();
    local.damage(STREAM);
    let before = local.bytes(STREAM);
    s3.inside().keeps_sums = false;
    s3.damage(STREAM);
    let (report, warnings) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.repaired_count), (texts("rd", "-d"), 0));
    assert_eq!((local.bytes(STREAM), report.bad_count, warnings.len()), (before, 2, 1));
}

#[tokio::test]
async fn a_volume_without_room_for_the_repair_stays_as_it_is() {
    let (local, s3, order) = both();
    local.damage(STREAM);
    local.inside().is_full = true;
    let (report, warnings) = check(&local, &s3, &order).await;
    assert_eq!(verdicts(&report), texts("rd", "-g"));
    assert_eq!(
        warnings,
        [format!("2026-01-31_23-59-59 was not repaired: {STREAM}: cannot be written: no storage space")]
    );
}

#[tokio::test]
async fn without_the_wish_nothing_is_repaired_or_set_aside() {
    let (local, s3, mut order) = both();
    order.repair = false;
    local.damage(STREAM);
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.bad_count), (texts("rd", "-g"), 1));
    s3.damage(STREAM);
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.bad_count), (texts("gd", "-d"), 2));
    assert_eq!(local.inside().aside, []);
}

#[tokio::test]
async fn what_is_bad_in_every_store_is_set_aside_when_that_is_wished() {
    let (local, s3, mut order) = both();
    order.on_corrupt = OnCorrupt::Quarantine;
    local.damage(STREAM);
    s3.damage(STREAM);
    local.damage(&format!("{ORIGINAL}/backup.stream.gz"));
    let (report, warnings) = check(&local, &s3, &order).await;
    assert_eq!((verdicts(&report), report.quarantined_count), (texts("qq", "-q"), 2));
    assert_eq!((report.bad_count, report.good_count, warnings.len()), (0, 0, 5), "{warnings:?}");
    assert_eq!(local.inside().aside, [id(ORIGINAL), id(FULL)]);
    assert!(s3.bytes(STREAM).is_some());
}

#[tokio::test]
async fn stores_with_nothing_in_them_are_taken_for_the_wrong_ones_and_nothing_is_set_aside() {
    let (_, _, mut order) = both();
    order.on_corrupt = OnCorrupt::Quarantine;
    let (local, s3) = (Memory::default(), Memory::default());
    let (_stopper, stop) = stop::channel();
    let outcome = run(order.clone(), &memory::ports(Some(&local), Some(&s3)).0, stop).await;
    let End::Failed(failure) = outcome.end else { panic!("{outcome:?}") };
    assert_eq!(failure.code, ExitCode::VerificationFailed);
    assert!(failure.message.starts_with("none of the recorded backups is in "), "{}", failure.message);
    for store in [&local, &s3] {
        memory::put_backup(store, "base/2026-02-01_00-00-00", b"bytes");
    }
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!(report.quarantined_count, 2, "with another backup there, it is these that are lost");
}

#[tokio::test]
async fn an_empty_volume_costs_no_backup_that_lay_there_alone_whatever_s3_has() {
    let (_, s3, mut order) = both();
    order.on_corrupt = OnCorrupt::Quarantine;
    let (local, (_stopper, stop)) = (Memory::default(), stop::channel());
    let outcome = run(order.clone(), &memory::ports(Some(&local), Some(&s3)).0, stop).await;
    let End::Failed(failure) = outcome.end else { panic!("{outcome:?}") };
    assert!(failure.message.contains("is in the volume"), "{}", failure.message);
    assert_eq!(crate::ports::runner::Store::backups(&local).unwrap(), [], "nothing was fetched into it either");
    order.backups.retain(|expected| expected.s3);
    let (report, _) = check(&local, &s3, &order).await;
    assert_eq!((report.repaired_count, report.quarantined_count), (3, 0), "what S3 has is lost with no volume");
}
