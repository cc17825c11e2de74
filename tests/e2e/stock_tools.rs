//! A server started on a backup by stock tools only: what a person without this product would do.

use std::collections::BTreeSet;

use serde_json::json;

use crate::ground::{Cluster, Ledger, kubectl, run, scratch_file, seqno, until};

/// A pod with the backup volume.
struct VolumePod<'a> {
    cluster: &'a Cluster,
    name: &'static str,
}

impl<'a> VolumePod<'a> {
    fn start(cluster: &'a Cluster, name: &'static str, script: &str) -> Self {
        run("kubectl", &["delete", "pod", name, "-n", &cluster.namespace, "--ignore-not-found", "--grace-period=1"]);
        let set = cluster.kubectl_json(&["get", "statefulset", "mariadb-server"]);
        let manifest = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": cluster.namespace},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsUser": 999, "runAsGroup": 999, "fsGroup": 999},
                "containers": [{
                    "name": "shell",
                    "image": set["spec"]["template"]["spec"]["containers"][0]["image"],
                    "command": ["bash", "-c", script],
                    "volumeMounts": [
                        {"name": "store", "mountPath": "/var/backup"},
                        {"name": "work", "mountPath": "/restore"},
                        {"name": "work", "mountPath": "/run/mysqld", "subPath": "run"},
                    ],
                }],
                "volumes": [
                    {"name": "store", "persistentVolumeClaim": {"claimName": "mariadb-phy-backup-data"}},
                    {"name": "work", "emptyDir": {}},
                ],
            },
        });
        let file = scratch_file(name, &manifest.to_string());
        kubectl(&["apply", "-f", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
        let pod = Self { cluster, name };
        until("the pod with the backup volume runs", || {
            let seen = cluster.kubectl_json(&["get", "pod", name]);
            (seen["status"]["phase"] == "Running").then_some(())
        });
        pod
    }

    fn shell(&self, script: &str) -> String {
        self.cluster.kubectl(&["exec", self.name, "--", "bash", "-c", script])
    }
}

impl Drop for VolumePod<'_> {
    fn drop(&mut self) {
        run("kubectl", &["delete", "pod", self.name, "-n", &self.cluster.namespace, "--grace-period=1"]);
    }
}

/// A server on a backup unpacked with `zstd` and `mbstream` and prepared with `mariadb-backup`.
pub(crate) struct StockServer<'a> {
    pod: VolumePod<'a>,
    /// The Galera position `--prepare` recovered.
    pub(crate) position: String,
}

const UNPACK_AND_START: &str = r#"
set -euo pipefail
mkdir -p /restore/data && cd /restore
increment=
for directory in $CHAIN; do
  into=/restore/data
  if [ -n "$increment" ]; then into=/restore/increment; rm -rf $into; mkdir $into; fi
  zstd -dc "/var/backup/$directory/backup.mbstream.zst" | mbstream -x -C $into
  mariadb-backup --prepare --target-dir=/restore/data $increment > /restore/prepare.log 2>&1 || tail -n 20 /restore/prepare.log
  tail -n 1 /restore/prepare.log | grep -q 'completed OK!'
  increment=--incremental-dir=/restore/increment
done
cat > /restore/my.cnf <<'END'
[mariadbd]
datadir=/restore/data
socket=/run/mysqld/stock.sock
pid-file=/restore/stock.pid
skip-networking
skip-grant-tables
wsrep_on=OFF
tmpdir=/restore
END
setsid mariadbd --defaults-file=/restore/my.cnf > /restore/server.log 2>&1 < /dev/null &
for try in $(seq 100); do
  mariadb --socket=/run/mysqld/stock.sock -e 'SELECT 1' > /dev/null 2>&1 && break
  sleep 0.2
done
mariadb --socket=/run/mysqld/stock.sock -e 'SELECT 1' > /dev/null
touch /restore/ready
sleep 900
"#;

impl<'a> StockServer<'a> {
    /// One on a full backup.
    pub(crate) fn start(cluster: &'a Cluster, backup: &str) -> Self {
        Self::start_chain(cluster, &[format!("base/{backup}")])
    }

    /// One on a chain, by the directories in the store: the base first.
    pub(crate) fn start_chain(cluster: &'a Cluster, directories: &[String]) -> Self {
        let script = format!("CHAIN=\"{}\"\n{UNPACK_AND_START}", directories.join(" "));
        let pod = VolumePod::start(cluster, "stock-restore", &script);
        until("the restored server answers", || {
            let seen = run("kubectl", &["exec", pod.name, "-n", &cluster.namespace, "--", "ls", "/restore/ready"]);
            let phase = cluster.kubectl_json(&["get", "pod", pod.name])["status"]["phase"].clone();
            assert_eq!(phase, "Running", "stock tools failed: {}", cluster.kubectl(&["logs", pod.name]));
            (seen.code == 0).then_some(())
        });
        let position = pod.shell("sed 's/ .*//' /restore/data/*_galera_info | head -n 1");
        Self { pod, position }
    }

    /// Fails the test unless the server holds every commit the ledger has up to a position, whole.
    #[track_caller]
    pub(crate) fn holds(&self, ledger: &Ledger, position: &str) {
        let position = seqno(position);
        let commits = ledger.commits();
        let restored: BTreeSet<i64> = self.numbers("SELECT n FROM ledger.entries").into_iter().collect();
        // What the ledger wrote down is the cluster's position right after a commit, never less than its own.
        let before = |n: &&i64| commits[*n] <= position;
        let missing: Vec<_> = commits.keys().filter(before).filter(|n| !restored.contains(n)).collect();
        assert!(commits.keys().filter(before).count() > 20, "too few commits before {position} to prove anything");
        assert!(missing.is_empty(), "acknowledged before the backup's position {position}, and lost: {missing:?}");
        let torn = "SELECT n FROM ledger.entries e WHERE (SELECT COUNT(*) FROM ledger.halves h WHERE h.n = e.n) <> 2 \
                    UNION SELECT h.n FROM ledger.halves h LEFT JOIN ledger.entries e ON e.n = h.n WHERE e.n IS NULL";
        assert_eq!(self.numbers(torn), [0i64; 0], "torn transactions");
        // As the ledger's own rows say, none is other than it was written.
        assert_eq!(self.numbers("SELECT n FROM ledger.entries WHERE sum <> SHA2(payload, 256)"), [0i64; 0]);
    }

    /// One column of numbers.
    pub(crate) fn numbers(&self, statement: &str) -> Vec<i64> {
        let text = self.pod.shell(&format!("mariadb --socket=/run/mysqld/stock.sock -BNe '{statement}'"));
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}
