//! Whoever can write to a store or to the catalogue can lie in every field of a manifest: what that
//! may lead to is a finding, never a panic, a path outside, or a copy that counts and is wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::memory::{self, FULL, Memory, put_backup, stored};
use super::{check, inventory, keep, stop};
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::event::EventKind;
use crate::model::order::{CheckOrder, Depth, ExpectedBackup, InventoryOrder, KeepOrder, OnCorrupt, Stores};
use crate::model::outcome::{End, Outcome};
use crate::model::report::{CheckReport, KeepReport, Verdict};
use crate::ports::runner::Store;

const MANIFEST: &str = "base/2026-01-31_23-59-59/manifest.json";
const STREAM: &str = "base/2026-01-31_23-59-59/backup.mbstream.zst";

/// What a liar would write into a field.
fn lie() -> impl Strategy<Value = Value> {
    let names = ["../../etc/passwd", "/", "..", "", "a/b", "manifest.json", "backup.mbstream.zst", "a\0b", "2026"];
    let deep = (0..200).fold(json!(0), |inner, _| json!([inner]));
    prop_oneof![
        prop::sample::select(names.to_vec()).prop_map(Value::from),
        prop::sample::select(vec![json!(u64::MAX), json!(-1), json!(1e300), json!(0), json!(null), json!({}), deep]),
        prop::sample::select(names.to_vec())
            .prop_map(|name| json!({ name: { "size": u64::MAX, "sha256": "0".repeat(64) } })),
        ".{0,30}".prop_map(Value::from),
    ]
}

/// Puts a lie into the field that `way` leads to.
fn tell(lie: Value, document: &mut Value, way: &[u8]) {
    let Some((step, rest)) = way.split_first() else {
        *document = lie;
        return;
    };
    match document {
        Value::Object(fields) if !fields.is_empty() => {
            let at = usize::from(*step) % fields.len();
            if let Some(field) = fields.values_mut().nth(at) {
                tell(lie, field, rest);
            }
        }
        other => *other = lie,
    }
}

