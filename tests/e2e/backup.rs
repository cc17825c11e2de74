//! What a backup promises when nothing breaks.

use crate::ground::{Cluster, Ledger, ground, only_on_the_ground};
use crate::stock_tools::StockServer;

#[test]
fn a_backup_under_load_restored_by_stock_tools_holds_every_commit_up_to_its_position_and_none_torn() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    cluster.healthy();
    ground(&["load", "--namespace", &cluster.namespace, "--mb", "60"]);
    let ledger = Ledger::start(&cluster);
    let name =
        cluster.plugin(&["create", "-o", "name"]).ends_with(0).stdout.trim().trim_start_matches("backup/").to_owned();
    cluster.healthy();
    assert_eq!(cluster.obligation(), None);
    assert!(cluster.listed().contains(&name));

    let server = StockServer::start(&cluster, &name);
    let position: i64 = server.position.rsplit(':').next().unwrap().parse().unwrap();
    let commits = ledger.commits();
    let restored = server.numbers("SELECT n FROM ledger.entries");
    // What the ledger wrote down is the cluster's position right after a commit, never less than its own.
    let before = |n: &&i64| commits[*n] <= position;
    let missing: Vec<_> = commits.keys().filter(before).filter(|n| !restored.contains(n)).collect();
    assert!(commits.keys().filter(before).count() > 20, "too few commits before {position} to prove anything");
    assert!(missing.is_empty(), "acknowledged before the backup's position {position}, and lost: {missing:?}");
    let torn = "SELECT n FROM ledger.entries e WHERE (SELECT COUNT(*) FROM ledger.halves h WHERE h.n = e.n) <> 2 \
                UNION SELECT h.n FROM ledger.halves h LEFT JOIN ledger.entries e ON e.n = h.n WHERE e.n IS NULL";
    assert_eq!(server.numbers(torn), [0i64; 0], "torn transactions");
}

#[test]
fn every_byte_is_verified_and_a_flipped_bit_is_found() {
    only_on_the_ground();
    let cluster = Cluster::demo();
    cluster.healthy();
    let name =
        cluster.plugin(&["create", "-o", "name"]).ends_with(0).stdout.trim().trim_start_matches("backup/").to_owned();
    cluster.plugin(&["verify", "--deep", &name]).ends_with(0);

    let file = format!("/var/backup/base/{name}/backup.mbstream.zst");
    flip_a_bit(&cluster, &file);
    let found = cluster.plugin(&["verify", "--deep", &name]).ends_with(13);
    assert!(found.stderr.contains("backup.mbstream.zst"), "{}", found.stderr);
    // Put right again, so that the volume holds only good backups for the next test.
    flip_a_bit(&cluster, &file);
    cluster.plugin(&["verify", "--deep", &name]).ends_with(0);
}

/// Flips one bit in the middle of a file on the backup volume.
fn flip_a_bit(cluster: &Cluster, file: &str) {
    let script = format!(
        "set -e; at=$(($(stat -c %s {file}) / 2)); \
         byte=$(od -An -tu1 -j $at -N 1 {file} | tr -d ' '); \
         printf \"\\\\x$(printf %02x $((byte ^ 1)))\" | dd of={file} bs=1 seek=$at conv=notrunc status=none"
    );
    crate::stock_tools::on_the_backup_volume(cluster, &script);
}
