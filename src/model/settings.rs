//! The settings of one cluster's backups.
//!
//! They live in the ConfigMap `<statefulset>-backup`, one key each, so that the plugin, a CronJob
//! and a second operator agree. Keys are named as the original's environment where it has the
//! setting. An order may override any of them for one run, with the same keys and the same texts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bytes::of_quantity;
use super::order::{Bootstrap, Depth, OnCorrupt, StoreName};
use super::workload::Flavour;

/// Where a setting was wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting {key} is \"{value}\", expected {expected}")]
pub struct BadSetting {
    /// The key in the ConfigMap.
    pub key: String,
    /// The text found.
    pub value: String,
    /// What would have been understood.
    pub expected: &'static str,
}

/// The settings, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Image with the agent.
    pub agent_image: String,
    /// Claim of the local store.
    pub store_claim: String,
    /// Secret with `username` and `password` of the account that may desync.
    pub operator_secret: String,
    /// Secret with `username` and `password` of the account mariadb-backup uses.
    pub backup_secret: String,
    /// Secret with the key for encrypted backups of the original, if there are any.
    pub original_key_secret: Option<String>,
    /// ConfigMap with the catalogue.
    pub hash_config_map: String,
    /// Which stores are used.
    pub stores: StoresWish,
    /// The bucket and how to reach it; its `prefix` is empty when none is set.
    pub s3: S3Settings,
    /// How much of the existing backups is read before a new one is made.
    pub verify: Depth,
    /// What becomes of a backup that is damaged wherever it lies.
    pub on_corrupt: OnCorrupt,
    /// Full backups to keep, with their increments.
    pub backups_to_keep: u32,
    /// Free space wanted, as a multiple of the data's size.
    pub required_space_ratio: f64,
    /// Age of the newest full backup after which an incremental one becomes full.
    pub full_backup_cycle: Duration,
    /// Longest time for one copy.
    pub copy_timeout: Duration,
    /// Longest time without a byte copied.
    pub stall_timeout: Duration,
    /// Longest time until a runner's containers run.
    pub start_timeout: Duration,
    /// Longest time for the receive queue to drain, and again for the replica to be Synced and Ready.
    pub resync_timeout: Duration,
    /// Longest time mariadb-backup waits for the global lock.
    pub ftwrl_wait_timeout: Duration,
    /// Longest time for traffic to leave a primary before it is copied.
    pub drain_timeout: Duration,
    /// zstd level.
    pub compression_level: i32,
    /// Copy threads of mariadb-backup.
    pub parallel: u32,
    /// Pairs of reads and writes a second mariadb-backup limits itself to; 0 for no limit.
    pub throttle: u32,
    /// Free bytes on the data volume below which a copy is given up.
    pub data_free_bytes: u64,
    /// In which way the servers start; `None` where that is found out by itself.
    pub flavour: Option<Flavour>,
    /// How servers are told who starts the cluster; `None` where that is known by itself.
    pub bootstrap: Option<Bootstrap>,
    /// Longest time for the cluster to stop when it is restored.
    pub restore_stop_timeout: Duration,
    /// Longest time for the first replica to serve restored data, before the old cluster is brought back.
    pub restore_start_timeout: Duration,
    /// Longest time for the other replicas to join.
    pub restore_join_timeout: Duration,
}

/// Which stores are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoresWish {
    /// The volume alone.
    Local,
    /// S3 alone: nothing is kept in the cluster.
    S3,
    /// The volume, with S3 following it.
    Both,
}

impl StoresWish {
    /// Whether the volume is used.
    #[must_use]
    pub fn local(self) -> bool {
        self != Self::S3
    }

    /// Whether S3 is used.
    #[must_use]
    pub fn s3(self) -> bool {
        self != Self::Local
    }

    /// Whether that store is used.
    #[must_use]
    pub fn uses(self, store: StoreName) -> bool {
        match store {
            StoreName::Local => self.local(),
            StoreName::S3 => self.s3(),
        }
    }
}

