//! Drills: a backup is booted far from the cluster, tells what is in it, and leaves nothing.

use crate::damage::flip_a_bit;
use crate::ground::{Cluster, Ledger, ground, until};
use crate::oracle::{Oracle, volume};
use crate::run::{Run, Signal, Who};

/// Makes a full backup of a table with one row and an increment with two more, by name.
#[track_caller]
fn chain(cluster: &Cluster) -> (String, String) {
    let [other, _] = cluster.others();
    cluster.sql(&other, "DROP DATABASE IF EXISTS drill");
    cluster.sql(&other, "CREATE DATABASE drill");
    cluster.sql(&other, "CREATE TABLE drill.kept (n INT PRIMARY KEY)");
    cluster.sql(&other, "INSERT INTO drill.kept VALUES (1)");
    let base = cluster.created(&["create"]);
    cluster.sql(&other, "INSERT INTO drill.kept VALUES (2), (3)");
    let child = cluster.created(&["create", "--type", "incremental"]);
    cluster.sql(&other, "INSERT INTO drill.kept VALUES (4)");
    (base, child)
}

const QUERY: [&str; 2] = ["--query", "SELECT COUNT(*), MAX(n) FROM drill.kept"];

#[test]
fn a_drill_boots_a_chain_under_load_and_finds_what_was_there_when_each_of_it_was_made() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let ledger = Ledger::start(&cluster);
    let (base, child) = chain(&cluster);
    let drilled = cluster.plugin(&[&["drill"][..], &QUERY].concat()).ends_with(0).says("can be restored");
    assert_eq!(drilled.stdout, "COUNT(*)\tMAX(n)\n3\t3\n", "the newest is {child}");
    assert!(drilled.stderr.contains(&child), "{}", drilled.stderr);
    let drilled = cluster.plugin(&[&["drill", &base, "--no-headers"][..], &QUERY].concat()).ends_with(0);
    assert_eq!(drilled.stdout, "1\t1\n");
    ledger.goes_on();
    drop(ledger);
    oracle.nothing_is_left();
}

#[test]
fn a_drill_takes_from_s3_what_is_nowhere_else() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    let oracle = Oracle::new(&cluster);
    let (_, child) = chain(&cluster);
    let drilled = cluster.plugin(&[&["drill", &child, "--no-headers", "--store", "s3"][..], &QUERY].concat());
    assert_eq!(drilled.ends_with(0).says("from s3").stdout, "3\t3\n");
    oracle.nothing_is_left();
}

#[test]
fn a_drill_is_unpacked_on_a_volume_made_for_it_which_goes_with_it() {
    let cluster = Cluster::new("drill-class", &[]);
    let (_, child) = chain(&cluster);
    let claims = || cluster.kubectl(&["get", "persistentvolumeclaims", "-o", "name"]);
    let before = claims();
    let on_class = ["drill", &child, "--no-headers", "--scratch-class", "ground-backup"];
    let drilled = cluster.plugin(&[&on_class[..], &QUERY].concat());
    assert_eq!(drilled.ends_with(0).stdout, "3\t3\n");
    until("the claim made for it is gone", || (claims() == before).then_some(()));
    cluster.plugin(&["drill", &child, "--scratch-class", "nowhere"]).ends_with(10).says("no StorageClass nowhere");
    assert_eq!(claims(), before);
}

#[test]
fn a_drill_of_a_damaged_backup_names_the_file_and_boots_nothing() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    let stream = volume(&cluster).unwrap().join(format!("base/{name}/backup.mbstream.zst"));
    flip_a_bit(&stream);
    cluster.plugin(&["drill", &name]).ends_with(13).says("backup.mbstream.zst");
    flip_a_bit(&stream);
    cluster.plugin(&["drill", &name]).ends_with(0);
    oracle.nothing_is_left();
}

#[test]
fn a_drill_that_was_killed_leaves_nothing_that_the_next_run_does_not_sweep() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.created(&["create"]);
    for (who, signal) in [(Who::Runner, Signal::Kill), (Who::Both, Signal::Kill), (Who::Conductor, Signal::Term)] {
        ground(&["fault", "volume-slow", "mariadb-phy-backup-data", "--bps", "2000000"]);
        let run = Run::order(&cluster, &["drill"]);
        let runner = run.runner("prove");
        run.until_reported(&runner, "it is at work", |event| event["doneBytes"].as_u64() > Some(0));
        run.signal(who, &runner, signal);
        ground(&["fault", "volume-normal", "mariadb-phy-backup-data"]);
        run.end().ends_with(4);
        oracle.every_desync_is_explained();
    }
    cluster.plugin(&["drill"]).ends_with(0);
    oracle.all_is_well();
}

#[test]
fn a_drill_finds_that_today_s_secret_does_not_fit_the_backup() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.created(&["create"]);
    let literals = ["--from-literal=username=backup", "--from-literal=password=of-tomorrow"];
    cluster.kubectl(&[&["create", "secret", "generic", "tomorrow"][..], &literals].concat());
    cluster.set("MARIADB_BACKUP_SECRET", "tomorrow");
    let failed = cluster.plugin(&["drill"]);
    cluster.set("MARIADB_BACKUP_SECRET", "mariadb-backup");
    cluster.kubectl(&["delete", "secret", "tomorrow"]);
    failed.ends_with(12);
    oracle.nothing_is_left();
}
