//! A backup of one cluster for another: what the one who is restored has to be told of it.
//!
//! The runs of a cluster read the catalogue of their own namespace only; whoever orders the restore may
//! read both, and takes along what is needed. A volume of backups stays in its namespace: from another one
//! only S3 can be read, with keys of a Secret of the same name there.

use std::collections::BTreeMap;

use crate::adapters::kubernetes::preflight::Preflight;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Catalogue;
use crate::model::chain;
use crate::model::order::ForeignBackup;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::plugin::connect::Session;
use crate::plugin::find;

/// Settings that say where backups lie.
const OF_STORES: &str = "MARIADB_BACKUP_S3_";

/// The cluster that is restored.
pub(super) struct Target {
    pub(super) session: Session,
    pub(super) statefulset: String,
}

/// A backup of another cluster, and the settings by which it is found.
pub(super) struct Foreign {
    pub(super) backup: ForeignBackup,
    pub(super) settings: BTreeMap<String, String>,
}

/// Finds the cluster that is restored: the backup's own where no other is named.
pub(super) async fn target(to: Option<&str>, session: &Session, source: &str) -> Result<Target, Failure> {
    let here = session.connection()?.target.namespace.clone();
    let (namespace, name) = match to.map(|to| to.split_once('/').unwrap_or((here.as_str(), to))) {
        Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
        None => (here, source.to_owned()),
    };
    let session = session.in_namespace(&namespace);
    let session = if to.is_some() { session.of_cluster(Some(&name)) } else { session };
    let statefulset = find::cluster(&session, Some(&name)).await?;
    Ok(Target { session, statefulset })
}

/// Takes along what the other cluster's runs cannot read; `None` when the backup is their own.
pub(super) async fn foreign(
    target: &Target,
    backup: &BackupId,
    catalogue: &Catalogue,
    session: &Session,
    source: &str,
) -> Result<Option<Foreign>, Failure> {
    let connection = session.connection()?;
    let from = &connection.target.namespace;
    let to = &target.session.connection()?.target.namespace;
    if from == to && target.statefulset == source {
        return Ok(None);
    }
    let preflight = Preflight::new(connection.client.clone(), from);
    let stored = preflight.settings(source).await.map_err(|error| session.failure(&error))?;
    let settings = places(&stored, from, source, from == to).ok_or_else(|| {
        let what = format!("the backups of {from}/{source} lie on a volume, which {to} cannot mount");
        Failure::new(ExitCode::Refused, what).with_hint(format!(
            "to have them copied to S3: {}\nand then: {}",
            session.command("setup --store both"),
            session.command("sync --to s3")
        ))
    })?;
    let members = chain::members(catalogue, backup);
    let entries = members.iter().filter_map(|member| Some((member.clone(), catalogue.entry(member)?))).collect();
    let files = members.iter().flat_map(|member| catalogue.files_of(member)).collect();
    let backup = ForeignBackup { cluster: format!("{from}/{source}"), files, entries };
    Ok(Some(Foreign { backup, settings }))
}

/// The settings by which another cluster finds these backups; `None` when it cannot.
fn places(
    stored: &BTreeMap<String, String>,
    namespace: &str,
    source: &str,
    is_here: bool,
) -> Option<BTreeMap<String, String>> {
    let settings = Settings::read(source, stored, &BTreeMap::new()).ok()?;
    let store = match (is_here, settings.stores.s3()) {
        (true, _) => stored.get("MARIADB_BACKUP_STORE").cloned().unwrap_or_else(|| "local".to_owned()),
        (false, true) => "s3".to_owned(),
        (false, false) => return None,
    };
    let of_stores = stored.iter().filter(|(key, _)| key.starts_with(OF_STORES));
    let mut places: BTreeMap<_, _> = of_stores.map(|(key, value)| (key.clone(), value.clone())).collect();
    if settings.s3.prefix.is_empty() {
        places.insert(format!("{OF_STORES}PREFIX"), format!("{namespace}/{source}"));
    }
    places.insert("MARIADB_BACKUP_STORE".to_owned(), store);
    places.insert("MARIADB_BACKUP_PVC".to_owned(), settings.store_claim);
    let key = settings.original_key_secret.into_iter();
    places.extend(key.map(|secret| ("MARIADB_OPENSSL_KEK_SECRET".to_owned(), secret)));
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(store: &str) -> BTreeMap<String, String> {
        let pairs = [
            ("MARIADB_BACKUP_STORE", store),
            ("MARIADB_BACKUP_S3_BUCKET", "b"),
            ("MARIADB_BACKUPS_TO_KEEP", "3"),
            ("MARIADB_OPENSSL_KEK_SECRET", "kek"),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn in_the_same_namespace_both_stores_can_be_read_and_from_another_only_s3() {
        let here = places(&stored("both"), "db", "mariadb", true).unwrap();
        let value = |places: &BTreeMap<String, String>, key: &str| places.get(key).cloned().unwrap_or_default();
        assert_eq!(value(&here, "MARIADB_BACKUP_STORE"), "both");
        assert_eq!(value(&here, "MARIADB_BACKUP_PVC"), "mariadb-phy-backup-data");
        let away = places(&stored("both"), "db", "mariadb", false).unwrap();
        assert_eq!(value(&away, "MARIADB_BACKUP_STORE"), "s3");
        assert_eq!(value(&away, "MARIADB_BACKUP_S3_PREFIX"), "db/mariadb");
        assert_eq!(value(&away, "MARIADB_BACKUP_S3_BUCKET"), "b");
        assert_eq!(value(&away, "MARIADB_OPENSSL_KEK_SECRET"), "kek");
        assert!(!away.contains_key("MARIADB_BACKUPS_TO_KEEP"), "how many are kept is the other one's own affair");
        assert_eq!(places(&stored("local"), "db", "mariadb", false), None);
    }
}