/// The bucket and how to reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// The server; AWS when missing.
    pub endpoint: Option<String>,
    /// The bucket; empty when none is set.
    pub bucket: String,
    /// What every key begins with; empty for `<namespace>/<statefulset>`.
    pub prefix: String,
    /// The region.
    pub region: String,
    /// Whether the bucket stands in the path; when missing, wherever an endpoint is set.
    pub path_style: Option<bool>,
    /// Whether sums are only sent where a call demands it; when missing, wherever an endpoint is set.
    pub checksums_when_required: Option<bool>,
    /// The most parts the server takes in one upload.
    pub max_parts: u32,
    /// The most bytes sent a second; 0 for no limit.
    pub bytes_per_sec: u64,
    /// Secret with the keys; without it the pod's own identity is used.
    pub secret: Option<String>,
    /// ConfigMap with `ca.crt`.
    pub ca_config_map: Option<String>,
}

/// One setting: key, default and what it means.
pub struct Key {
    /// The key in the ConfigMap.
    pub name: &'static str,
    /// The text that stands for the default; `{}` is the StatefulSet's name.
    pub default: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
}

/// The name of a cluster's catalogue when no other is set; `{}` stands for the cluster.
const USUAL_CATALOGUE: &str = "{}-backup-hash";

/// All keys, in the order they are documented.
pub const KEYS: [Key; 37] = [
    Key {
        name: "MARIADB_BACKUP_AGENT_IMAGE",
        default: concat!("ghcr.io/mariadb-backup/agent:", env!("CARGO_PKG_VERSION")),
        meaning: "image with the agent",
    },
    Key { name: "MARIADB_BACKUP_PVC", default: "mariadb-phy-backup-data", meaning: "claim of the local store" },
    Key {
        name: "MARIADB_BACKUP_OPERATOR_SECRET",
        default: "mariadb-backup-operator",
        meaning: "Secret (username, password) of the account that may set wsrep_desync",
    },
    Key {
        name: "MARIADB_BACKUP_SECRET",
        default: "mariadb-backup",
        meaning: "Secret (username, password) of the account mariadb-backup uses",
    },
    Key {
        name: "MARIADB_OPENSSL_KEK_SECRET",
        default: "",
        meaning: "Secret (openssl_kek) with the key for encrypted backups of MOSK's job; empty for none",
    },
    Key { name: "MARIADB_BACKUP_HASH_CONFIGMAP", default: USUAL_CATALOGUE, meaning: "ConfigMap with the catalogue" },
    Key { name: "MARIADB_BACKUP_STORE", default: "local", meaning: "stores to use: local, s3 or both" },
    Key { name: "MARIADB_BACKUP_S3_ENDPOINT", default: "", meaning: "URL of the S3 server; empty for AWS" },
    Key { name: "MARIADB_BACKUP_S3_BUCKET", default: "", meaning: "bucket" },
    Key {
        name: "MARIADB_BACKUP_S3_PREFIX",
        default: "",
        meaning: "what every key in the bucket begins with; empty for <namespace>/<statefulset>",
    },
    Key { name: "MARIADB_BACKUP_S3_REGION", default: "us-east-1", meaning: "region of the bucket" },
    Key {
        name: "MARIADB_BACKUP_S3_SECRET",
        default: "",
        meaning: "Secret (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY); empty for the runner's own identity",
    },
    Key {
        name: "MARIADB_BACKUP_S3_CA_CONFIGMAP",
        default: "",
        meaning: "ConfigMap (ca.crt) with the authority of the S3 server's certificate",
    },
    Key {
        name: "MARIADB_BACKUP_S3_PATH_STYLE",
        default: "auto",
        meaning: "bucket in the path: true, false, or auto (true where an endpoint is set)",
    },
    Key {
        name: "MARIADB_BACKUP_S3_CHECKSUMS",
        default: "auto",
        meaning: "sums of the S3 library: when_required, when_supported, or auto (when_required where an endpoint is set)",
    },
    Key {
        name: "MARIADB_BACKUP_S3_MAX_PARTS",
        default: "10000",
        meaning: "most parts the S3 server takes in one upload",
    },
    Key {
        name: "MARIADB_BACKUP_BWLIMIT",
        default: "0",
        meaning: "most bytes sent to S3 a second, such as 50Mi; 0 for no limit",
    },
    Key {
        name: "MARIADB_BACKUP_VERIFY",
        default: "changed",
        meaning: "existing backups read before a new one: quick, changed (what was not read since it changed) or full",
    },
    Key {
        name: "MARIADB_BACKUP_ON_CORRUPT",
        default: "fail",
        meaning: "backups damaged in every store: fail, or quarantine (set them aside and go on)",
    },
    Key { name: "MARIADB_BACKUPS_TO_KEEP", default: "10", meaning: "full backups to keep, with their increments" },
    Key {
        name: "MARIADB_BACKUP_REQUIRED_SPACE_RATIO",
        default: "1.2",
        meaning: "free space wanted, as a multiple of the data's size",
    },
    Key {
        name: "MARIADB_FULL_BACKUP_CYCLE",
        default: "604800",
        meaning: "seconds after which an incremental backup becomes a full one",
    },
    Key { name: "MARIADB_BACKUP_TIMEOUT", default: "21600", meaning: "seconds one copy may take" },
    Key {
        name: "MARIADB_BACKUP_STALL_TIMEOUT",
        default: "300",
        meaning: "seconds without a byte copied after which a copy counts as hung",
    },
    Key { name: "MARIADB_BACKUP_START_TIMEOUT", default: "300", meaning: "seconds until a runner pod must run" },
    Key {
        name: "MARIADB_BACKUP_RESYNC_TIMEOUT",
        default: "600",
        meaning: "seconds for a replica to catch up and be Synced and Ready",
    },
    Key {
        name: "MARIADB_BACKUP_FTWRL_WAIT_TIMEOUT",
        default: "60",
        meaning: "seconds mariadb-backup may wait for the global lock",
    },
    Key {
        name: "MARIADB_BACKUP_DRAIN_TIMEOUT",
        default: "60",
        meaning: "seconds for traffic to leave a primary before it is copied",
    },
    Key { name: "MARIADB_BACKUP_COMPRESSION_LEVEL", default: "1", meaning: "zstd level, -7 to 19" },
    Key { name: "MARIADB_BACKUP_PARALLEL", default: "2", meaning: "copy threads of mariadb-backup" },
    Key {
        name: "MARIADB_BACKUP_THROTTLE",
        default: "0",
        meaning: "pairs of reads and writes a second mariadb-backup limits itself to; 0 for no limit",
    },
    Key {
        name: "MARIADB_BACKUP_DATA_FREE",
        default: "256Mi",
        meaning: "free bytes on the data volume below which a copy is given up",
    },
    Key {
        name: "MARIADB_BACKUP_FLAVOUR",
        default: "auto",
        meaning: "in which way the servers start: auto (found out by itself), plain, bitnami, or openstack-helm/CONFIGMAP",
    },
    Key {
        name: "MARIADB_BACKUP_BOOTSTRAP",
        default: "auto",
        meaning: "how a restore starts the cluster: auto (where that is known by itself) or grastate (safe_to_bootstrap)",
    },
    Key {
        name: "MARIADB_RESTORE_STOP_TIMEOUT",
        default: "600",
        meaning: "seconds for the cluster to stop when it is restored",
    },
    Key {
        name: "MARIADB_RESTORE_START_TIMEOUT",
        default: "600",
        meaning: "seconds for the first replica to serve restored data, before the old cluster is brought back",
    },
    Key {
        name: "MARIADB_RESTORE_JOIN_TIMEOUT",
        default: "21600",
        meaning: "seconds for the other replicas to join a restored one",
    },
];

