//! What keep decides, as tables: which backups go, which are copied where, and what is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::keep::{self, Inputs, KeepError, KeepPlan, Wish};
use mariadb_backup::model::backup_id::{BackupId, BackupName};
use mariadb_backup::model::catalogue::{Catalogue, Checksum, Entry, Presence};
use mariadb_backup::model::cluster::{ClusterView, ServerSpec};
use mariadb_backup::model::order::StoreName;
use mariadb_backup::model::outcome::{Explain, Outcome};
use mariadb_backup::model::report::Freed;
use mariadb_backup::model::settings::Settings;

use Presence::{Absent, Damaged, Missing, Present, Unfinished};

fn name(day: i64) -> BackupName {
    BackupName::at(Timestamp::from_second(1_780_000_000 + day * 86_400).unwrap())
}

fn full(day: i64) -> BackupId {
    BackupId::Full(name(day))
}

fn increment(base: i64, day: i64) -> BackupId {
    BackupId::Incremental { base: name(base), name: name(day) }
}

fn lying(local: Presence, s3: Presence) -> Entry {
    Entry { local, s3, ..Entry::default() }
}

fn catalogue(entries: impl IntoIterator<Item = (BackupId, Entry)>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (id, entry) in entries {
        for file in ["backup.mbstream.zst", "manifest.json"] {
            let sum = Checksum { checksum: "a".repeat(64), algorithm: None, size: Some(1 << 40) };
            catalogue.files.insert(format!("{}/{file}", id.directory()), sum);
        }
        catalogue.entries.insert(id, entry);
    }
    catalogue
}

fn plan(catalogue: &Catalogue, stores: &str, wish: &Wish) -> Result<KeepPlan, KeepError> {
    let given = BTreeMap::from([
        ("MARIADB_BACKUP_STORE".to_owned(), stores.to_owned()),
        ("MARIADB_BACKUP_S3_BUCKET".to_owned(), "backups".to_owned()),
        ("MARIADB_BACKUPS_TO_KEEP".to_owned(), "2".to_owned()),
    ]);
    let settings = Settings::read("db", &given, &BTreeMap::new()).unwrap();
    let cluster = ClusterView {
        namespace: "demo".to_owned(),
        statefulset: "db".to_owned(),
        uid: "uid".to_owned(),
        replicas: 3,
        pods: Vec::new(),
        server: ServerSpec::default(),
        flavour: mariadb_backup::model::workload::Flavour::Plain,
        obligation: None,
        last_restore: None,
    };
    keep::plan(&Inputs { catalogue, settings: &settings, cluster: &cluster, job: "job" }, wish)
}

fn sync_all() -> Wish {
    Wish::Sync { backups: Vec::new(), to: None }
}

#[test]
fn what_a_removal_frees_is_counted_where_it_lies_and_a_store_that_is_not_used_frees_nothing() {
    let mut catalogue = catalogue([
        (full(0), lying(Present, Present)),
        (increment(0, 1), lying(Missing, Damaged)),
        (full(4), lying(Present, Absent)),
    ]);
    let freed = |catalogue: &Catalogue, stores: &str| {
        plan(catalogue, stores, &Wish::Delete(vec![full(0)])).unwrap().summary().freed.unwrap()
    };
    // Each of a backup's two files has 1 TiB.
    let both = Freed { local_bytes: 2 << 40, s3_bytes: 4 << 40, unknown_count: 0 };
    assert_eq!(freed(&catalogue, "both"), both);
    assert_eq!(freed(&catalogue, "local"), Freed { s3_bytes: 0, ..both });
    catalogue.files.values_mut().for_each(|sum| sum.size = None);
    assert_eq!(freed(&catalogue, "both"), Freed { unknown_count: 2, ..Freed::default() });
}

