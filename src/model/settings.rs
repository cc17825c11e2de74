//! The settings of one cluster's backups.
//!
//! They live in the ConfigMap `<statefulset>-backup`, one key each, so that the plugin, a CronJob
//! and a second operator agree. Keys are named as the original's environment where it has the
//! setting. An order may override any of them for one run, with the same keys and the same texts.

use std::collections::BTreeMap;
use std::time::Duration;

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
    /// ConfigMap with the catalogue.
    pub hash_config_map: String,
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
    /// zstd level.
    pub compression_level: i32,
    /// Copy threads of mariadb-backup.
    pub parallel: u32,
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

/// All keys, in the order they are documented.
pub const KEYS: [Key; 15] = [
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
    Key { name: "MARIADB_BACKUP_HASH_CONFIGMAP", default: "{}-backup-hash", meaning: "ConfigMap with the catalogue" },
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
    Key { name: "MARIADB_BACKUP_COMPRESSION_LEVEL", default: "1", meaning: "zstd level, -7 to 19" },
    Key { name: "MARIADB_BACKUP_PARALLEL", default: "2", meaning: "copy threads of mariadb-backup" },
];

impl Settings {
    /// The name of the ConfigMap with a cluster's settings.
    #[must_use]
    pub fn config_map_name(statefulset: &str) -> String {
        format!("{statefulset}-backup")
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
            hash_config_map: texts.name("MARIADB_BACKUP_HASH_CONFIGMAP")?,
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

    fn number(&self, key: &str, least: u32, most: u32) -> Result<u32, BadSetting> {
        self.parse(key, "a positive whole number", |text| text.parse().ok().filter(|n| (least..=most).contains(n)))
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
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_order_wins_over_the_cluster_which_wins_over_the_default() {
        let stored = map(&[("MARIADB_BACKUPS_TO_KEEP", "3"), ("MARIADB_BACKUP_PVC", "elsewhere")]);
        let settings = Settings::read("db", &stored, &map(&[("MARIADB_BACKUPS_TO_KEEP", "5")])).unwrap();
        assert_eq!(settings.backups_to_keep, 5);
        assert_eq!(settings.store_claim, "elsewhere");
        assert_eq!(settings.hash_config_map, "db-backup-hash");
        assert_eq!(settings.full_backup_cycle, Duration::from_hours(7 * 24));
    }

    #[test]
    fn a_wrong_text_is_refused_with_its_key_and_what_was_expected() {
        for (key, value) in [
            ("MARIADB_BACKUP_REQUIRED_SPACE_RATIO", "-1"),
            ("MARIADB_BACKUP_TIMEOUT", "6h"),
            ("MARIADB_BACKUPS_TO_KEEP", "0"),
            ("MARIADB_BACKUP_PVC", ""),
        ] {
            let error = Settings::read("db", &map(&[(key, value)]), &map(&[])).unwrap_err();
            assert_eq!((error.key.as_str(), error.value.as_str()), (key, value));
        }
    }

    #[test]
    fn keys_nobody_reads_are_named() {
        let stored = map(&[("MARIADB_BACKUP_TIMEOUT", "1"), ("MARIADB_BACKUP_TIMOUT", "1")]);
        assert_eq!(Settings::unknown_keys(&stored), ["MARIADB_BACKUP_TIMOUT"]);
    }
}