impl Settings {
    /// The name of the ConfigMap with a cluster's settings.
    #[must_use]
    pub fn config_map_name(statefulset: &str) -> String {
        format!("{statefulset}-backup")
    }

    /// The cluster whose catalogue a ConfigMap of that name is, where it has the usual one.
    #[must_use]
    pub fn cluster_of_catalogue(config_map: &str) -> Option<&str> {
        config_map.strip_suffix(USUAL_CATALOGUE.trim_start_matches("{}")).filter(|name| !name.is_empty())
    }

    /// Reads the settings: `overrides` win over `stored`, which wins over the defaults.
    ///
    /// # Errors
    /// Names the first key whose text is not understood.
    pub fn read(
        statefulset: &str,
        stored: &BTreeMap<String, String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, BadSetting> {
        let texts = Texts { statefulset, stored, overrides };
        Ok(Self {
            agent_image: texts.name("MARIADB_BACKUP_AGENT_IMAGE")?,
            store_claim: texts.name("MARIADB_BACKUP_PVC")?,
            operator_secret: texts.name("MARIADB_BACKUP_OPERATOR_SECRET")?,
            backup_secret: texts.name("MARIADB_BACKUP_SECRET")?,
            original_key_secret: texts.given("MARIADB_OPENSSL_KEK_SECRET"),
            hash_config_map: texts.name("MARIADB_BACKUP_HASH_CONFIGMAP")?,
            stores: texts.choice(
                "MARIADB_BACKUP_STORE",
                "local, s3 or both",
                &[("local", StoresWish::Local), ("s3", StoresWish::S3), ("both", StoresWish::Both)],
            )?,
            s3: texts.s3()?,
            verify: texts.choice(
                "MARIADB_BACKUP_VERIFY",
                "quick, changed or full",
                &[("quick", Depth::Quick), ("changed", Depth::Changed), ("full", Depth::Full)],
            )?,
            on_corrupt: texts.choice(
                "MARIADB_BACKUP_ON_CORRUPT",
                "fail or quarantine",
                &[("fail", OnCorrupt::Fail), ("quarantine", OnCorrupt::Quarantine)],
            )?,
            backups_to_keep: texts.number("MARIADB_BACKUPS_TO_KEEP", 1, 100_000)?,
            required_space_ratio: texts.ratio("MARIADB_BACKUP_REQUIRED_SPACE_RATIO")?,
            full_backup_cycle: texts.seconds("MARIADB_FULL_BACKUP_CYCLE")?,
            copy_timeout: texts.seconds("MARIADB_BACKUP_TIMEOUT")?,
            stall_timeout: texts.seconds("MARIADB_BACKUP_STALL_TIMEOUT")?,
            start_timeout: texts.seconds("MARIADB_BACKUP_START_TIMEOUT")?,
            resync_timeout: texts.seconds("MARIADB_BACKUP_RESYNC_TIMEOUT")?,
            ftwrl_wait_timeout: texts.seconds("MARIADB_BACKUP_FTWRL_WAIT_TIMEOUT")?,
            compression_level: texts.level("MARIADB_BACKUP_COMPRESSION_LEVEL")?,
            parallel: texts.number("MARIADB_BACKUP_PARALLEL", 1, 64)?,
            drain_timeout: texts.seconds("MARIADB_BACKUP_DRAIN_TIMEOUT")?,
            throttle: texts.number("MARIADB_BACKUP_THROTTLE", 0, u32::MAX)?,
            data_free_bytes: texts.bytes("MARIADB_BACKUP_DATA_FREE")?,
            flavour: texts.parse(
                "MARIADB_BACKUP_FLAVOUR",
                "auto, plain, bitnami or openstack-helm/CONFIGMAP",
                |text| {
                    if text == "auto" { Some(None) } else { Flavour::parse(text).map(Some) }
                },
            )?,
            bootstrap: texts.choice(
                "MARIADB_BACKUP_BOOTSTRAP",
                "auto or grastate",
                &[("auto", None), ("grastate", Some(Bootstrap::Grastate))],
            )?,
            restore_stop_timeout: texts.seconds("MARIADB_RESTORE_STOP_TIMEOUT")?,
            restore_start_timeout: texts.seconds("MARIADB_RESTORE_START_TIMEOUT")?,
            restore_join_timeout: texts.seconds("MARIADB_RESTORE_JOIN_TIMEOUT")?,
        })
    }

    /// Returns the keys of `stored` that mean nothing to this build, for a warning.
    #[must_use]
    pub fn unknown_keys(stored: &BTreeMap<String, String>) -> Vec<&str> {
        stored.keys().map(String::as_str).filter(|key| KEYS.iter().all(|known| known.name != *key)).collect()
    }
}

struct Texts<'a> {
    statefulset: &'a str,
    stored: &'a BTreeMap<String, String>,
    overrides: &'a BTreeMap<String, String>,
}

