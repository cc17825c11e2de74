//! The original's format, limits, and what a check changes.

use super::*;

const ORIGINAL: &str = r#"{"base/2026-01-01_00-00-00/backup.stream.gz": {"checksum": "0123456789abcdef0123456789abcdef"},
    "base/2026-01-01_00-00-00/grastate.dat": {"checksum": "0123456789abcdef0123456789abcdee"},
    "incr/2026-01-01_00-00-00/2026-01-02_00-00-00/backup.stream.gz": {"checksum": "0123456789abcdef0123456789abcdef"}}"#;

#[test]
fn a_table_of_the_original_is_understood() {
    let data = BTreeMap::from([(HASH_TABLE_KEY.to_owned(), ORIGINAL.to_owned())]);
    let catalogue = Catalogue::read(&data).unwrap();
    let ids: Vec<_> = catalogue.backups().iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["2026-01-01_00-00-00", "2026-01-01_00-00-00/2026-01-02_00-00-00"]);
    assert!(catalogue.files.values().all(|sum| sum.algorithm() == Some(Algorithm::Md5)));
    assert_eq!(catalogue.size_of(&catalogue.backups()[0]), None);
}

#[test]
fn a_catalogue_is_read_back_as_written() {
    let mut catalogue = Catalogue::read(&BTreeMap::from([(HASH_TABLE_KEY.to_owned(), ORIGINAL.to_owned())])).unwrap();
    let id = catalogue.backups()[1].clone();
    catalogue.enter_check(&id, Verdict::Read, Verdict::Unseen, "2026-01-03T00:00:00Z".parse().unwrap());
    assert_eq!(Catalogue::read(&catalogue.write()).unwrap(), catalogue);
}

#[test]
fn sizes_that_cannot_be_are_no_reason_to_break_off() {
    let text = ORIGINAL.replace("\"}", "\", \"size\": 18446744073709551615}");
    let catalogue = Catalogue::read(&BTreeMap::from([(HASH_TABLE_KEY.to_owned(), text)])).unwrap();
    assert_eq!(catalogue.size_of(&catalogue.backups()[0]), Some(u64::MAX));
}

proptest::proptest! {
    #[test]
    fn a_catalogue_that_was_tampered_with_is_refused_or_understood(
        at in 0..ORIGINAL.len(),
        length in 0..20_usize,
        by in "[{}\\[\\]\",:a-z0-9./-]{0,12}",
    ) {
        let end = (at + length).min(ORIGINAL.len());
        let text = format!("{}{by}{}", &ORIGINAL[..at], &ORIGINAL[end..]);
        if let Ok(catalogue) = Catalogue::read(&BTreeMap::from([(HASH_TABLE_KEY.to_owned(), text)])) {
            for backup in catalogue.backups() {
                let files = catalogue.files_of(&backup);
                let has_sizes = files.values().all(|sum| sum.size.is_some());
                proptest::prop_assert_eq!(catalogue.size_of(&backup).is_some(), has_sizes);
            }
        }
    }
}

#[test]
fn garbage_is_refused_by_key() {
    let data = BTreeMap::from([(HASH_TABLE_KEY.to_owned(), "not json".to_owned())]);
    assert_eq!(Catalogue::read(&data).unwrap_err().key, HASH_TABLE_KEY);
}

#[test]
fn a_thousand_backups_stay_far_under_the_limit_of_a_config_map() {
    let mut catalogue = Catalogue::default();
    let file = StoredFile { size: 123_456_789_012, sha256: "a".repeat(64) };
    for second in 0..1000 {
        let time = Timestamp::from_second(1_700_000_000 + second).unwrap();
        let backup = BackupId::Full(crate::model::backup_id::BackupName::at(time));
        catalogue.enter(&CopyReport {
            backup,
            started: time,
            finished: time,
            stream_bytes: 999_999_999_999,
            stream: file.clone(),
            manifest: file.clone(),
            position: Position { uuid: "a".repeat(36), seqno: 1_000_000_000 },
            desync: crate::model::manifest::DesyncTimes::default(),
            local: Presence::Present,
            s3: Presence::Present,
            full_because: None,
            parent: None,
            room: None,
        });
    }
    let bytes: usize = catalogue.write().values().map(String::len).sum();
    assert!(bytes < 600 << 10, "{bytes} bytes");
    assert!(catalogue.has_room());
}

#[test]
fn a_mark_of_damage_is_cleared_by_reading_and_by_nothing_less() {
    let mut catalogue = Catalogue::read(&BTreeMap::from([(HASH_TABLE_KEY.to_owned(), ORIGINAL.to_owned())])).unwrap();
    let id = catalogue.backups()[0].clone();
    let at = "2026-01-03T00:00:00Z".parse().unwrap();
    let after = |catalogue: &mut Catalogue, [local, s3]: [Verdict; 2]| {
        catalogue.enter_check(&id, local, s3, at);
        let entry = catalogue.entry(&id).unwrap();
        (entry.local, entry.s3, entry.damaged.is_some(), entry.verified.is_some())
    };
    let (absent, present, damaged) = (Presence::Absent, Presence::Present, Presence::Damaged);
    assert_eq!(after(&mut catalogue, [Verdict::Damaged, Verdict::Unseen]), (damaged, absent, true, false));
    assert_eq!(after(&mut catalogue, [Verdict::Good, Verdict::Unseen]), (damaged, absent, true, false));
    assert_eq!(after(&mut catalogue, [Verdict::Repaired, Verdict::Good]), (present, present, false, true));
    assert_eq!(after(&mut catalogue, [Verdict::Quarantined; 2]), (damaged, damaged, true, true));
    assert!(catalogue.entry(&id).unwrap().quarantined.is_some());
    after(&mut catalogue, [Verdict::Good, Verdict::Unseen]);
    after(&mut catalogue, [Verdict::Read, Verdict::Missing]);
    assert!(catalogue.entry(&id).unwrap().quarantined.is_some(), "less than all of it undoes nothing");
    assert_eq!(after(&mut catalogue, [Verdict::Read; 2]), (present, present, false, true));
    assert_eq!(catalogue.entry(&id).unwrap().quarantined, None);
}

#[test]
fn a_check_of_a_backup_that_is_gone_meanwhile_does_not_bring_it_back() {
    let mut catalogue = Catalogue::default();
    let id = "base/2026-01-01_00-00-00".parse().unwrap();
    catalogue.enter_check(&id, Verdict::Read, Verdict::Read, "2026-01-03T00:00:00Z".parse().unwrap());
    assert_eq!(catalogue, Catalogue::default());
}
