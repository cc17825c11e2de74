//! From flags to settings: the same keys and texts as in the cluster's ConfigMap.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cli::{RestoreSettingFlags, S3Flags, SettingFlags, SetupFlags};
use super::connect::{Session, quoted};
use crate::adapters::kubernetes::preflight::Preflight;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::model::settings::{BadSetting, Settings};
use crate::render::screen::Screen;

/// Values of flags of which what is expected shows none.
const EXAMPLES: [(&str, &str); 5] = [
    ("--keep", "7"),
    ("--parallel", "4"),
    ("--compression-level", "3"),
    ("--s3-endpoint", "https://s3.example"),
    ("--s3-max-parts", "1000"),
];

/// A setting that a flag may give.
pub(crate) struct Given {
    key: &'static str,
    flag: &'static str,
    text: Option<String>,
}

impl Given {
    pub(crate) fn new(key: &'static str, flag: &'static str, text: Option<String>) -> Self {
        Self { key, flag, text }
    }
}

/// Writes the given flags as settings.
///
/// # Errors
/// Names the flag whose value is not understood.
pub(crate) fn of_flags(flags: &SettingFlags) -> Result<BTreeMap<String, String>, Failure> {
    checked(&backup(flags))
}

/// The same for a cluster's settings, where S3 and restores are among them.
pub(crate) fn of_setup_flags(flags: &SetupFlags) -> Result<BTreeMap<String, String>, Failure> {
    let all = backup(&flags.settings).into_iter().chain(bucket(&flags.s3)).chain(restore(&flags.restore));
    let all: Vec<Given> = all.collect();
    checked(&all)
}

/// Takes the settings that were given, when every one is understood.
pub(crate) fn checked(given: &[Given]) -> Result<BTreeMap<String, String>, Failure> {
    let texts = given.iter().filter_map(|one| Some((one.key.to_owned(), one.text.clone()?))).collect();
    // Whose they are does not matter here.
    Settings::read("", &BTreeMap::new(), &texts).map_err(|bad| {
        let flag = given.iter().find(|one| one.key == bad.key).map_or(bad.key.as_str(), |one| one.flag);
        let what = format!("{flag} is \"{}\", expected {}", bad.value, bad.expected);
        let failure = Failure::new(ExitCode::Usage, what);
        match EXAMPLES.iter().find(|(of, _)| *of == flag) {
            Some((_, value)) => failure.with_hint(format!("an example: {flag} {value}")),
            None => failure,
        }
    })?;
    Ok(texts)
}

/// Settings of an order as the flags they were given by, each with a space before it; never the image of the agent.
pub(crate) fn as_flags(settings: &BTreeMap<String, String>) -> String {
    let known = backup(&SettingFlags::default());
    let flag = |(key, value): (&String, &String)| {
        let given = known.iter().find(|one| one.key == key && one.flag != "--agent-image")?;
        // These are flags with a unit, and settings in seconds.
        let is_time = key.ends_with("_TIMEOUT") || key.ends_with("_CYCLE");
        Some(format!(" {} {}{}", given.flag, quoted(value), if is_time { "s" } else { "" }))
    };
    settings.iter().filter_map(flag).collect()
}

fn seconds(limit: Option<Duration>) -> Option<String> {
    limit.map(|limit| limit.as_secs_f64().ceil().to_string())
}

fn backup(flags: &SettingFlags) -> Vec<Given> {
    let flags = flags.clone();
    vec![
        Given::new("MARIADB_BACKUP_STORE", "--store", flags.store),
        Given::new("MARIADB_BACKUP_VERIFY", "--verify", flags.verify),
        Given::new("MARIADB_BACKUP_ON_CORRUPT", "--on-corrupt", flags.on_corrupt),
        Given::new("MARIADB_BACKUPS_TO_KEEP", "--keep", flags.keep),
        Given::new("MARIADB_FULL_BACKUP_CYCLE", "--full-cycle", seconds(flags.full_cycle)),
        Given::new("MARIADB_BACKUP_REQUIRED_SPACE_RATIO", "--required-space-ratio", flags.required_space_ratio),
        Given::new("MARIADB_BACKUP_COMPRESSION_LEVEL", "--compression-level", flags.compression_level),
        Given::new("MARIADB_BACKUP_PARALLEL", "--parallel", flags.parallel),
        Given::new("MARIADB_BACKUP_THROTTLE", "--throttle", flags.throttle),
        Given::new("MARIADB_BACKUP_BWLIMIT", "--bwlimit", flags.bwlimit),
        Given::new("MARIADB_BACKUP_PVC", "--store-claim", flags.store_claim),
        Given::new("MARIADB_BACKUP_OPERATOR_SECRET", "--operator-secret", flags.operator_secret),
        Given::new("MARIADB_BACKUP_SECRET", "--backup-secret", flags.backup_secret),
        Given::new("MARIADB_BACKUP_AGENT_IMAGE", "--agent-image", flags.agent_image),
        Given::new("MARIADB_BACKUP_TIMEOUT", "--copy-timeout", seconds(flags.copy_timeout)),
        Given::new("MARIADB_BACKUP_STALL_TIMEOUT", "--stall-timeout", seconds(flags.stall_timeout)),
        Given::new("MARIADB_BACKUP_START_TIMEOUT", "--start-timeout", seconds(flags.start_timeout)),
        Given::new("MARIADB_BACKUP_DRAIN_TIMEOUT", "--drain-timeout", seconds(flags.drain_timeout)),
        Given::new("MARIADB_BACKUP_RESYNC_TIMEOUT", "--resync-timeout", seconds(flags.resync_timeout)),
        Given::new("MARIADB_BACKUP_FTWRL_WAIT_TIMEOUT", "--ftwrl-wait-timeout", seconds(flags.ftwrl_wait_timeout)),
    ]
}

