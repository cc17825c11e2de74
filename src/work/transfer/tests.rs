//! A volume and a bucket in memory, and what may happen on the way between them.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::model::order::StoreName;
use crate::work::memory::{FULL, Fault, Memory, ORIGINAL, put_backup, put_original};
use crate::work::stop;

const STREAM: &str = "base/2026-01-31_23-59-59/backup.mbstream.zst";
const INFO: &str = "base/2026-01-31_23-59-59/mariadb_backup_info";
const MANIFEST: &str = "base/2026-01-31_23-59-59/manifest.json";

/// A store with one backup of ours, an empty one, and what the catalogue says.
fn world() -> (Memory, Memory, BTreeMap<String, Checksum>) {
    let from = Memory::default();
    let expected = put_backup(&from, FULL, &vec![7; 3 << 20]);
    (from, Memory::default(), expected)
}

fn copy(
    (from, to): (&Memory, &Memory),
    target: StoreName,
    backup: &str,
    expected: &BTreeMap<String, Checksum>,
) -> Result<Copied, TransferError> {
    let (read, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let (_stopper, stop) = stop::channel();
    let pace = Pace { read: &read, total: &total, stop: &stop };
    let (from, to) = match target {
        StoreName::S3 => (Side::local(from), Side::s3(to)),
        StoreName::Local => (Side::s3(from), Side::local(to)),
    };
    Route { from: &from, to: &to, pace: &pace }.copy(&backup.parse().unwrap(), expected)
}

fn files(store: &Memory) -> BTreeMap<String, Vec<u8>> {
    store.inside().files.clone()
}

#[test]
fn a_backup_is_the_same_in_the_other_store_either_way() {
    for target in [StoreName::S3, StoreName::Local] {
        let (from, to, expected) = world();
        assert_eq!(copy((&from, &to), target, FULL, &expected).unwrap(), Copied::New);
        assert_eq!(files(&to), files(&from));
        assert_eq!(copy((&from, &to), target, FULL, &expected).unwrap(), Copied::AlreadyThere);
    }
}

#[test]
fn what_lies_beside_a_backup_and_is_none_of_its_files_stays() {
    let (from, to, expected) = world();
    from.put(&format!("{FULL}/notes.txt"), "not ours");
    copy((&from, &to), StoreName::S3, FULL, &expected).unwrap();
    assert_eq!(to.bytes(&format!("{FULL}/notes.txt")), None);
}

#[test]
fn a_backup_of_the_original_goes_with_all_its_files_and_its_mark() {
    let from = Memory::default();
    let expected = put_original(&from);
    from.put(&format!("{ORIGINAL}/grastate.dat"), "seqno: 1");
    let to = Memory::default();
    assert_eq!(copy((&from, &to), StoreName::S3, ORIGINAL, &expected).unwrap(), Copied::New);
    assert_eq!(files(&to), files(&from));
    from.put(&format!("{ORIGINAL}/backup.stream.gz"), "hellO");
    to.inside().files.clear();
    let error = copy((&from, &to), StoreName::S3, ORIGINAL, &expected).unwrap_err();
    assert!(matches!(error, TransferError::Damaged { .. }), "{error}");
    assert_eq!(files(&to), BTreeMap::new());
}

#[test]
fn a_damaged_source_is_named_with_its_sums_and_never_published() {
    for path in [STREAM, INFO, MANIFEST] {
        for target in [StoreName::S3, StoreName::Local] {
            let (from, to, expected) = world();
            from.damage(path);
            let error = copy((&from, &to), target, FULL, &expected).unwrap_err().to_string();
            let what = format!("memory/{path} its bytes are not the ones that were recorded (SHA-256 ");
            assert!(error.starts_with(&what), "{error}");
            assert_eq!(files(&to), BTreeMap::new());
        }
    }
}

#[test]
fn a_source_that_cannot_be_read_is_never_published() {
    for fault in [Fault::Breaks, Fault::Refused(Reason::Unreachable), Fault::Refused(Reason::Missing)] {
        let (from, to, expected) = world();
        from.inside().faults.insert(STREAM.to_owned(), fault);
        copy((&from, &to), StoreName::Local, FULL, &expected).unwrap_err();
        assert_eq!(files(&to), BTreeMap::new());
    }
}

#[test]
fn a_damaged_copy_is_replaced_only_by_a_source_proven_first() {
    for target in [StoreName::S3, StoreName::Local] {
        let (from, to, expected) = world();
        copy((&from, &to), target, FULL, &expected).unwrap();
        to.damage(STREAM);
        let damaged = files(&to);
        from.inside().faults.insert(STREAM.to_owned(), Fault::Breaks);
        copy((&from, &to), target, FULL, &expected).unwrap_err();
        assert_eq!(files(&to), damaged, "what is there may still be of use");
        from.inside().faults.clear();
        assert_eq!(copy((&from, &to), target, FULL, &expected).unwrap(), Copied::Replaced);
        assert_eq!(files(&to), files(&from));
    }
}

#[test]
fn a_copy_that_cannot_be_looked_at_is_left_alone() {
    let (from, to, expected) = world();
    copy((&from, &to), StoreName::S3, FULL, &expected).unwrap();
    to.inside().faults.insert(STREAM.to_owned(), Fault::Breaks);
    let before = files(&to);
    let error = copy((&from, &to), StoreName::S3, FULL, &expected).unwrap_err();
    assert!(matches!(error, TransferError::Unread { .. }), "{error}");
    assert_eq!(files(&to), before);
}

#[test]
fn a_target_without_room_is_told_before_or_while_it_fills() {
    let (from, to, expected) = world();
    to.inside().is_full = true;
    let error = copy((&from, &to), StoreName::S3, FULL, &expected).unwrap_err();
    assert!(matches!(error, TransferError::Writing { .. }), "{error}");
    let (from, to, expected) = world();
    to.inside().room = Some((1000, 2000));
    let error = copy((&from, &to), StoreName::Local, FULL, &expected).unwrap_err().to_string();
    assert_eq!(error, "3MiB do not fit into memory, which has 0.98KiB left");
    assert_eq!(files(&to), BTreeMap::new());
}
