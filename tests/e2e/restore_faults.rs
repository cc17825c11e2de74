//! What can get into a restore's way on the worst day: pods that do not end, volumes that are full or
//! forgotten, files nobody may remove, replicas that do not join.

use std::path::PathBuf;
use std::process::Command;

use crate::ground::{Cluster, ground, kubectl, kubectl_json, run, until};
use crate::restore_shapes::all_serve;
use crate::restores::{
    backed_up_and_lost, beside_data, data_volume, incarnations, is_as_it_was, is_back, nothing_is_left, ordered, pods,
    until_in,
};
use crate::run::{Signal, Who, signal_process};

/// The node of a pod.
fn node_of(cluster: &Cluster, pod: &str) -> String {
    cluster.kubectl_json(&["get", "pod", pod])["spec"]["nodeName"].as_str().unwrap().to_owned()
}

/// A replica that is not copied, and the number of its node, which is not that of the pod `but`.
fn other_node(cluster: &Cluster, but: Option<&str>) -> (String, String) {
    let but = but.map(|pod| node_of(cluster, pod));
    let mut others = cluster.others().into_iter().map(|other| (node_of(cluster, &other), other));
    let (node, other) = others.find(|(node, _)| Some(node) != but.as_ref()).expect("two others are on two nodes");
    (other, node.trim_start_matches("node-").to_owned())
}

#[test]
fn a_replica_on_a_node_that_does_not_answer_refuses_the_restore_before_the_outage() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let (other, node) = other_node(&cluster, None);
    ground(&["fault", "node-off", &node]);
    until("the node is not Ready", || {
        let seen = kubectl_json(&["get", "node", &format!("node-{node}")]);
        let conditions = seen["status"]["conditions"].as_array()?.clone();
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] != "True").then_some(())
    });
    let refused = cluster.plugin(&["restore", &name, "--yes"]);
    ground(&["fault", "node-on", &node]);
    kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"]);
    refused.ends_with(6).says(&format!("node node-{node} of pod {other} is not Ready"));
    cluster.healthy();
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_node_that_is_lost_while_the_cluster_stops_keeps_its_volume_and_the_restore_is_undone() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let limits = ["--restore-stop-timeout", "20s", "--restore-start-timeout", "20s"];
    let run = ordered(&cluster, &name, &limits);
    // The node of whoever decides is another fault.
    let (other, node) = other_node(&cluster, Some(&run.conductor()));
    // One that would end in a second would have ended before its node is gone.
    signal_process(&cluster, &other, "mariadb", "mariadbd", Signal::Stop);
    until_in(&cluster, &run, &["stopping"]);
    ground(&["fault", "node-off", &node]);
    let ran = run.end();
    ground(&["fault", "node-on", &node]);
    kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"]);
    assert!([14, 15].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    assert!(ran.stderr.contains(&format!("pod {other} on node node-{node}")), "it names the pod:\n{}", ran.stderr);
    assert!(ran.stderr.contains("may not be written"), "{}", ran.stderr);
    if cluster.obligation().is_some() {
        cluster.plugin(&["recover"]).ends_with(14);
    }
    cluster.healthy();
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}

/// To be kept free for its server: nearly as much as is free on a volume, and less than without its data.
const NO_ROOM_BESIDE: &str = "3650Mi";

#[test]
fn without_a_place_to_unpack_nothing_is_begun() {
    let cluster = Cluster::with_data();
    cluster.store_in("s3");
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    cluster.set("MARIADB_BACKUP_DATA_FREE", NO_ROOM_BESIDE);
    let refused = cluster.plugin(&["restore", &name, "--yes"]).ends_with(6);
    refused.says(" unpacked, its volume has ").says("no volume of backups is used here").says("--scratch-claim NAME");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    nothing_is_left(&cluster, 3);
}

#[test]
fn without_room_beside_the_data_a_backup_is_unpacked_on_the_volume_of_backups() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    cluster.set("MARIADB_BACKUP_DATA_FREE", NO_ROOM_BESIDE);
    let plan = cluster.plugin(&["restore", &name, "--dry-run"]).ends_with(0).stdout;
    for told in ["the local store (the volume of backups)", "it has no room for both", "by copying it"] {
        assert!(plan.contains(told), "{told}: {plan}");
    }
    cluster.plugin(&["restore", &name, "--yes"]).ends_with(0).says("outage ");
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