impl Texts<'_> {
    fn text(&self, name: &str) -> String {
        let given = self.overrides.get(name).or_else(|| self.stored.get(name));
        given.cloned().unwrap_or_else(|| {
            let key = KEYS.iter().find(|key| key.name == name).expect("every key read is one of KEYS");
            key.default.replace("{}", self.statefulset)
        })
    }

    fn parse<T>(&self, key: &str, expected: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, BadSetting> {
        let text = self.text(key);
        parse(text.trim()).ok_or_else(|| BadSetting { key: key.to_owned(), value: text, expected })
    }

    fn name(&self, key: &str) -> Result<String, BadSetting> {
        self.parse(key, "a name", |text| (!text.is_empty()).then(|| text.to_owned()))
    }

    /// What need not be set.
    fn given(&self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn number(&self, key: &str, least: u32, most: u32) -> Result<u32, BadSetting> {
        self.parse(key, "a positive whole number", |text| text.parse().ok().filter(|n| (least..=most).contains(n)))
    }

    fn s3(&self) -> Result<S3Settings, BadSetting> {
        let auto = |key: &str, expected, yes: &str, no: &str| {
            self.choice(key, expected, &[("auto", None), (yes, Some(true)), (no, Some(false))])
        };
        let url = "a URL that begins with http:// or https://";
        let is_url = |text: &str| text.is_empty() || text.starts_with("http://") || text.starts_with("https://");
        Ok(S3Settings {
            endpoint: self.parse("MARIADB_BACKUP_S3_ENDPOINT", url, |text| {
                is_url(text).then(|| Some(text.trim_end_matches('/').to_owned()).filter(|text| !text.is_empty()))
            })?,
            bucket: self.text("MARIADB_BACKUP_S3_BUCKET"),
            prefix: self.text("MARIADB_BACKUP_S3_PREFIX").trim_matches('/').to_owned(),
            region: self.name("MARIADB_BACKUP_S3_REGION")?,
            path_style: auto("MARIADB_BACKUP_S3_PATH_STYLE", "auto, true or false", "true", "false")?,
            checksums_when_required: auto(
                "MARIADB_BACKUP_S3_CHECKSUMS",
                "auto, when_required or when_supported",
                "when_required",
                "when_supported",
            )?,
            max_parts: self.number("MARIADB_BACKUP_S3_MAX_PARTS", 2, 10_000)?,
            bytes_per_sec: self.bytes("MARIADB_BACKUP_BWLIMIT")?,
            secret: self.given("MARIADB_BACKUP_S3_SECRET"),
            ca_config_map: self.given("MARIADB_BACKUP_S3_CA_CONFIGMAP"),
        })
    }

    fn choice<T: Copy>(&self, key: &str, expected: &'static str, choices: &[(&str, T)]) -> Result<T, BadSetting> {
        self.parse(key, expected, |text| choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice))
    }

    fn bytes(&self, key: &str) -> Result<u64, BadSetting> {
        self.parse(key, "a number of bytes, such as 1048576, 50M or 50Mi", of_quantity)
    }

    fn level(&self, key: &str) -> Result<i32, BadSetting> {
        self.parse(key, "a whole number from -7 to 19", |text| text.parse().ok().filter(|n| (-7..=19).contains(n)))
    }

    fn seconds(&self, key: &str) -> Result<Duration, BadSetting> {
        self.parse(key, "a positive whole number of seconds", |text| {
            text.parse().ok().filter(|n| *n > 0).map(Duration::from_secs)
        })
    }

    fn ratio(&self, key: &str) -> Result<f64, BadSetting> {
        self.parse(key, "a number from 0.01 to 100, such as 1.2", |text| {
            text.parse().ok().filter(|n| (0.01..=100.0).contains(n))
        })
    }
}

#[cfg(test)]
mod tests;
