//! Restored data that do not serve: the old cluster comes back, with every commit that was ever acknowledged.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::ground::{Cluster, run, until};
use crate::restore_faults::fill_up;
use crate::restore_shapes::all_serve;
use crate::restores::{
    Cordoned, backed_up_and_lost, backed_up_and_lost_in_silence, beside_data, data_volume, is_as_it_was, is_back,
    nothing_is_left, ordered, pods, until_in,
};
use crate::run::{Run, Signal, Who};

/// While it lives, restored data are never called Ready: the probe's password is younger than any backup.
pub(crate) struct YoungerPassword<'a> {
    cluster: &'a Cluster,
    before: String,
    is_given_back: bool,
}

impl<'a> YoungerPassword<'a> {
    #[track_caller]
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let template = "go-template={{.data.password | base64decode}}";
        let before = cluster.kubectl(&["get", "secret", "mariadb-root", "-o", template]);
        let younger = Self { cluster, before, is_given_back: false };
        younger.give("younger");
        younger
    }

    fn give(&self, password: &str) {
        self.cluster.sql("mariadb-server-0", &format!("ALTER USER root@localhost IDENTIFIED BY '{password}'"));
        self.cluster.kubectl(&["patch", "secret", "mariadb-root", "--type", "merge", "-p", &secret_with(password)]);
    }

    /// The old cluster is back, with what was done after the backup; all is given back as it was.
    #[track_caller]
    pub(crate) fn the_old_cluster_is_back(mut self) {
        let cluster = self.cluster;
        until("the cluster is Ready with the younger password", || (cluster.ready() == 3).then_some(()));
        is_as_it_was_by(cluster, "younger");
        self.give(&self.before);
        self.is_given_back = true;
        cluster.healthy();
        if let Some(client) = cluster.client.take() {
            client.has_everything(cluster);
        }
        nothing_is_left(cluster, 3);
    }
}

fn secret_with(password: &str) -> String {
    let client = format!("[client]\nuser=root\npassword={password}\nsocket=/run/mysqld/mysqld.sock\n");
    serde_json::json!({"stringData": {"password": password, "client.cnf": client}}).to_string()
}

impl Drop for YoungerPassword<'_> {
    /// A test that fails must not take those after it along.
    fn drop(&mut self) {
        if self.is_given_back {
            return;
        }
        let namespace = ["-n", &self.cluster.namespace];
        let alter = format!("ALTER USER root@localhost IDENTIFIED BY '{}'", self.before);
        let login = format!("mariadb -uroot -pyounger --socket=/run/mysqld/mysqld.sock -e \"{alter}\"");
        let exec = ["exec", "mariadb-server-0", "-c", "mariadb", "--", "bash", "-c", &login];
        run("kubectl", &[&namespace[..], &exec].concat());
        let patch = ["patch", "secret", "mariadb-root", "--type", "merge", "-p", &secret_with(&self.before)];
        run("kubectl", &[&namespace[..], &patch].concat());
    }
}

#[test]
fn restored_data_that_do_not_serve_are_undone_and_the_old_cluster_is_back() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let younger = YoungerPassword::new(&cluster);
    // Asked of Kubernetes: the ground does not know root's password any more.
    let pods = "jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}";
    let servers = || cluster.kubectl(&["get", "pods", "-l", "application=mariadb", "-o", pods]);
    let before = servers();
    let refused = cluster.plugin(&["restore", &name, "--yes"]).ends_with(12).says("the cluster was not touched");
    assert!(refused.stderr.contains("the password of root that the servers' own pods use today"), "{}", refused.stderr);
    assert_eq!(servers(), before, "a server was restarted");

    let against_advice = ["restore", &name, "--yes", "--ignore-logins", "--restore-start-timeout", "20s"];
    let failed = cluster.plugin(&against_advice);
    let failed = failed.ends_with(14).says("the old cluster is back");
    assert!(failed.stderr.contains("is not Ready"), "{}", failed.stderr);
    younger.the_old_cluster_is_back();
}

/// Takes away what a server that is stopped has.
fn lose_the_data_of(cluster: &Cluster, pod: &str) {
    std::fs::remove_dir_all(data_volume(cluster, pod).join("mysql")).unwrap();
}

