//! The ledger: a client that knows which of its commits were acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Cluster, ground, run, until};
use crate::oracle::item;
use crate::restores::pods;

/// The ledger writer of one cluster, stopped when dropped.
pub(crate) struct Ledger {
    namespace: String,
    /// The last commit of the writers before this one: a restore may have taken those back since.
    before: i64,
}

impl Ledger {
    #[track_caller]
    pub(crate) fn start(cluster: &Cluster) -> Self {
        // One that a test before this one was killed with.
        run("ground", &["ledger", "stop", "--namespace", &cluster.namespace]);
        let written = run("ground", &["ledger", "read", "--namespace", &cluster.namespace, "-o", "json"]).stdout;
        let before = acknowledged(&written).into_keys().next_back().unwrap_or_default();
        ground(&["ledger", "start", "--namespace", &cluster.namespace]);
        let ledger = Self { namespace: cluster.namespace.clone(), before };
        until("the ledger has commits", || (ledger.commits().len() > 20).then_some(()));
        ledger
    }

    /// Fails the test unless clients can still write.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let before = self.commits().len();
        until("the ledger goes on", || (self.commits().len() > before).then_some(()));
    }

    /// Every commit acknowledged to this writer: its number and the position the cluster gave it.
    pub(crate) fn commits(&self) -> BTreeMap<i64, i64> {
        let text = ground(&["ledger", "read", "--namespace", &self.namespace, "-o", "json"]);
        acknowledged(&text).split_off(&(self.before + 1))
    }
}

/// Reads what the ledger wrote down.
fn acknowledged(text: &str) -> BTreeMap<i64, i64> {
    let commits: Value = serde_json::from_str(text).unwrap_or_default();
    let pair = |commit: &Value| Some((commit["n"].as_i64()?, commit["seqno"].as_i64()?));
    commits.as_array().into_iter().flatten().filter_map(pair).collect()
}

impl Drop for Ledger {
    fn drop(&mut self) {
        run("ground", &["ledger", "stop", "--namespace", &self.namespace]);
    }
}

/// The number in a position, which stands behind the history it is of.
pub(crate) fn seqno(position: &str) -> i64 {
    position.rsplit(':').next().unwrap().parse().unwrap()
}

/// What the ledger wrote down is the cluster's position right after a commit, never less than its own; a handful may
/// have been under way with it.
const UNDER_WAY: i64 = 20;

/// A client that writes all the time, and knows what it was promised before anything was restored.
pub(crate) struct Client {
    ledger: Ledger,
    /// Where the backup stands that is restored.
    position: i64,
    /// The commits acknowledged until its restore was ordered.
    commits: BTreeMap<i64, i64>,
}

impl Client {
    /// Waits until the ledger is well past a backup, so that a restore of it takes some commits back.
    #[track_caller]
    pub(crate) fn until_well_past(cluster: &Cluster, backup: &str, ledger: Ledger) -> Self {
        let position = item(cluster, backup)["position"].as_str().unwrap().to_owned();
        let position = seqno(&position);
        let late = |commits: &BTreeMap<i64, i64>| commits.values().filter(|at| **at > position + UNDER_WAY).count();
        let commits = until("the ledger is well past the backup", || {
            let commits = ledger.commits();
            (late(&commits) > 20).then_some(commits)
        });
        let before = commits.values().filter(|at| **at <= position).count();
        assert!(before > 20, "{before} commits before {position} prove nothing");
        Self { ledger, position, commits }
    }

    /// Every commit acknowledged up to the backup is on every replica, of those acknowledged well after it none, and
    /// clients go on.
    #[track_caller]
    pub(crate) fn has_what_the_backup_has(self, cluster: &Cluster, replicas: u32) {
        let Self { ledger, position, commits } = self;
        ledger.goes_on();
        drop(ledger);
        for pod in pods(replicas) {
            let there = numbers(cluster, &pod);
            let lost: Vec<_> = commits.iter().filter(|(n, at)| **at <= position && !there.contains(n)).collect();
            assert!(lost.is_empty(), "acknowledged up to {position} and lost on {pod}: {lost:?}");
            let late = commits.iter().filter(|(n, at)| **at > position + UNDER_WAY && there.contains(n));
            assert_eq!(late.collect::<Vec<_>>(), [], "acknowledged after {position} and on {pod} all the same");
        }
    }

    /// Every commit that was ever acknowledged is on every replica, and clients go on.
    #[track_caller]
    pub(crate) fn has_everything(self, cluster: &Cluster) {
        self.ledger.goes_on();
        let commits = self.ledger.commits();
        drop(self.ledger);
        for pod in pods(3) {
            let there = numbers(cluster, &pod);
            let lost: Vec<_> = commits.keys().filter(|n| !there.contains(n)).collect();
            assert!(lost.is_empty(), "acknowledged and lost on {pod}: {lost:?}");
        }
    }
}

/// The row numbers of the ledger that one replica has.
fn numbers(cluster: &Cluster, pod: &str) -> BTreeSet<i64> {
    // What the group has committed is waited for.
    let all = "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT n FROM ledger.entries";
    let text = ground(&["sql", "--namespace", &cluster.namespace, pod, all]);
    text.lines().skip(1).map(|line| line.trim().parse().unwrap()).collect()
}