/// Takes all but so much of the room on a replica's data volume.
pub(crate) fn fill_up(cluster: &Cluster, pod: &str, free_bytes: u64) -> PathBuf {
    let root = data_volume(cluster, pod);
    let free = rustix::fs::statvfs(&root).unwrap();
    let bytes = (free.f_bavail * free.f_frsize).saturating_sub(free_bytes);
    let filler = root.join("filler");
    let length = bytes.to_string();
    let made = Command::new("fallocate").args(["-l", &length]).arg(&filler).status().unwrap();
    assert!(made.success(), "{length} bytes on the volume of {pod}");
    filler
}

#[test]
fn a_volume_without_room_for_both_gives_its_old_data_up_and_the_way_back_is_another_replica() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let filler = fill_up(&cluster, &cluster.target(), 250 << 20);
    let plan = cluster.plugin(&["restore", &name, "--dry-run"]);
    let ran = cluster.plugin(&["restore", &name, "--yes"]);
    std::fs::remove_file(filler).unwrap();
    let plan = plan.ends_with(0).stdout;
    for told in ["it has no room for both", "from the furthest of the replicas that are not touched before"] {
        assert!(plan.contains(told), "{told}: {plan}");
    }
    ran.ends_with(0).says("outage ");
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn a_joiner_whose_state_transfer_fails_again_and_again_joins_in_the_end() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let [_, other] = cluster.others();
    let restore = ordered(&cluster, &name, &[]);
    until_in(&cluster, &restore, &["joining"]);
    for n in 1..=3 {
        until(&format!("{other} asks for a state transfer, time {n}"), || {
            let logs = run("kubectl", &["logs", "-n", &cluster.namespace, &other, "-c", "mariadb"]).stdout;
            let kill = ["fault", "kill-container", "--process", "mariadbd", &other, "mariadb"];
            (logs.contains("WSREP_SST") && run("ground", &kill).code == 0).then_some(())
        });
    }
    restore.end().ends_with(0);
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn an_unknown_way_to_start_is_asked_for_and_not_guessed() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let refused = cluster.plugin(&["restore", &name, "--yes", "--bootstrap", "auto"]);
    refused.ends_with(6).says("--bootstrap grastate");
    nothing_is_left(&cluster, 3);
}

fn scale(cluster: &Cluster, replicas: &str) {
    cluster.kubectl(&["scale", "statefulset", "mariadb-server", "--replicas", replicas]);
}

/// Sends the third replica away, and leaves its volume where it is.
#[track_caller]
fn send_the_third_away(cluster: &Cluster) {
    scale(cluster, "2");
    cluster.kubectl(&["wait", "--for=delete", "pod/mariadb-server-2", "--timeout=120s"]);
    until("the third replica is gone", || {
        (cluster.status("mariadb-server-0", "wsrep_cluster_size") == "2").then_some(())
    });
}

/// Restores without the third replica, and lets it come then.
#[track_caller]
fn is_restored_before_the_third_comes_back(cluster: &Cluster, name: &str) {
    cluster.store_in("both");
    cluster.plugin(&["sync", "--to", "s3"]).ends_with(0);
    cluster.plugin(&["restore", name, "--yes", "--store", "s3"]).ends_with(0);
    scale(cluster, "3");
    // It asks for everything anew, by a state transfer; what it had would be merged by an incremental one.
    until("the stale replica asks for a state transfer", || {
        let logs = run("kubectl", &["logs", "-n", &cluster.namespace, "mariadb-server-2"]).stdout;
        logs.contains("WSREP_SST").then_some(())
    });
    all_serve(cluster, 3);
    is_back(cluster, 3);
}

