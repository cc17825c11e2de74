//! A server started on a backup by stock tools only: what a person without this product would do.

use serde_json::json;

use crate::ground::{Cluster, kubectl, run, scratch_file, until};

/// Runs a shell script in a pod of the server's image with the backup volume at `/var/backup`.
pub(crate) fn on_the_backup_volume(cluster: &Cluster, script: &str) -> String {
    let pod = VolumePod::start(cluster, "volume-shell", "sleep 600");
    pod.shell(script)
}

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
zstd -dc "/var/backup/base/$BACKUP/backup.mbstream.zst" | mbstream -x -C /restore/data
mariadb-backup --prepare --target-dir=/restore/data > /restore/prepare.log 2>&1
tail -n 1 /restore/prepare.log | grep -q 'completed OK!'
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
    pub(crate) fn start(cluster: &'a Cluster, backup: &str) -> Self {
        let pod = VolumePod::start(cluster, "stock-restore", &format!("BACKUP={backup}\n{UNPACK_AND_START}"));
        until("the restored server answers", || {
            let seen = run("kubectl", &["exec", pod.name, "-n", &cluster.namespace, "--", "ls", "/restore/ready"]);
            let phase = cluster.kubectl_json(&["get", "pod", pod.name])["status"]["phase"].clone();
            assert_eq!(phase, "Running", "stock tools failed: {}", cluster.kubectl(&["logs", pod.name]));
            (seen.code == 0).then_some(())
        });
        let position = pod.shell("sed 's/ .*//' /restore/data/*_galera_info | head -n 1");
        Self { pod, position }
    }

    /// One column of numbers.
    pub(crate) fn numbers(&self, statement: &str) -> Vec<i64> {
        let text = self.pod.shell(&format!("mariadb --socket=/run/mysqld/stock.sock -BNe '{statement}'"));
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}
