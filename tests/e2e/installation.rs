//! The plugin as it is handed out: installed as krew does it, run and completed by the real kubectl, removed.
//!
//! Nothing of it needs a pod: what is to be completed lies in a namespace of its own, with nothing to run.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::ground::{Ran, kubectl, must, only_on_the_ground};

const NAMESPACE: &str = "typed";

/// A home with krew's folders, in which nothing but the real kubectl is found.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for folder in ["tools", "krew/bin", "krew/store"] {
            std::fs::create_dir_all(home.path(folder)).unwrap();
        }
        symlink(must("sh", &["-c", "command -v kubectl"]), home.path("tools/kubectl")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        let path = format!("{}:{}:/usr/bin:/bin", self.path("krew/bin").display(), self.path("tools").display());
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", path).env("HOME", self.0.path()).env("COLUMNS", "200");
        Ran::of(command.output().unwrap())
    }

    /// Installs what was packed, in the steps of krew's installer, and returns the plugin's name.
    fn install(&self, packed: &Path) -> String {
        let manifest = std::fs::read_to_string(packed.join("mariadb-backup.yaml")).unwrap();
        let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
        let platform = &manifest["spec"]["platforms"][0];
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let (name, version) = (word(&manifest["metadata"]["name"]), word(&manifest["spec"]["version"]));
        let archive = packed.join(word(&platform["uri"]).rsplit('/').next().unwrap());
        let archive = archive.to_str().unwrap();
        let sum = must("sha256sum", &[archive]);
        assert_eq!(sum.split(' ').next().unwrap(), word(&platform["sha256"]));
        // Without a list of files, all of the archive is installed.
        assert_eq!(platform.get("files"), None);
        let store = self.path(&format!("krew/store/{name}/{version}"));
        std::fs::create_dir_all(&store).unwrap();
        must("tar", &["-xzf", archive, "-C", store.to_str().unwrap()]);
        assert!(store.join("LICENSE").is_file());
        let program = store.join(word(&platform["bin"]));
        symlink(program, self.path(&format!("krew/bin/kubectl-{}", name.replace('-', "_")))).unwrap();
        name
    }

    /// Removes it in the steps of krew's uninstaller.
    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(&format!("krew/bin/kubectl-{}", name.replace('-', "_")))).unwrap();
        std::fs::remove_dir_all(self.path(&format!("krew/store/{name}"))).unwrap();
    }

    /// What kubectl's own script offers in bash after Tab at the end of a line.
    fn offered(&self, words: &[&str]) -> Vec<String> {
        let script = "source /usr/share/bash-completion/bash_completion
            source <(kubectl completion bash)
            COMP_WORDS=(kubectl \"$@\"); COMP_CWORD=$#; COMP_LINE=\"kubectl $*\"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
            __start_kubectl; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let ran = self.run("bash", &[&["--norc", "-c", script, "bash"], words].concat());
        ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

/// The plugin that the other tests use.
fn plugin() -> String {
    must("sh", &["-c", "command -v kubectl-mariadb_backup"])
}

fn packed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/krew/pack.sh");
    must(pack, &[&plugin(), folder.path().to_str().unwrap()]);
    folder
}

#[test]
fn what_is_packed_is_installed_run_and_removed_as_krew_does_it() {
    only_on_the_ground();
    let home = Home::new();
    let before = home.run("kubectl", &["mariadb-backup", "version", "--client"]);
    assert_eq!(before.code, 1, "kubectl knows the plugin before it is installed: {}", before.stdout);
    let name = home.install(packed().path());
    let listed = home.run("kubectl", &["plugin", "list"]).ends_with(0);
    assert!(
        listed.stdout.contains(home.path("krew/bin/kubectl-mariadb_backup").to_str().unwrap()),
        "{}",
        listed.stdout
    );
    let ran = home.run("kubectl", &["mariadb-backup", "version", "--client"]).ends_with(0);
    assert_eq!(ran.stdout, format!("Plugin: {}\n", env!("CARGO_PKG_VERSION")));
    home.run("kubectl", &["mariadb-backup", "lsit"]).ends_with(2).says("kubectl mariadb-backup");
    home.remove(&name);
    home.run("kubectl", &["mariadb-backup", "version", "--client"]).ends_with(1).says("unknown command");
}

#[test]
fn every_kind_of_word_is_completed_by_kubectl_s_own_script() {
    only_on_the_ground();
    let home = Home::new();
    symlink(plugin(), home.path("krew/bin/kubectl-mariadb_backup")).unwrap();
    home.run("kubectl", &["mariadb-backup", "completion", "install"]).ends_with(0);
    something_to_complete();
    let cases: [(&str, &[&str]); 11] = [
        ("stat", &["status"]),
        ("schedule res", &["resume"]),
        ("list --conte", &["--context"]),
        ("list --context gro", &["ground"]),
        ("list -n typ", &[NAMESPACE]),
        (
            "create --type ",
            &[
                "full (Everything)",
                "incremental (What changed since the last backup, where that is possible; else everything)",
            ],
        ),
        ("list -n typed ", &["galera"]),
        (
            "restore -n typed ",
            &["2000-01-03_00-00-00 (full", "2000-01-02_00-00-00 (incremental", "2000-01-01_00-00-00 (full"],
        ),
        ("delete -n typed 2000-01-03_00-00-00 2000-01-02", &["2000-01-02_00-00-00"]),
        ("schedule suspend -n typed ", &["nightly"]),
        ("logs -n typed ", &["mariadb-phy-backup-typed"]),
    ];
    for (line, expected) in cases {
        // However busy this machine is must not matter.
        let words: Vec<&str> =
            ["mariadb-backup", "--request-timeout", "1m"].into_iter().chain(line.split(' ')).collect();
        let offered = home.offered(&words);
        assert_eq!(offered.len(), expected.len(), "{line}: {offered:?}");
        for (offered, expected) in offered.iter().zip(expected) {
            assert!(offered.starts_with(expected), "{line}: {offered}, not {expected}");
        }
    }
    kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]);
}

/// A cluster without replicas with three backups, a schedule that is suspended, and a run that never begins.
fn something_to_complete() {
    let ours = |name: &str| {
        json!({"name": name, "namespace": NAMESPACE, "labels": {
        "app.kubernetes.io/managed-by": "kubectl-mariadb-backup", "mariadb-backup.io/statefulset": "galera"}})
    };
    let pod = json!({"metadata": {"labels": {"app": "galera"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "mariadb"}]}});
    let served =
        json!({"metadata": {"labels": {"app": "galera"}}, "spec": {"containers": [{"name": "c", "image": "mariadb"}]}});
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let sums = json!({
        "base/2000-01-01_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5},
        "base/2000-01-03_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5},
        "incr/2000-01-01_00-00-00/2000-01-02_00-00-00/backup.mbstream.zst": {"checksum": "aa", "size": 5}});
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": ours("galera"), "spec": {"replicas": 0, "serviceName": "s",
            "selector": {"matchLabels": {"app": "galera"}}, "volumeClaimTemplates": [claim], "template": served}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": ours("galera-backup-hash"), "data": {"hash_table": sums.to_string()}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": ours("nightly"), "spec": {"schedule": "30 2 * * *",
            "suspend": true, "jobTemplate": {"spec": {"template": pod}}}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": ours("mariadb-phy-backup-typed"), "spec": {"suspend": true, "template": pod}}),
    ];
    let file = tempfile::NamedTempFile::new().unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(file.path(), list.to_string()).unwrap();
    // One of a test that failed may still be there.
    kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
    kubectl(&["apply", "-f", file.path().to_str().unwrap()]);
}