#[test]
fn delete_takes_what_needs_a_backup_with_it_children_first() {
    let here = || lying(Present, Absent);
    let catalogue = catalogue([
        (full(0), here()),
        (increment(0, 1), here()),
        (increment(0, 2), here()),
        (increment(0, 3), here()),
        (full(4), here()),
    ]);
    let delete = |backups: &[BackupId]| plan(&catalogue, "local", &Wish::Delete(backups.to_vec())).unwrap().remove;
    assert_eq!(delete(&[increment(0, 2)]), [increment(0, 3), increment(0, 2)]);
    assert_eq!(delete(&[full(0), increment(0, 3)]), [increment(0, 3), increment(0, 2), increment(0, 1), full(0)]);
    assert_eq!(delete(&[full(4)]), [full(4)]);
}

#[test]
fn delete_refuses_the_last_good_full_backup_and_what_is_not_there() {
    let catalogue = catalogue([
        (full(0), lying(Damaged, Absent)),
        (full(1), lying(Present, Absent)),
        (full(2), lying(Missing, Absent)),
    ]);
    let delete = |backups: &[BackupId]| plan(&catalogue, "local", &Wish::Delete(backups.to_vec()));
    let refused = delete(&[full(1), full(2)]).unwrap_err();
    assert_eq!(refused.to_string(), "refused to delete 2026-05-29_20-26-40, the last good full backup");
    assert_eq!(refused.code(), ExitCode::Refused);
    assert_eq!(delete(&[full(0), full(2)]).unwrap().remove, [full(0), full(2)]);
    assert_eq!(delete(&[full(9)]).unwrap_err().code(), ExitCode::NotFound);
}

#[test]
fn sync_copies_what_is_whole_in_one_store_to_the_other() {
    let catalogue = catalogue([
        (full(0), lying(Present, Absent)),
        (full(1), lying(Present, Unfinished)),
        (full(2), lying(Present, Missing)),
        (full(3), lying(Present, Damaged)),
        (full(4), lying(Present, Present)),
        (full(5), lying(Missing, Present)),
        (full(6), lying(Absent, Present)),
        (full(7), lying(Damaged, Present)),
        (full(8), Entry { quarantined: Some(name(9).time()), ..lying(Damaged, Damaged) }),
    ]);
    let both_ways = plan(&catalogue, "both", &sync_all()).unwrap();
    assert_eq!(both_ways.upload, [full(0), full(1), full(2), full(3)]);
    assert_eq!(both_ways.download, [full(5), full(6), full(7)]);
    assert_eq!((both_ways.remove, both_ways.hopeless), (vec![], vec![]));
    let to = |to| plan(&catalogue, "both", &Wish::Sync { backups: Vec::new(), to: Some(to) }).unwrap();
    assert_eq!((to(StoreName::S3).upload.len(), to(StoreName::S3).download.len()), (4, 0));
    assert_eq!((to(StoreName::Local).upload.len(), to(StoreName::Local).download.len()), (0, 3));
}

#[test]
fn sync_of_an_increment_takes_what_it_builds_on_along() {
    let here = || lying(Present, Absent);
    let catalogue =
        catalogue([(full(0), here()), (increment(0, 1), here()), (increment(0, 2), here()), (full(3), here())]);
    let wish = Wish::Sync { backups: vec![increment(0, 1)], to: None };
    assert_eq!(plan(&catalogue, "both", &wish).unwrap().upload, [full(0), increment(0, 1)]);
}

#[test]
fn sync_says_what_it_cannot_copy_and_needs_two_stores() {
    let catalogue = catalogue([(full(0), lying(Damaged, Missing))]);
    let hopeless = plan(&catalogue, "both", &sync_all()).unwrap().hopeless;
    assert_eq!(hopeless, ["2026-05-28_20-26-40 is damaged"]);
    let refused = plan(&catalogue, "local", &sync_all()).unwrap_err();
    assert_eq!(
        (refused.to_string().as_str(), refused.code()),
        ("the cluster uses one store only (local)", ExitCode::NotFound)
    );
}

