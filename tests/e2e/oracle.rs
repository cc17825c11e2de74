//! What every run must leave behind, whatever was broken, killed or full: asked in one place.
//!
//! No replica desynced without a record that says who owes it; nothing listed that is not whole, and
//! nothing whole that neither the catalogue nor `verify` knows; the Lease free or about to be; and the
//! next run works and leaves nothing of the one that died.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::ground::{Cluster, ground, run, until, until_within};

/// The oracle of one test.
pub(crate) struct Oracle<'a> {
    cluster: &'a Cluster,
    before: BTreeSet<String>,
}

impl<'a> Oracle<'a> {
    /// Looks at a healthy cluster before it is broken.
    #[track_caller]
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        cluster.healthy();
        Self { cluster, before: listed(cluster) }
    }

    /// After a run that failed: nothing new is listed, and every desync has its record.
    #[track_caller]
    pub(crate) fn nothing_came_of_it(&self) {
        self.every_desync_is_explained();
        let listed = listed(self.cluster);
        let new: Vec<_> = listed.difference(&self.before).collect();
        assert!(new.is_empty(), "a failed run listed {new:?}");
    }

    /// After a run that succeeded: the names of what is new.
    #[track_caller]
    pub(crate) fn new_backups(&self) -> Vec<String> {
        listed(self.cluster).difference(&self.before).cloned().collect()
    }

    /// A replica that is desynced is named by an obligation.
    #[track_caller]
    pub(crate) fn every_desync_is_explained(&self) {
        let owed = self.cluster.obligation();
        let named = owed.as_ref().and_then(|owed| owed["debt"]["pod"].as_str()).unwrap_or_default();
        for pod in self.cluster.pods_that_answer() {
            let count = self.cluster.status(&pod, "wsrep_desync_count");
            assert!(count == "0" || pod == named, "{pod} is desynced ({count}) and nothing says why: {owed:?}");
        }
    }

    /// The end of a test: the next run works, and after it all is as if nothing had ever been broken.
    #[track_caller]
    pub(crate) fn all_is_well(self) {
        self.every_desync_is_explained();
        self.cluster.plugin(&["create"]).ends_with(0);
        self.nothing_is_left();
    }

    /// The same for a test whose last run was that next run.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        self.cluster.healthy();
        assert_eq!(self.cluster.obligation(), None, "an obligation is left");
        lease_is_free(self.cluster);
        no_runner_is_left(self.cluster);
        stores_hold_what_is_listed(self.cluster);
    }
}

/// Names of everything the catalogue has.
#[track_caller]
fn listed(cluster: &Cluster) -> BTreeSet<String> {
    cluster.listed().into_iter().collect()
}

/// Free at once, or held by a run that is dead: one that lives renews it every few seconds.
#[track_caller]
fn lease_is_free(cluster: &Cluster) {
    until("the Lease is free, or its holder is dead", || {
        let lease = &cluster.kubectl_json(&["get", "lease", "mariadb-server-backup"])["spec"];
        let held = lease["holderIdentity"].as_str().is_some_and(|holder| !holder.is_empty());
        let renewed: jiff::Timestamp = lease["renewTime"].as_str().unwrap().parse().unwrap();
        let dead = jiff::Timestamp::now().duration_since(renewed).as_secs() > 8;
        (!held || dead).then_some(())
    });
}

/// Pods of runners end with their runs.
#[track_caller]
fn no_runner_is_left(cluster: &Cluster) {
    until_within(Duration::from_secs(30), "no runner's pod is left", || {
        let pods = cluster.kubectl_json(&["get", "pods", "-l", "app.kubernetes.io/component=runner"]);
        pods["items"].as_array()?.is_empty().then_some(())
    });
}

/// What is listed verifies to the last byte; what lies there is listed; nothing unfinished is left.
#[track_caller]
fn stores_hold_what_is_listed(cluster: &Cluster) {
    let items = items(cluster);
    let on = |store: &str| -> BTreeSet<String> {
        let there = items.iter().filter(|item| item[store] == "present");
        there.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let verified = cluster.plugin(&["verify", "--deep"]);
    let said = format!("{}{}", verified.stdout, verified.stderr);
    let unknown = |there: BTreeSet<String>, listed: BTreeSet<String>, store: &str| {
        let missing: Vec<_> = listed.difference(&there).collect();
        assert!(missing.is_empty(), "listed as {store} and not there: {missing:?}");
        let unnamed: Vec<_> = there.difference(&listed).filter(|name| !said.contains(name.as_str())).collect();
        assert!(unnamed.is_empty(), "in {store}, and neither listed nor named by verify: {unnamed:?}\n{said}");
        there.len() > listed.len()
    };
    let strays = unknown(on_volume(cluster), on("local"), "local") | unknown(in_bucket(cluster), on("s3"), "s3");
    verified.ends_with(if strays { 3 } else { 0 });
    nothing_unfinished(cluster);
}

#[track_caller]
fn nothing_unfinished(cluster: &Cluster) {
    if let Some(root) = volume(cluster) {
        let left = entries(&root.join(".unfinished"));
        assert!(left.is_empty(), "unfinished work is left on the volume: {left:?}");
    }
    if cluster.uses_s3() {
        let uploads = ground(&["s3", "uploads", "--namespace", "demo"]);
        assert_eq!(uploads, "", "unfinished uploads are left in the bucket");
    }
}

/// The listing as it is printed for programs.
#[track_caller]
pub(crate) fn items(cluster: &Cluster) -> Vec<Value> {
    let list = cluster.plugin(&["list", "-o", "json"]).ends_with(0).stdout;
    let list: Value = serde_json::from_str(&list).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// One backup in the listing.
#[track_caller]
pub(crate) fn item(cluster: &Cluster, name: &str) -> Value {
    let found = items(cluster).into_iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not listed"))
}

/// Where this machine sees the backup volume, once the claim has one.
pub(crate) fn volume(cluster: &Cluster) -> Option<PathBuf> {
    let found = run("ground", &["volume-path", "--namespace", &cluster.namespace, "mariadb-phy-backup-data"]);
    (found.code == 0).then(|| PathBuf::from(found.stdout.trim()))
}

/// The names of the whole backups on the volume.
pub(crate) fn on_volume(cluster: &Cluster) -> BTreeSet<String> {
    let Some(root) = volume(cluster) else { return BTreeSet::new() };
    let fulls = entries(&root.join("base"));
    let increments = entries(&root.join("incr")).into_iter().flat_map(|base| entries(&base));
    let whole = |path: &PathBuf| path.join("manifest.json").exists() || path.join("backup.successful").exists();
    fulls.into_iter().chain(increments).filter(whole).map(|path| file_name(&path)).collect()
}

/// The names of the whole backups in the bucket.
pub(crate) fn in_bucket(cluster: &Cluster) -> BTreeSet<String> {
    let keys = bucket_keys(cluster);
    let directories = keys.iter().filter_map(|key| key.strip_suffix("/manifest.json"));
    directories.map(|directory| file_name(Path::new(directory))).collect()
}

/// The keys this cluster has in the bucket.
pub(crate) fn bucket_keys(cluster: &Cluster) -> Vec<String> {
    if !cluster.uses_s3() {
        return Vec::new();
    }
    let objects = ground(&["s3", "list", "--namespace", "demo", "-o", "json"]);
    let objects: Value = serde_json::from_str(&objects).unwrap();
    let prefix = format!("{}/mariadb-server/", cluster.namespace);
    let keys = objects.as_array().unwrap().iter().filter_map(|object| object["key"].as_str());
    keys.filter(|key| key.starts_with(&prefix)).map(str::to_owned).collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
