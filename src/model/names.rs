//! Names that two sides must agree on: plugin, conductor and runners, and people's own tools.
//!
//! Whatever stands here may be in somebody's selector, role or alert: it does not change.

/// Value of `app.kubernetes.io/name` on everything this product makes.
pub const APP: &str = "mariadb-backup";

/// Value of `app.kubernetes.io/managed-by`, and the field manager of server-side apply.
pub const MANAGER: &str = "kubectl-mariadb-backup";

/// Label with [`APP`].
pub const APP_LABEL: &str = "app.kubernetes.io/name";

/// Label with [`MANAGER`].
pub const MANAGER_LABEL: &str = "app.kubernetes.io/managed-by";

/// Label with the StatefulSet a Job or pod works for.
pub const STATEFULSET_LABEL: &str = "mariadb-backup.io/statefulset";

/// Label with the word for a Job's task.
pub const TASK_LABEL: &str = "mariadb-backup.io/task";

/// Annotation by which servers in the way of openstack-helm are told which of them starts the cluster.
pub const REBOOT_NODE_ANNOTATION: &str = "openstackhelm.openstack.org/reboot.node";

/// Label that Kubernetes puts on the pods of a Job.
pub const JOB_LABEL: &str = "batch.kubernetes.io/job-name";

/// What names of Jobs begin with; the task's word and a random end follow.
pub const JOB_PREFIX: &str = "mariadb-phy-";

/// Service account of the conductor, which holds all rights.
pub const CONDUCTOR_ACCOUNT: &str = "mariadb-backup-conductor";

/// Service account of runners, which holds none.
pub const RUNNER_ACCOUNT: &str = "mariadb-backup-runner";

/// The conductor's container in a Job's pod.
pub const CONDUCTOR_CONTAINER: &str = "conductor";

/// Where conductor and runners find `username` and `password` of the account that may desync.
pub const CONDUCTOR_CREDENTIALS: &str = "/etc/mariadb-backup/operator";

/// Where a runner finds those of the account mariadb-backup uses.
pub const BACKUP_CREDENTIALS: &str = "/etc/mariadb-backup/backup";

/// Where a runner finds the Secrets that the server's own container has, each in a directory of its name.
pub const SERVER_SECRETS_PATH: &str = "/etc/mariadb-backup/server";

/// Labels with which operators of Galera mark the replica that clients write to, and the value they use.
pub const ROLE_LABELS: [&str; 2] = ["mariadb_role", "k8s.mariadb.com/role"];

/// Values of a role label that mean "clients write to this one".
pub const PRIMARY_ROLES: [&str; 2] = ["primary", "master"];

/// Where a runner finds the key for encrypted backups of the original.
pub const ORIGINAL_KEY_PATH: &str = "/etc/mariadb-backup/original-key";

/// The file there, which is the key in its Secret.
pub const ORIGINAL_KEY_FILE: &str = "openssl_kek";

/// Where a runner finds the keys of S3.
pub const S3_CREDENTIALS_PATH: &str = "/etc/mariadb-backup/s3";

/// Where a runner finds the certificates to trust for S3, in `ca.crt`.
pub const S3_CA_PATH: &str = "/etc/mariadb-backup/s3-ca";

/// Where a runner sees the local store, as in the original.
pub const STORE_PATH: &str = "/var/backup";

/// Where a runner sees a volume that was made for it and goes with it.
pub const SCRATCH_VOLUME_PATH: &str = "/var/scratch";

/// Where a runner sees the root of a replica's data volume.
pub const DATA_VOLUME_PATH: &str = "/var/data";

/// The directory on a data volume, beside the data, for everything of a restore.
pub const RESTORE_DIRECTORY: &str = ".mariadb-backup";

/// In it, the scratch a backup is proven in.
pub const PREPARED_DIRECTORY: &str = "prepared";

/// The name of the ConfigMap with a cluster's figures for monitoring.
#[must_use]
pub fn metrics_config_map(statefulset: &str) -> String {
    format!("{statefulset}-backup-metrics")
}

/// Label with the name of the schedule that ordered a Job.
pub const SCHEDULE_LABEL: &str = "mariadb-backup.io/schedule";