#[test]
fn the_end_of_a_backup_prunes_and_brings_s3_to_the_same_set() {
    let catalogue = catalogue([
        (full(0), lying(Present, Unfinished)),
        (full(1), lying(Present, Absent)),
        (full(2), lying(Present, Absent)),
        (increment(2, 3), lying(Present, Unfinished)),
        (full(4), Entry { removing: Some(name(9).time()), ..lying(Present, Present) }),
    ]);
    let plan = plan(&catalogue, "both", &Wish::Finish(increment(2, 3))).unwrap();
    assert_eq!(plan.remove, [full(0), full(4)]);
    let upload = [full(2), increment(2, 3), full(1)];
    assert_eq!(plan.upload, upload, "first what was made, then also what was made before S3 was used");
    let [batch] = &plan.batches[..] else { panic!("one runner is enough: {:?}", plan.batches) };
    assert_eq!(batch.order.wanted_uploads, [full(1), full(2), increment(2, 3)]);
    assert_eq!(batch.order.expected.len(), 6);
    assert_eq!(batch.order.limit_secs, Some(6 * 3600), "a backup's end is no place for a copy without end");
}

#[test]
fn the_end_of_a_backup_sends_what_one_runner_takes_and_the_next_ones_do_the_rest() {
    let chain = (1..120).map(|day| (increment(0, day), lying(Present, Absent)));
    let fulls = [0, 200].map(|day| (full(day), lying(Present, Absent)));
    let plan = plan(&catalogue(chain.chain(fulls)), "both", &Wish::Finish(full(200))).unwrap();
    assert_eq!((plan.upload.len(), plan.batches.len()), (50, 1));
    assert_eq!(plan.notices, ["71 more backups are not in S3; the next runs send them"]);
    assert_eq!(plan.upload[..3], [full(200), full(0), increment(0, 1)], "parents before children");
    let wanted = &plan.batches[0].order.wanted_uploads;
    assert_eq!(wanted.len(), 121, "what others began is not swept");
}

#[test]
fn the_end_of_a_backup_with_nothing_to_do_starts_no_runner_and_a_prune_does() {
    let catalogue = catalogue([(full(0), lying(Present, Absent))]);
    assert_eq!(plan(&catalogue, "local", &Wish::Finish(full(0))).unwrap().batches.len(), 0);
    let prune = plan(&catalogue, "local", &Wish::Prune).unwrap();
    assert_eq!((prune.batches.len(), prune.remove), (1, vec![]));
}

#[test]
fn what_stays_in_a_store_that_is_not_used_is_said() {
    let catalogue = catalogue([(full(0), lying(Present, Present)), (full(1), lying(Present, Absent))]);
    let notices = plan(&catalogue, "local", &Wish::Delete(vec![full(0)])).unwrap().notices;
    assert_eq!(notices, ["2026-05-28_20-26-40 stays in the other store (s3), which is not used now"]);
}

#[test]
fn a_thousand_backups_are_dealt_with_within_the_limits_of_arguments_and_last_words() {
    let catalogue = catalogue(
        (0..1000).map(|day| (increment(0, day + 1), lying(Present, Absent))).chain([(full(0), lying(Present, Absent))]),
    );
    let plan = plan(&catalogue, "both", &sync_all()).unwrap();
    assert_eq!(plan.upload.len(), 1001);
    for batch in &plan.batches {
        // Linux takes at most 128 KiB in one argument.
        let bytes = serde_json::to_string(&batch.runner.order).unwrap().len();
        assert!(bytes < 120 << 10, "{bytes} bytes");
    }
    let summary = Outcome::done(plan.summary(), Vec::new());
    assert!(serde_json::to_string(&summary).unwrap().len() < 4096);
}

#[test]
fn the_backup_just_made_stays_although_the_clock_was_set_back() {
    let catalogue = catalogue((0..20).map(|day| (full(day), lying(Present, Absent))));
    let plan = plan(&catalogue, "local", &Wish::Finish(full(0))).unwrap();
    assert!(!plan.remove.is_empty() && !plan.remove.contains(&full(0)), "{:?}", plan.remove);
}
