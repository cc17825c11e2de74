//! A volume that fills up, breaks, or is slow: the backup fails or waits, and nothing half made counts.

use crate::ground::{Cluster, ground, scratch_file};
use crate::oracle::Oracle;
use crate::run::Run;

/// A claim of 64 MiB.
fn small_claim(cluster: &Cluster) {
    let claim = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"small"},"spec":{
        "accessModes":["ReadWriteOnce"],"storageClassName":"ground-small","resources":{"requests":{"storage":"32Mi"}}}}"#;
    let file = scratch_file("small-claim", claim);
    cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_volume_too_small_is_refused_and_one_that_fills_up_fails_cleanly() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    small_claim(&cluster);
    cluster.plugin(&["create", "--store-claim", "small"]).ends_with(6).says(" of data x ");
    ground(&["fault", "volume-fill", "small", "--leave", "8Mi"]);
    let failed = cluster.plugin(&["create", "--store-claim", "small", "--required-space-ratio", "0.01"]).ends_with(4);
    failed.says("No space left on device");
    ground(&["fault", "volume-free", "small"]);
    oracle.nothing_came_of_it();
    cluster.healthy();
    cluster.kubectl(&["delete", "pvc", "small"]);
    oracle.all_is_well();
}

#[test]
fn a_volume_that_breaks_in_mid_copy_fails_the_backup_and_frees_the_replica() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    ground(&["fault", "volume-readonly", "mariadb-phy-backup-data"]);
    let ran = run.end();
    ground(&["fault", "volume-writable", "mariadb-phy-backup-data"]);
    assert!([4, 6].contains(&ran.code), "{}", ran.stderr);
    cluster.healthy();
    oracle.nothing_came_of_it();
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn a_slow_volume_makes_a_backup_late_and_not_wrong() {
    let cluster = Cluster::with_data();
    cluster.plugin(&["create"]).ends_with(0);
    let oracle = Oracle::new(&cluster);
    ground(&["fault", "volume-slow", "mariadb-phy-backup-data", "--bps", "4000000"]);
    let ran = cluster.plugin(&["create"]);
    ground(&["fault", "volume-normal", "mariadb-phy-backup-data"]);
    ran.ends_with(0);
    assert_eq!(oracle.new_backups().len(), 1);
    oracle.nothing_is_left();
}