/// The settings a restore may be given for itself.
pub(crate) fn of_restore_flags(flags: &RestoreSettingFlags) -> Result<BTreeMap<String, String>, Failure> {
    checked(&restore(flags))
}

fn restore(flags: &RestoreSettingFlags) -> Vec<Given> {
    vec![
        Given::new("MARIADB_BACKUP_FLAVOUR", "--flavour", flags.flavour.clone()),
        Given::new("MARIADB_BACKUP_BOOTSTRAP", "--bootstrap", flags.bootstrap.clone()),
        Given::new("MARIADB_OPENSSL_KEK_SECRET", "--original-key-secret", flags.original_key_secret.clone()),
        Given::new("MARIADB_RESTORE_STOP_TIMEOUT", "--restore-stop-timeout", seconds(flags.restore_stop_timeout)),
        Given::new("MARIADB_RESTORE_START_TIMEOUT", "--restore-start-timeout", seconds(flags.restore_start_timeout)),
        Given::new("MARIADB_RESTORE_JOIN_TIMEOUT", "--restore-join-timeout", seconds(flags.restore_join_timeout)),
    ]
}

fn bucket(flags: &S3Flags) -> Vec<Given> {
    let flags = flags.clone();
    vec![
        Given::new("MARIADB_BACKUP_S3_ENDPOINT", "--s3-endpoint", flags.s3_endpoint),
        Given::new("MARIADB_BACKUP_S3_BUCKET", "--s3-bucket", flags.s3_bucket),
        Given::new("MARIADB_BACKUP_S3_PREFIX", "--s3-prefix", flags.s3_prefix),
        Given::new("MARIADB_BACKUP_S3_REGION", "--s3-region", flags.s3_region),
        Given::new("MARIADB_BACKUP_S3_SECRET", "--s3-secret", flags.s3_secret),
        Given::new("MARIADB_BACKUP_S3_CA_CONFIGMAP", "--s3-ca-configmap", flags.s3_ca_configmap),
        Given::new("MARIADB_BACKUP_S3_PATH_STYLE", "--s3-path-style", flags.s3_path_style),
        Given::new("MARIADB_BACKUP_S3_CHECKSUMS", "--s3-checksums", flags.s3_checksums),
        Given::new("MARIADB_BACKUP_S3_MAX_PARTS", "--s3-max-parts", flags.s3_max_parts),
    ]
}

/// Reads a cluster's settings under the overrides, and warns of keys nobody reads.
pub(crate) async fn settings(
    session: &Session,
    screen: &mut Screen,
    statefulset: &str,
    overrides: &BTreeMap<String, String>,
) -> Result<Settings, Failure> {
    let connection = session.connection()?;
    let preflight = Preflight::new(connection.client.clone(), &connection.target.namespace);
    let stored = preflight.settings(statefulset).await.map_err(|error| session.failure(&error))?;
    let map = Settings::config_map_name(statefulset);
    for key in Settings::unknown_keys(&stored) {
        screen.warn(&format!("ConfigMap {map} has a key that means nothing: {key}"));
    }
    Settings::read(statefulset, &stored, overrides)
        .map_err(|bad| not_understood(&bad, &map, &connection.target.namespace, session))
}

/// A stored setting that is not understood, and where it is changed.
pub(crate) fn not_understood(bad: &BadSetting, map: &str, namespace: &str, session: &Session) -> Failure {
    Failure::new(ExitCode::Usage, bad.to_string())
        .with_cause(format!("it is in ConfigMap {map}"))
        .with_hint(session.reached(&format!("kubectl edit configmap {map} -n {namespace}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_given_flags_override_and_parts_of_a_second_count() {
        let flags = SettingFlags {
            keep: Some("3".to_owned()),
            start_timeout: Some(Duration::from_millis(1500)),
            ..SettingFlags::default()
        };
        let expected = [("MARIADB_BACKUPS_TO_KEEP", "3"), ("MARIADB_BACKUP_START_TIMEOUT", "2")];
        assert_eq!(of_flags(&flags).unwrap(), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn settings_are_written_as_the_flags_they_were_given_by() {
        let flags = SettingFlags {
            keep: Some("3".to_owned()),
            start_timeout: Some(Duration::from_mins(2)),
            agent_image: Some("old".to_owned()),
            ..SettingFlags::default()
        };
        assert_eq!(as_flags(&of_flags(&flags).unwrap()), " --keep 3 --start-timeout 120s");
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_by_its_flag_before_anything_is_asked() {
        let flags = SettingFlags { bwlimit: Some("fast".to_owned()), ..SettingFlags::default() };
        let failure = of_flags(&flags).unwrap_err();
        let expected = "--bwlimit is \"fast\", expected a number of bytes, such as 1048576, 50M or 50Mi";
        assert_eq!((failure.code, failure.message.as_str()), (ExitCode::Usage, expected));
    }
}