#[test]
fn a_stale_volume_of_a_replica_that_comes_later_is_never_merged_into_the_restored_history() {
    let cluster = Cluster::new("stale", &[]);
    let name = backed_up_and_lost(&cluster);
    // With data that are further than the backup.
    send_the_third_away(&cluster);
    cluster.plugin(&["restore", &name, "--yes", "--store", "local"]).ends_with(6).says("no common node");
    is_restored_before_the_third_comes_back(&cluster, &name);
}

#[test]
fn a_stale_volume_from_before_the_backup_is_never_merged_into_the_restored_history() {
    let cluster = Cluster::new("stale-behind", &[]);
    send_the_third_away(&cluster);
    let name = backed_up_and_lost(&cluster);
    is_restored_before_the_third_comes_back(&cluster, &name);
}

#[test]
fn a_restore_killed_while_it_gives_old_data_up_for_want_of_room_is_finished() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let filler = fill_up(&cluster, &cluster.target(), 250 << 20);
    let run = ordered(&cluster, &name, &[]);
    until_in(&cluster, &run, &["switching"]);
    run.signal(Who::Conductor, "", Signal::Kill);
    let died = run.end().code;
    let recovered = cluster.plugin(&["recover"]);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(died, 4);
    recovered.ends_with(0);
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

#[test]
fn what_nobody_may_remove_is_set_aside_and_told_and_the_restore_is_done_all_the_same() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let target = cluster.target();
    let file = data_volume(&cluster, &target).join("mysql/.immutable");
    std::fs::write(&file, "x").unwrap();
    let chattr = |flag: &str, file: &std::path::Path| Command::new("chattr").arg(flag).arg(file).status().unwrap();
    assert!(chattr("+i", &file).success(), "the file system of the ground knows immutable files");
    let ran = cluster.plugin(&["restore", &name, "--yes"]);
    let left = beside_data(&cluster, &target);
    for old in &left {
        chattr("-i", &data_volume(&cluster, &target).join(".mariadb-backup").join(old).join(".immutable"));
    }
    ran.ends_with(3).says(".immutable");
    assert_eq!(left.len(), 1, "the old data that could not be removed: {left:?}");
    cluster.healthy();
    is_back(&cluster, 3);
    std::fs::remove_dir_all(data_volume(&cluster, &target).join(".mariadb-backup")).unwrap();
    nothing_is_left(&cluster, 3);
}

#[test]
fn what_nobody_may_remove_refuses_the_restore_before_the_outage_where_nothing_can_be_set_aside() {
    let cluster = Cluster::new("fault-immutable", &["--flavour", "mosk"]);
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    let file = data_volume(&cluster, &cluster.target()).join("mysql/.immutable");
    std::fs::write(&file, "x").unwrap();
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(&file).status().unwrap();
    assert!(chattr("+i").success(), "the file system of the ground knows immutable files");
    let refused = cluster.plugin(&["restore", &name, "--yes"]);
    chattr("-i");
    refused.ends_with(6).says("mysql/.immutable");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    nothing_is_left(&cluster, 3);
}

#[test]
fn old_data_are_kept_when_asked_for_and_are_in_no_later_backup() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    cluster.plugin(&["restore", &name, "--yes", "--keep-old-data"]).ends_with(0).says("old data stay");
    let target = cluster.target();
    let kept = beside_data(&cluster, &target);
    assert!(kept.len() == 1 && kept[0].starts_with("old-"), "{kept:?}");
    let old = data_volume(&cluster, &target).join(".mariadb-backup").join(&kept[0]);
    assert!(old.join("regret/later.ibd").exists(), "the data from before the restore are whole");
    cluster.healthy();
    let next = cluster.created(&["create"]);
    let tables = "SELECT GROUP_CONCAT(table_name) FROM information_schema.tables WHERE table_schema = 'regret'";
    let drilled = cluster.plugin(&["drill", &next, "--query", tables]).ends_with(0);
    assert!(drilled.stdout.contains("kept") && !drilled.stdout.contains("later"), "{}", drilled.stdout);
    is_back(&cluster, 3);
    std::fs::remove_dir_all(data_volume(&cluster, &target).join(".mariadb-backup")).unwrap();
    for pod in pods(3) {
        assert_eq!(beside_data(&cluster, &pod), [""; 0]);
    }
}
