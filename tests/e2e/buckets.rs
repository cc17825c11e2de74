//! S3 beside the volume or instead of it: slow, full, failing, away; never does it cost the local backup.

use crate::ground::{Cluster, Ledger, ground};
use crate::oracle::{Oracle, bucket_keys, in_bucket, item, on_volume};
use crate::run::{Run, Signal, Who};
use crate::stock_tools::StockServer;

fn with_both() -> Cluster {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    // What earlier tests left on the volume alone is in S3 before this one counts.
    cluster.plugin(&["sync"]).ends_with(0);
    cluster
}

#[test]
fn a_backup_lies_in_both_stores_whole() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    assert!(on_volume(&cluster).contains(&name));
    assert!(in_bucket(&cluster).contains(&name));
    assert_eq!((&item(&cluster, &name)["local"], &item(&cluster, &name)["s3"]), (&"present".into(), &"present".into()));
    oracle.nothing_is_left();
}

#[test]
fn a_place_with_the_mark_of_another_cluster_is_not_written_to() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    cluster.created(&["create"]);
    let mark = bucket_keys(&cluster).into_iter().find(|key| key.ends_with("/.owner")).expect("the place is marked");
    let before = in_bucket(&cluster);
    ground(&["s3", "damage", &mark]);
    let ran = cluster.plugin(&["create"]).ends_with(3);
    ran.says("it is the place of another cluster").says("MARIADB_BACKUP_S3_PREFIX");
    assert_eq!(in_bucket(&cluster), before);
    ground(&["s3", "remove", &mark]);
    cluster.plugin(&["sync"]).ends_with(0);
    oracle.all_is_well();
}

/// With S3 broken in some way in the middle of an upload, the local backup is whole and `sync` ends
/// what was begun.
#[track_caller]
fn costs_only_the_copy_in_s3(cluster: &Cluster, fault: &[&str], undo: &str) {
    let oracle = Oracle::new(cluster);
    ground(&[&["fault"], fault].concat());
    let ran = cluster.plugin(&["create", "-o", "name"]);
    ground(&["fault", undo]);
    let name = ran.stdout.trim().trim_start_matches("backup/").to_owned();
    ran.ends_with(3);
    assert_eq!(item(cluster, &name)["local"], "present");
    assert_ne!(item(cluster, &name)["s3"], "present");
    assert!(!in_bucket(cluster).contains(&name), "half of {name} counts as a backup in S3");
    cluster.plugin(&["sync"]).ends_with(0);
    assert_eq!(item(cluster, &name)["s3"], "present");
    oracle.nothing_is_left();
}

#[test]
fn an_s3_server_that_fails_every_request_costs_only_the_copy_in_s3() {
    let cluster = with_both();
    costs_only_the_copy_in_s3(&cluster, &["s3-fail", "--status", "503", "--only", "part"], "s3-heal");
}

#[test]
fn a_full_bucket_costs_only_the_copy_in_s3() {
    let cluster = with_both();
    let full = ["s3-fail", "--status", "403", "--code", "QuotaExceeded", "--only", "part", "--after", "1"];
    costs_only_the_copy_in_s3(&cluster, &full, "s3-heal");
}

#[test]
fn a_token_that_expires_in_mid_upload_costs_only_the_copy_in_s3() {
    let cluster = with_both();
    costs_only_the_copy_in_s3(&cluster, &["s3-fail", "--status", "400", "--only", "write", "--after", "2"], "s3-heal");
}

#[test]
fn errors_of_some_requests_are_gone_over() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    ground(&["fault", "s3-fail", "--status", "503", "--share", "0.25"]);
    let ran = cluster.plugin(&["create", "-o", "name"]);
    ground(&["fault", "s3-heal"]);
    let name = ran.ends_with(0).stdout.trim().trim_start_matches("backup/").to_owned();
    assert!(in_bucket(&cluster).contains(&name));
    oracle.nothing_is_left();
}

