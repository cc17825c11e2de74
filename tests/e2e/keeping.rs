//! Retention, deletion and syncing: what is needed is never removed, and what was begun is finished.

use serde_json::Value;

use crate::ground::{Cluster, Ledger, until};
use crate::oracle::{Oracle, in_bucket, item, items, on_volume, volume};
use crate::run::{Run, Signal, Who};

fn fulls(cluster: &Cluster) -> Vec<String> {
    let fulls = items(cluster).into_iter().filter(|item| item["type"] == "full");
    fulls.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn only_so_many_full_backups_are_kept_with_their_increments_in_both_stores() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    let oracle = Oracle::new(&cluster);
    for _ in 0..2 {
        cluster.plugin(&["create", "--keep", "2"]).ends_with(0);
        cluster.plugin(&["create", "--type", "incremental", "--keep", "2"]).ends_with(0);
    }
    let kept = fulls(&cluster);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let oldest = kept[0].clone();
    let newest = cluster.created(&["create", "--keep", "2"]);
    assert!(!cluster.listed().contains(&oldest), "the oldest is kept although two newer ones are there");
    assert!(!on_volume(&cluster).contains(&oldest) && !in_bucket(&cluster).contains(&oldest));
    let of_oldest = items(&cluster).into_iter().any(|item| item["base"] == oldest.as_str());
    assert!(!of_oldest, "an increment without its base is listed");
    assert!(cluster.listed().contains(&newest));
    oracle.all_is_well();
}

#[test]
fn the_last_good_full_backup_is_never_removed() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["create"]).ends_with(0);
    cluster.plugin(&["prune", "--keep", "1", "--yes"]).ends_with(0);
    let last = fulls(&cluster);
    assert_eq!(last.len(), 1);
    let refused = cluster.plugin(&["delete", &last[0], "--yes"]);
    assert_ne!(refused.code, 0, "the last good full backup was deleted");
    assert!(cluster.listed().contains(&last[0]));
    oracle.all_is_well();
}

#[test]
fn a_dry_run_says_what_would_go_and_removes_nothing() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["create"]).ends_with(0);
    cluster.plugin(&["create"]).ends_with(0);
    let before = cluster.listed();
    let oldest = fulls(&cluster)[0].clone();
    let said = cluster.plugin(&["prune", "--keep", "1", "--dry-run"]).ends_with(0);
    assert!(format!("{}{}", said.stdout, said.stderr).contains(&oldest), "{}{}", said.stdout, said.stderr);
    cluster.plugin(&["delete", &oldest, "--dry-run"]).ends_with(0);
    assert_eq!(cluster.listed(), before);
    oracle.nothing_is_left();
}

#[test]
fn a_base_is_deleted_with_its_increments_and_children_go_first() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let base = cluster.created(&["create"]);
    let child = cluster.created(&["create", "--type", "incremental"]);
    assert_eq!(item(&cluster, &child)["base"], base.as_str());
    cluster.plugin(&["create"]).ends_with(0);
    cluster.plugin(&["delete", &base, "--yes"]).ends_with(0);
    let listed = cluster.listed();
    assert!(!listed.contains(&base) && !listed.contains(&child), "{listed:?}");
    let volume = on_volume(&cluster);
    assert!(!volume.contains(&base) && !volume.contains(&child), "{volume:?}");
    oracle.all_is_well();
}

/// Whether the catalogue has a backup whose removal began and did not end.
fn removal_is_going_on(cluster: &Cluster) -> Option<()> {
    let map = cluster.kubectl_json(&["get", "configmap", "mariadb-server-backup-hash"]);
    let backups: Value = serde_json::from_str(map["data"]["backups"].as_str()?).ok()?;
    backups.as_object()?.values().any(|entry| entry["removing"].is_string()).then_some(())
}

#[test]
fn a_removal_that_was_killed_is_finished_by_the_next_run() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    for who in [Who::Conductor, Who::Runner, Who::Both] {
        let base = cluster.created(&["create"]);
        let child = cluster.created(&["create", "--type", "incremental"]);
        cluster.plugin(&["create"]).ends_with(0);
        let run = Run::order(&cluster, &["delete", &base, "--yes"]);
        until("a removal is recorded", || removal_is_going_on(&cluster));
        run.signal(Who::Conductor, "none", Signal::Stop);
        if who == Who::Conductor {
            run.signal(Who::Conductor, "none", Signal::Kill);
        } else {
            let runner = run.runner_now("keep").unwrap_or_default();
            run.signal(who, &runner, Signal::Kill);
            run.signal(Who::Conductor, "none", Signal::Continue);
        }
        let _ = run.end();
        // A parent never goes before its children.
        let there = on_volume(&cluster);
        assert!(there.contains(&base) || !there.contains(&child), "{child} is left without its base");
        cluster.plugin(&["create"]).ends_with(0);
        assert!(removal_is_going_on(&cluster).is_none(), "after a kill of {who:?} a removal was left unfinished");
        let there = on_volume(&cluster);
        assert!(!there.contains(&base) && !there.contains(&child), "{there:?}");
    }
    oracle.nothing_is_left();
}

#[test]
fn sync_brings_both_stores_to_the_same_set_either_way() {
    let cluster = Cluster::with_data();
    let ledger = Ledger::start(&cluster);
    let local = cluster.created(&["create"]);
    cluster.store_in("both");
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["sync"]).ends_with(0);
    assert!(in_bucket(&cluster).contains(&local), "{local} is not in S3 after sync");
    // The volume loses one; once that is found, it gets it back.
    let root = volume(&cluster).unwrap();
    std::fs::remove_dir_all(root.join(format!("base/{local}"))).unwrap();
    cluster.plugin(&["verify"]).ends_with(13).says(&local);
    cluster.plugin(&["sync"]).ends_with(0);
    assert!(on_volume(&cluster).contains(&local), "{local} is not on the volume after sync");
    drop(ledger);
    oracle.all_is_well();
}