#[test]
fn where_nothing_can_be_undone_the_cluster_is_started_from_the_replica_that_a_person_chooses() {
    let cluster = Cluster::new("chosen", &[]);
    let name = backed_up_and_lost_in_silence(&cluster);
    let mut younger = YoungerPassword::new(&cluster);
    let leader = cluster.target();
    let filler = fill_up(&cluster, &leader, 250 << 20);
    let flags = ["restore", &name, "--yes", "--ignore-logins", "--restore-start-timeout", "20s"];
    let run = Run::order(&cluster, &flags);
    // The way back are the other replicas, until they are lost.
    until("the old data are given up", || (cluster.obligation()?["debt"]["stage"] == "starting").then_some(()));
    for pod in pods(3).iter().filter(|pod| **pod != leader) {
        lose_the_data_of(&cluster, pod);
    }
    let failed = run.end_of_any();
    std::fs::remove_file(filler).unwrap();
    let failed = failed.ends_with(15).says("no volume holds old data");
    let ordinal = leader.rsplit('-').next().unwrap();
    failed.says(" --leader ORDINAL");
    cluster.plugin(&["recover", "--leader", "7", "--yes"]).ends_with(6).says("has no ordinal 7");
    cluster.plugin(&["recover", "--leader", ordinal]).ends_with(2).says("add --yes");
    // The servers get the password that the restored data know.
    cluster.kubectl(&["patch", "secret", "mariadb-root", "--type", "merge", "-p", &secret_with(&younger.before)]);
    younger.is_given_back = true;
    cluster.plugin(&["recover", "--leader", ordinal, "--yes"]).ends_with(0).says("was chosen to start the cluster");
    all_serve(&cluster, 3);
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
    cluster.plugin(&["create"]).ends_with(0);
}

/// Where the data lie that are to be put in place.
#[track_caller]
fn prepared(cluster: &Cluster, pod: &str) -> PathBuf {
    let ours = data_volume(cluster, pod).join(".mariadb-backup");
    let mut places: Vec<_> = beside_data(cluster, pod).iter().map(|name| ours.join(name).join("base")).collect();
    places.retain(|place| place.join("ibdata1").exists());
    assert_eq!(places.len(), 1, "{places:?}");
    places.remove(0)
}

#[test]
fn a_runner_deleted_before_it_has_put_the_old_data_back_leaves_the_old_cluster_serving_until_it_is_sent_again() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let younger = YoungerPassword::new(&cluster);
    let restore = ordered(&cluster, &name, &["--ignore-logins", "--restore-start-timeout", "40s"]);
    until_in(&cluster, &restore, &["starting"]);
    let place = ["get", "pod", &cluster.target(), "--ignore-not-found", "-o", "jsonpath={.spec.nodeName}"];
    let node = until("the leader has its node", || Some(cluster.kubectl(&place)).filter(|node| !node.is_empty()));
    let cordoned = Cordoned::new(node);
    let runner = restore.refiller("put-back");
    cluster.kubectl(&["delete", "pod", &runner]);
    drop(cordoned);
    restore.end().ends_with(15).says("mariadb-backup recover");
    cluster.plugin(&["recover"]).ends_with(14).says("the old cluster is back");
    younger.the_old_cluster_is_back();
}

#[test]
fn a_server_that_cannot_start_on_the_restored_data_is_undone_and_the_old_cluster_is_back() {
    let cluster = Cluster::with_data();
    let name = backed_up_and_lost(&cluster);
    let run = ordered(&cluster, &name, &["--restore-start-timeout", "30s"]);
    until_in(&cluster, &run, &["stopping"]);
    // They were proven: what happens to them now is found by nobody but the server.
    let system = prepared(&cluster, &cluster.target()).join("ibdata1");
    let file = std::fs::OpenOptions::new().write(true).open(&system).unwrap();
    file.write_all_at(&vec![0xff; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    run.end().ends_with(14).says("the old cluster is back");
    cluster.healthy();
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}

/// Kills a restore while it is undone, and looks at what the next run makes of it.
#[track_caller]
pub(crate) fn is_undone_by_the_next(cluster: &Cluster) {
    let name = backed_up_and_lost(cluster);
    let younger = YoungerPassword::new(cluster);
    let run = ordered(cluster, &name, &["--ignore-logins", "--restore-start-timeout", "20s"]);
    until_in(cluster, &run, &["rolling-back"]);
    run.signal(Who::Conductor, "", Signal::Kill);
    assert_eq!(run.end().code, 4);
    cluster.plugin(&["recover"]).ends_with(14).says("the old cluster is back");
    younger.the_old_cluster_is_back();
}

#[test]
fn a_restore_killed_while_it_is_undone_is_undone_by_the_next() {
    let cluster = Cluster::with_data();
    is_undone_by_the_next(&cluster);
}

/// As [`is_as_it_was`] while root has another password than the ground thinks.
#[track_caller]
fn is_as_it_was_by(cluster: &Cluster, password: &str) {
    let tables = "SELECT GROUP_CONCAT(table_name) FROM information_schema.tables WHERE table_schema = 'regret'";
    for pod in pods(3) {
        let login = format!("mariadb -uroot -p{password} --socket=/run/mysqld/mysqld.sock -BNe \"{tables}\"");
        let exec = ["exec", &pod, "-n", &cluster.namespace, "-c", "mariadb", "--", "bash", "-c", &login];
        let found = run("kubectl", &exec);
        assert_eq!((found.code, found.stdout.trim()), (0, "later"), "on {pod}: {found:?}");
    }
}