/// Bytes of a manifest that was tampered with: in its fields, in its text, or both.
fn tampered(manifest: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let lies = prop::collection::vec((lie(), prop::collection::vec(any::<u8>(), 1..4)), 0..3);
    let cut = prop::option::weighted(0.2, 0..manifest.len());
    let flip = prop::option::weighted(0.2, (0..manifest.len(), any::<u8>()));
    (lies, cut, flip).prop_map(move |(lies, cut, flip)| {
        let mut document: Value = serde_json::from_slice(&manifest).unwrap();
        for (lie, way) in lies {
            tell(lie, &mut document, &way);
        }
        let mut bytes = serde_json::to_vec(&document).unwrap();
        if let Some((at, by)) = flip {
            let at = at % bytes.len();
            bytes[at] ^= by;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        bytes
    })
}

fn a_manifest() -> Vec<u8> {
    memory::manifest(FULL, &[("backup.mbstream.zst", b"stream"), ("mariadb_backup_info", b"info")])
}

/// A store whose manifest was tampered with, and a catalogue that vouches for it all the same.
fn world(manifest: Vec<u8>) -> (Memory, BTreeMap<String, Checksum>) {
    let store = Memory::default();
    let mut expected = put_backup(&store, FULL, b"stream");
    expected.insert(MANIFEST.to_owned(), Checksum::of(&stored(&manifest)));
    store.put(MANIFEST, manifest);
    (store, expected)
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn check(store: &Memory, expected: &BTreeMap<String, Checksum>) -> CheckReport {
    let backup: BackupId = FULL.parse().unwrap();
    let order = CheckOrder {
        stores: Stores { local: Some("/store".to_owned()), s3: None },
        backups: vec![ExpectedBackup { backup, local: true, s3: false }],
        expected: expected.clone(),
        known: Vec::new(),
        depth: Depth::Full,
        repair: true,
        on_corrupt: OnCorrupt::Fail,
    };
    done(wait(check::run(order, &memory::ports(Some(store), None).0, stop::channel().1)))
}

fn upload(from: &Memory, to: &Memory, expected: &BTreeMap<String, Checksum>) -> KeepReport {
    let order = KeepOrder {
        stores: Stores::default(),
        remove: Vec::new(),
        upload: vec![FULL.parse().unwrap()],
        download: Vec::new(),
        expected: expected.clone(),
        wanted_uploads: Vec::new(),
        limit_secs: None,
    };
    done(wait(keep::run(order, &memory::ports(Some(from), Some(to)).0, stop::channel().1)))
}

fn done<R: std::fmt::Debug>(outcome: Outcome<R>) -> R {
    let End::Done(report) = outcome.end else { panic!("{outcome:?}") };
    report
}

fn all_inside(paths: &[String]) -> bool {
    paths.iter().all(|path| path.rsplit_once('/').is_some_and(|(directory, name)| directory == FULL && name != ".."))
}

#[test]
fn a_manifest_without_the_sum_of_a_file_is_a_finding() {
    let mut manifest: Value = serde_json::from_slice(&a_manifest()).unwrap();
    manifest["files"]["mariadb_backup_info"]["sha256"] = json!("");
    let (store, expected) = world(serde_json::to_vec(&manifest).unwrap());
    let report = check(&store, &expected);
    assert_eq!(report.local.0[0], Verdict::Damaged);
    assert!(report.bad[0].contains("has no sum"), "{:?}", report.bad);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_manifest_that_lies_is_a_finding_or_true_of_the_files_it_names(manifest in tampered(a_manifest())) {
        let (store, expected) = world(manifest);
        let report = check(&store, &expected);
        prop_assert_eq!(report.local.0[0] == Verdict::Read, report.bad.is_empty());
        prop_assert!(all_inside(&store.opened()));

        let to = Memory::default();
        let kept = upload(&store, &to, &expected);
        prop_assert_eq!(kept.uploaded.0[0], report.bad.is_empty(), "{:?} {:?}", report.bad, kept.failed);
        if kept.uploaded.0[0] {
            prop_assert_eq!(check(&to, &expected).bad, [""; 0]);
        } else {
            prop_assert_eq!(to.backups().unwrap(), []);
        }
        prop_assert!(all_inside(&store.opened()));
    }

    #[test]
    fn stock_is_taken_of_a_store_whose_manifests_lie(manifest in tampered(a_manifest())) {
        let (store, _) = world(manifest);
        let (ports, events) = memory::ports(Some(&store), None);
        let everything = InventoryOrder { stores: Stores::default(), only: None };
        let report = done(wait(inventory::run(&everything, &ports, stop::channel().1)));
        prop_assert_eq!(report.local_count, Some(1));
        prop_assert!(all_inside(&store.opened()));
        for kind in events.all() {
            if let EventKind::Found { found } = kind {
                prop_assert!(found.trouble.is_some() || found.files.contains_key(STREAM));
                prop_assert!(all_inside(&found.files.into_keys().collect::<Vec<_>>()));
            }
        }
    }

    #[test]
    fn a_catalogue_that_lies_is_a_finding(
        path in prop::sample::select(vec![STREAM, MANIFEST, "base/2026-01-31_23-59-59/..", "../x", "", "base//x", "a"]),
        checksum in prop_oneof!["[0-9a-f]{64}", "[0-9a-f]{32}", ".{1,70}"],
        algorithm in prop::option::of(prop_oneof!["sha256", "md5", ".{0,10}"]),
        size in prop::option::of(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]),
    ) {
        let (store, mut expected) = world(a_manifest());
        expected.insert(path.to_owned(), Checksum { checksum, algorithm, size });
        let report = check(&store, &expected);
        prop_assert!(report.bad_count > 0);
        prop_assert!(all_inside(&store.opened()));
        if path == STREAM || path == MANIFEST {
            let to = Memory::default();
            prop_assert_eq!(upload(&store, &to, &expected).uploaded.0, [false]);
            prop_assert_eq!(to.backups().unwrap(), []);
        }
    }
}
