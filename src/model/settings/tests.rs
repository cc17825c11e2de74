//! Which settings win, and which are refused.

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_way_in_which_servers_start_is_found_out_or_said() {
    let read = |text: &str| {
        let stored = BTreeMap::from([("MARIADB_BACKUP_FLAVOUR".to_owned(), text.to_owned())]);
        Settings::read("db", &stored, &BTreeMap::new()).map(|settings| settings.flavour)
    };
    assert_eq!((read("auto").unwrap(), read("plain").unwrap()), (None, Some(Flavour::Plain)));
    assert_eq!(read("bitnami").unwrap(), Some(Flavour::Bitnami));
    let state_config_map = "state".to_owned();
    assert_eq!(read("openstack-helm/state").unwrap(), Some(Flavour::OpenstackHelm { state_config_map }));
    for bad in ["openstack-helm", "openstack-helm/", "mosk", ""] {
        assert!(read(bad).is_err(), "{bad}");
    }
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
