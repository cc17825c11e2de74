//! From flags to settings: the same keys and texts as in the cluster's ConfigMap.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cli::SettingFlags;
use super::connect::Session;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::render::screen::Screen;

/// Writes the given flags as settings.
pub(crate) fn of_flags(flags: &SettingFlags) -> BTreeMap<String, String> {
    let seconds = |limit: &Option<Duration>| limit.map(|limit| limit.as_secs_f64().ceil().to_string());
    let all = [
        ("MARIADB_BACKUPS_TO_KEEP", flags.keep.clone()),
        ("MARIADB_BACKUP_REQUIRED_SPACE_RATIO", flags.required_space_ratio.clone()),
        ("MARIADB_BACKUP_COMPRESSION_LEVEL", flags.compression_level.clone()),
        ("MARIADB_BACKUP_PARALLEL", flags.parallel.clone()),
        ("MARIADB_BACKUP_PVC", flags.store_claim.clone()),
        ("MARIADB_BACKUP_OPERATOR_SECRET", flags.operator_secret.clone()),
        ("MARIADB_BACKUP_SECRET", flags.backup_secret.clone()),
        ("MARIADB_BACKUP_AGENT_IMAGE", flags.agent_image.clone()),
        ("MARIADB_BACKUP_TIMEOUT", seconds(&flags.copy_timeout)),
        ("MARIADB_BACKUP_STALL_TIMEOUT", seconds(&flags.stall_timeout)),
        ("MARIADB_BACKUP_START_TIMEOUT", seconds(&flags.start_timeout)),
        ("MARIADB_BACKUP_RESYNC_TIMEOUT", seconds(&flags.resync_timeout)),
        ("MARIADB_BACKUP_FTWRL_WAIT_TIMEOUT", seconds(&flags.ftwrl_wait_timeout)),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
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
    Settings::read(statefulset, &stored, overrides).map_err(|bad| {
        let by_flag = overrides.contains_key(&bad.key);
        let failure = Failure::new(ExitCode::Usage, bad.to_string());
        if by_flag {
            return failure.with_cause("it was given by a flag");
        }
        let edit = format!("kubectl edit configmap {map} -n {}", connection.target.namespace);
        failure.with_cause(format!("it is in ConfigMap {map}")).with_hint(edit)
    })
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
        assert_eq!(of_flags(&flags), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