#[test]
fn an_s3_server_that_stops_in_mid_upload_costs_only_the_copy_in_s3() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    ground(&["fault", "s3-slow", "--bps", "500000"]);
    let run = Run::order(&cluster, &["create"]);
    let runner = run.runner("copy");
    run.until_reported(&runner, "the local copy is whole", |event| event["kind"] == "published");
    ground(&["fault", "s3-normal"]);
    ground(&["fault", "s3-stop"]);
    let ran = run.end();
    ground(&["fault", "s3-start"]);
    ran.ends_with(3);
    let new = oracle.new_backups();
    assert_eq!(new.len(), 1);
    assert_eq!(item(&cluster, &new[0])["local"], "present");
    cluster.plugin(&["sync"]).ends_with(0);
    assert!(in_bucket(&cluster).contains(&new[0]));
    oracle.nothing_is_left();
}

#[test]
fn a_slow_s3_server_does_not_keep_the_replica_desynced() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    ground(&["fault", "s3-slow", "--bps", "1500000"]);
    let run = Run::order(&cluster, &["create"]);
    let runner = run.runner("copy");
    run.until_reported(&runner, "the local copy is whole", |event| event["kind"] == "published");
    // The upload goes on, and the replica serves again meanwhile.
    assert_eq!(cluster.status(&cluster.target(), "wsrep_desync_count"), "0");
    let ran = run.end();
    ground(&["fault", "s3-normal"]);
    ran.ends_with(0);
    oracle.nothing_is_left();
}

#[test]
fn an_upload_that_was_killed_is_finished_by_its_conductor_or_the_next_run() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    for (who, signal) in [(Who::Runner, Signal::Kill), (Who::Conductor, Signal::Kill), (Who::Both, Signal::Term)] {
        ground(&["fault", "s3-slow", "--bps", "300000"]);
        let run = Run::order(&cluster, &["create"]);
        let runner = run.runner("copy");
        run.until_reported(&runner, "the local copy is whole", |event| event["kind"] == "published");
        run.signal(who, &runner, signal);
        ground(&["fault", "s3-normal"]);
        let ran = run.end();
        let is_finished = who == Who::Runner;
        assert_eq!(ran.code == 0, is_finished, "after {signal:?} to {who:?}:\n{}", ran.stderr);
        oracle.every_desync_is_explained();
        cluster.plugin(&["sync"]).ends_with(0);
    }
    assert_eq!(on_volume(&cluster), in_bucket(&cluster), "sync brings both stores to the same set");
    oracle.all_is_well();
}

#[test]
fn wrong_keys_are_a_matter_of_credentials_and_cost_only_the_copy_in_s3() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    cluster.set("MARIADB_BACKUP_S3_SECRET", "s3-credentials-readonly");
    let ran = cluster.plugin(&["create"]);
    assert!([3, 12].contains(&ran.code), "{}", ran.stderr);
    oracle.every_desync_is_explained();
    cluster.set("MARIADB_BACKUP_S3_SECRET", "s3-credentials");
    cluster.plugin(&["sync"]).ends_with(0);
    oracle.all_is_well();
}

#[test]
fn a_backup_in_s3_alone_needs_no_volume_and_comes_back_by_sync() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    let ledger = Ledger::start(&cluster);
    let name = cluster.created(&["create", "--store", "s3"]);
    assert!(!on_volume(&cluster).contains(&name), "a backup for S3 alone lies on the volume");
    assert_eq!(item(&cluster, &name)["local"], "absent");
    cluster.plugin(&["sync", &name, "--to", "local"]).ends_with(0);
    assert!(on_volume(&cluster).contains(&name));
    let position = item(&cluster, &name)["position"].as_str().unwrap().to_owned();
    let server = StockServer::start(&cluster, &name);
    server.holds(&ledger, &position);
    drop((server, ledger));
    oracle.all_is_well();
}

#[test]
fn an_s3_server_that_fails_a_backup_for_s3_alone_fails_it_and_frees_the_replica() {
    let cluster = with_both();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_seconds();
    let run = Run::order(&cluster, &["create", "--store", "s3"]);
    run.copying();
    ground(&["fault", "s3-stop"]);
    let ran = run.end();
    ground(&["fault", "s3-start"]);
    ran.ends_with(4);
    oracle.nothing_came_of_it();
    cluster.healthy();
    cluster.copies_fast();
    oracle.all_is_well();
}
