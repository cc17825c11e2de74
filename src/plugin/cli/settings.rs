//! Flags that are settings: `setup` stores them for the cluster, other commands take them for one run.

use std::time::Duration;

use clap::Args;

use crate::plugin::duration::parse_duration;

/// Settings of a backup.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingFlags {
    /// Stores to use
    #[arg(long, value_name = "STORE", value_parser = ["local", "s3", "both"])]
    pub(crate) store: Option<String>,
    /// How much of the existing backups is read before a new one is made
    #[arg(long, value_name = "DEPTH", value_parser = ["quick", "changed", "full"])]
    pub(crate) verify: Option<String>,
    /// What becomes of a backup that is damaged in every store: the run fails, or it is set aside
    #[arg(long, value_name = "WHAT", value_parser = ["fail", "quarantine"])]
    pub(crate) on_corrupt: Option<String>,
    /// Full backups to keep, with their increments
    #[arg(long, value_name = "NUMBER")]
    pub(crate) keep: Option<String>,
    /// Age of the newest full backup at which an incremental one becomes a full one, such as 168h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) full_cycle: Option<Duration>,
    /// Free space wanted, as a multiple of the data's size
    #[arg(long, value_name = "RATIO")]
    pub(crate) required_space_ratio: Option<String>,
    /// zstd level, -7 to 19
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub(crate) compression_level: Option<String>,
    /// Copy threads of mariadb-backup
    #[arg(long, value_name = "NUMBER")]
    pub(crate) parallel: Option<String>,
    /// Pairs of reads and writes a second mariadb-backup limits itself to; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    pub(crate) throttle: Option<String>,
    /// Most bytes sent to S3 a second, such as 50Mi; 0 for no limit
    #[arg(long, value_name = "BYTES")]
    pub(crate) bwlimit: Option<String>,
    /// Claim of the local store
    #[arg(long, value_name = "NAME")]
    pub(crate) store_claim: Option<String>,
    /// Secret (username, password) of the account that may desync
    #[arg(long, value_name = "NAME")]
    pub(crate) operator_secret: Option<String>,
    /// Secret (username, password) of the account mariadb-backup uses
    #[arg(long, value_name = "NAME")]
    pub(crate) backup_secret: Option<String>,
    /// Image with the agent
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub(crate) agent_image: Option<String>,
    /// Longest time for one copy
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) copy_timeout: Option<Duration>,
    /// Longest time without a byte copied
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) stall_timeout: Option<Duration>,
    /// Longest time until a pod of the run works
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) start_timeout: Option<Duration>,
    /// Longest time for traffic to leave a primary before it is copied
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// Longest time for the replica to catch up again
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) resync_timeout: Option<Duration>,
    /// Longest time mariadb-backup waits for the global lock
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) ftwrl_wait_timeout: Option<Duration>,
}

/// Settings of a restore.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Restore")]
pub(crate) struct RestoreSettingFlags {
    /// In which way the servers start, where that is not found out by itself or found out wrongly: auto, plain, bitnami,
    /// or openstack-helm/CONFIGMAP
    #[arg(long, value_name = "WAY")]
    pub(crate) flavour: Option<String>,
    /// How servers are told to start the cluster; auto: where that is known by itself; grastate: their
    /// start script goes by `safe_to_bootstrap` in grastate.dat
    #[arg(long, value_name = "HOW", value_parser = ["auto", "grastate"])]
    pub(crate) bootstrap: Option<String>,
    /// Secret (`openssl_kek`) with the key for encrypted backups of MOSK's job
    #[arg(long, value_name = "NAME")]
    pub(crate) original_key_secret: Option<String>,
    /// Longest time for the cluster to stop
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) restore_stop_timeout: Option<Duration>,
    /// Longest time for the first replica to serve, before the old cluster is brought back
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) restore_start_timeout: Option<Duration>,
    /// Longest time for the other replicas to join
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) restore_join_timeout: Option<Duration>,
}

/// Where the bucket is and how it is reached: the same for every run, so only `setup` takes them.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "S3")]
#[expect(clippy::struct_field_names, reason = "the flags are called so")]
pub(crate) struct S3Flags {
    /// URL of the S3 server; AWS when not given
    #[arg(long, value_name = "URL")]
    pub(crate) s3_endpoint: Option<String>,
    /// Bucket
    #[arg(long, value_name = "NAME")]
    pub(crate) s3_bucket: Option<String>,
    /// What every key in the bucket begins with; by default NAMESPACE/STATEFULSET
    #[arg(long, value_name = "PREFIX")]
    pub(crate) s3_prefix: Option<String>,
    /// Region of the bucket
    #[arg(long, value_name = "REGION")]
    pub(crate) s3_region: Option<String>,
    /// Secret with the access keys; by default the runner's own identity is used
    #[arg(long, value_name = "NAME")]
    pub(crate) s3_secret: Option<String>,
    /// ConfigMap (ca.crt) with the authority of the S3 server's certificate
    #[arg(long, value_name = "NAME")]
    pub(crate) s3_ca_configmap: Option<String>,
    /// Whether the bucket stands in the path instead of the host name; auto: where an endpoint is set
    #[arg(long, value_name = "WHETHER", value_parser = ["auto", "true", "false"])]
    pub(crate) s3_path_style: Option<String>,
    /// When the S3 library sends sums; auto: only where a call demands it, where an endpoint is set
    #[arg(long, value_name = "WHEN", value_parser = ["auto", "when_required", "when_supported"])]
    pub(crate) s3_checksums: Option<String>,
    /// Most parts the S3 server takes in one upload
    #[arg(long, value_name = "NUMBER")]
    pub(crate) s3_max_parts: Option<String>,
}

/// Takes what can be the name of an image: with any other no pod ever starts, and every run waits for one.
fn image(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    Err("an image is named like registry.example/mariadb-backup-agent:0.1.0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_image_is_refused_before_any_pod_waits_for_it() {
        for good in ["agent", "localhost/agent:6c19", "registry.example:5000/a/agent@sha256:00ff", "a/b_c.d:v1-2"] {
            assert_eq!(image(good).as_deref(), Ok(good));
        }
        for bad in ["", "bad image", "-agent", ":5000/agent", "agent\n", "ägent"] {
            assert!(image(bad).is_err(), "{bad:?}");
        }
    }
}
