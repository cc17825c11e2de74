//! Backups that rot, disappear, or are not what the catalogue says: found, mended, or set aside.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::ground::{Cluster, ground, run, scratch_file};
use crate::oracle::{Oracle, bucket_keys, item, volume};

/// Flips one bit in the middle of a file.
#[track_caller]
pub(crate) fn flip_a_bit(path: &Path) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let at = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.sync_all().unwrap();
}

/// Where a full backup's stream lies on the volume.
pub(crate) fn stream(cluster: &Cluster, name: &str) -> PathBuf {
    volume(cluster).unwrap().join(format!("base/{name}/backup.mbstream.zst"))
}

/// Flips a bit of a full backup's stream in the bucket.
pub(crate) fn damage_in_bucket(cluster: &Cluster, name: &str) {
    let keys = bucket_keys(cluster);
    let key = keys.iter().find(|key| key.contains(name) && key.ends_with(".mbstream.zst")).unwrap();
    ground(&["s3", "damage", key]);
}

#[test]
fn every_byte_is_verified_and_a_flipped_bit_is_found() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    cluster.plugin(&["verify", &name, "--deep"]).ends_with(0);
    flip_a_bit(&stream(&cluster, &name));
    let found = cluster.plugin(&["verify", &name, "--deep"]).ends_with(13);
    assert!(found.stderr.contains("backup.mbstream.zst"), "{}", found.stderr);
    // Put right again, so that the volume holds only good backups for the next test.
    flip_a_bit(&stream(&cluster, &name));
    cluster.plugin(&["verify", &name, "--deep"]).ends_with(0);
    oracle.nothing_is_left();
}

#[test]
fn a_damaged_file_is_mended_from_s3_by_the_next_create() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    flip_a_bit(&stream(&cluster, &name));
    let ran = cluster.plugin(&["create"]);
    assert!([0, 3].contains(&ran.code), "{}", ran.stderr);
    cluster.plugin(&["verify", &name, "--deep"]).ends_with(0);
    oracle.all_is_well();
}

#[test]
fn a_backup_damaged_in_both_stores_fails_the_next_create_unless_it_may_be_set_aside() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    flip_a_bit(&stream(&cluster, &name));
    damage_in_bucket(&cluster, &name);
    let refused = cluster.plugin(&["create"]).ends_with(13);
    assert!(refused.stderr.contains(&name), "{}", refused.stderr);
    cluster.plugin(&["create", "--on-corrupt", "quarantine"]).ends_with(3).says(&name);
    assert!(item(&cluster, &name)["quarantined"].is_string(), "{}", item(&cluster, &name));
    // From here on it is in nobody's way.
    cluster.plugin(&["create"]).ends_with(0);
    cluster.plugin(&["delete", &name, "--yes"]).ends_with(0);
    oracle.all_is_well();
}

/// The ConfigMap with the catalogue.
const CATALOGUE: &str = "mariadb-server-backup-hash";

#[test]
fn a_catalogue_that_was_deleted_is_made_again_from_the_manifests() {
    let cluster = Cluster::with_data();
    cluster.plugin(&["create"]).ends_with(0);
    let oracle = Oracle::new(&cluster);
    let before = cluster.listed();
    cluster.kubectl(&["delete", "configmap", CATALOGUE]);
    // Without one nothing can be verified, which is said, and nothing is destroyed.
    cluster.plugin(&["create"]);
    cluster.plugin(&["verify", "--rebuild-catalogue", "--deep"]).ends_with(0);
    let after = cluster.listed();
    let lost: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
    assert!(lost.is_empty(), "on the volume and not in the rebuilt catalogue: {lost:?}");
    oracle.all_is_well();
}

/// Changes both tables of the catalogue, the sums and the index, behind everybody's back.
fn tamper(cluster: &Cluster, change: impl Fn(&mut serde_json::Map<String, Value>)) {
    let mut map = cluster.kubectl_json(&["get", "configmap", CATALOGUE]);
    for key in ["hash_table", "backups"] {
        let mut table: Value = serde_json::from_str(map["data"][key].as_str().unwrap()).unwrap();
        change(table.as_object_mut().unwrap());
        map["data"][key] = Value::String(table.to_string());
    }
    map["metadata"]["resourceVersion"].take();
    let file = scratch_file("catalogue", &map.to_string());
    run("kubectl", &["replace", "-f", file.to_str().unwrap()]).ends_with(0);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_catalogue_that_was_tampered_with_is_not_trusted_and_can_be_made_again() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    tamper(&cluster, |table| {
        if let Some(sum) = table.get_mut(&format!("base/{name}/backup.mbstream.zst")) {
            sum["checksum"] = Value::String("0".repeat(64));
        }
    });
    cluster.plugin(&["verify", "--deep"]).ends_with(13).says(&name);
    let rebuilt = cluster.plugin(&["verify", "--rebuild-catalogue", "--deep"]).ends_with(3);
    rebuilt.says("is not what the catalogue recorded");
    cluster.plugin(&["verify", "--deep"]).ends_with(0);
    oracle.all_is_well();
}

#[test]
fn a_backup_the_catalogue_does_not_know_is_named_and_taken_up_when_it_is_made_again() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.created(&["create"]);
    let name = cluster.created(&["create"]);
    tamper(&cluster, |table| table.retain(|of, _| !of.contains(&name)));
    assert!(!cluster.listed().contains(&name));
    cluster.plugin(&["verify"]).ends_with(3).says(&name);
    cluster.plugin(&["verify", "--rebuild-catalogue"]).ends_with(0);
    assert!(cluster.listed().contains(&name));
    oracle.all_is_well();
}

#[test]
fn a_catalogue_somebody_else_writes_at_the_same_time_loses_nothing() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let before = cluster.listed();
    let done = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let patch = format!(r#"{{"metadata":{{"annotations":{{"somebody":"{n}"}}}}}}"#);
                run("kubectl", &["patch", "configmap", CATALOGUE, "-n", &cluster.namespace, "-p", &patch]);
            }
        });
        let ran = cluster.plugin(&["create"]);
        done.store(true, Ordering::Relaxed);
        ran
    });
    ran.ends_with(0);
    assert_eq!(oracle.new_backups().len(), 1);
    let after = cluster.listed();
    let lost: Vec<_> = before.iter().filter(|name| !after.contains(name) && !is_outdated(&after)).collect();
    assert!(lost.is_empty(), "lost from the catalogue: {lost:?}");
    oracle.nothing_is_left();
}

/// Whether retention had a reason to remove something.
fn is_outdated(listed: &[String]) -> bool {
    listed.len() >= 3
}
