//! What every store promises, asked of each: one in memory, one on a volume, one on a real S3.

use std::io::{Read, Write};

use mariadb_backup::adapters::store_local::VolumeStore;
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::manifest::{MANIFEST_FILE, STREAM_FILE, hex};
use mariadb_backup::ports::Reason;
use mariadb_backup::ports::runner::{KeptSum, PendingBackup, Store};
use sha2::{Digest, Sha256};

use crate::memory_store::MemoryStore;
use crate::s3_server::{S3Server, open};

/// Every promise, as a test of every store.
macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        mod in_memory {
            $(#[test] fn $promise() { super::$promise(&super::MemoryStore::default()); })*
        }
        mod on_a_volume {
            $(#[test] fn $promise() {
                let directory = tempfile::tempdir().unwrap();
                super::$promise(&super::VolumeStore::new(directory.path()));
            })*
        }
        mod in_a_bucket {
            $(#[test] fn $promise() {
                super::$promise(&super::open(&super::S3Server::shared().order()));
            })*
        }
    };
}

contract!(
    a_backup_is_nowhere_until_it_is_published_whole,
    what_was_stored_is_read_back,
    a_backup_is_never_made_twice,
    facts_tell_length_change_and_content,
    a_removed_backup_is_gone_and_no_other,
    what_the_original_signed_off_counts,
    a_sweep_takes_unfinished_work_but_what_is_wanted,
    a_backup_that_broke_off_is_begun_again,
    a_discarded_backup_leaves_nothing,
    backups_come_in_the_order_of_their_names,
    what_is_not_there_is_missing,
    paths_that_lead_out_are_refused,
);

const OLDER: &str = "base/2026-01-30_00-00-00";
const NEWER: &str = "base/2026-01-31_23-59-59";
const INCREMENT: &str = "incr/2026-01-30_00-00-00/2026-01-31_00-00-00";

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

/// Bytes of which no stretch is like another.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(count + 32);
    for number in 0_u64.. {
        if all.len() >= count {
            break;
        }
        all.extend_from_slice(&Sha256::digest(number.to_le_bytes()));
    }
    all.truncate(count);
    all
}

fn write_stream(pending: &mut dyn PendingBackup, content: &[u8]) {
    let mut stream = pending.create(STREAM_FILE).unwrap();
    stream.write_all(content).unwrap();
    stream.make_durable().unwrap();
}

fn make(store: &dyn Store, directory: &str, content: &[u8]) {
    let mut pending = store.begin(&id(directory), content.len() as u64).unwrap();
    write_stream(pending.as_mut(), content);
    pending.write("mariadb_backup_info", b"info").unwrap();
    pending.publish(MANIFEST_FILE, b"{}").unwrap();
}

fn read(store: &dyn Store, path: &str) -> Vec<u8> {
    let (mut reader, size) = store.open(path).unwrap();
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    assert_eq!(content.len() as u64, size);
    content
}

fn a_backup_is_nowhere_until_it_is_published_whole(store: &dyn Store) {
    let mut pending = store.begin(&id(NEWER), 5).unwrap();
    write_stream(pending.as_mut(), b"bytes");
    let info = pending.write("mariadb_backup_info", b"info").unwrap();
    assert_eq!((info.size, info.sha256), (4, hex(&Sha256::digest(b"info"))));
    assert_eq!(store.backups().unwrap(), []);
    let manifest = pending.publish(MANIFEST_FILE, b"{}").unwrap();
    assert_eq!((manifest.size, manifest.sha256), (2, hex(&Sha256::digest(b"{}"))));
    assert_eq!(store.backups().unwrap(), [id(NEWER)]);
    assert_eq!(store.files(&id(NEWER)).unwrap(), [STREAM_FILE, MANIFEST_FILE, "mariadb_backup_info"]);
}

fn what_was_stored_is_read_back(store: &dyn Store) {
    let large = bytes(20 << 20);
    make(store, NEWER, &large);
    assert!(read(store, &format!("{NEWER}/{STREAM_FILE}")) == large);
    assert_eq!(read(store, &format!("{NEWER}/{MANIFEST_FILE}")), b"{}");
    make(store, OLDER, b"");
    assert_eq!(read(store, &format!("{OLDER}/{STREAM_FILE}")), b"");
}

fn a_backup_is_never_made_twice(store: &dyn Store) {
    make(store, NEWER, b"first");
    assert_eq!(store.begin(&id(NEWER), 0).err().unwrap().reason, Reason::Conflict);
    assert_eq!(read(store, &format!("{NEWER}/{STREAM_FILE}")), b"first");
}

fn facts_tell_length_change_and_content(store: &dyn Store) {
    let (stream, manifest) = (format!("{NEWER}/{STREAM_FILE}"), format!("{NEWER}/{MANIFEST_FILE}"));
    let large = bytes(9 << 20);
    make(store, NEWER, &large);
    let first = store.facts(&stream).unwrap();
    assert_eq!(first.size, 9 << 20);
    assert_eq!(store.facts(&stream).unwrap(), first);
    assert!(is_none_or_fits(&first.kept, &large), "{:?}", first.kept);
    assert!(is_none_or_fits(&store.facts(&manifest).unwrap().kept, b"{}"));
    store.remove(&id(NEWER)).unwrap();
    make(store, NEWER, &[&large[1..], b"x"].concat());
    assert_ne!(store.facts(&stream).unwrap().mark, first.mark);
}

fn is_none_or_fits(kept: &KeptSum, content: &[u8]) -> bool {
    match kept {
        KeptSum::None => true,
        KeptSum::Sha256(sum) => *sum == hex(&Sha256::digest(content)),
        KeptSum::Parts { equal } => *equal,
    }
}

fn a_removed_backup_is_gone_and_no_other(store: &dyn Store) {
    make(store, OLDER, b"older");
    make(store, NEWER, b"newer");
    make(store, INCREMENT, b"increment");
    assert!(store.remove(&id(OLDER)).unwrap());
    assert!(!store.remove(&id(OLDER)).unwrap());
    assert_eq!(store.backups().unwrap(), [id(INCREMENT), id(NEWER)]);
    assert_eq!(store.files(&id(OLDER)).unwrap(), [""; 0]);
    assert_eq!(store.open(&format!("{OLDER}/{STREAM_FILE}")).err().unwrap().reason, Reason::Missing);
    make(store, OLDER, b"again");
    assert_eq!(read(store, &format!("{OLDER}/{STREAM_FILE}")), b"again");
}

fn what_the_original_signed_off_counts(store: &dyn Store) {
    let mut pending = store.begin(&id(OLDER), 0).unwrap();
    pending.write("backup.stream.gz", b"bytes").unwrap();
    pending.publish("backup.successful", b"").unwrap();
    assert_eq!(store.backups().unwrap(), [id(OLDER)]);
    assert_eq!(store.begin(&id(OLDER), 0).err().unwrap().reason, Reason::Conflict);
    assert!(store.remove(&id(OLDER)).unwrap());
    assert_eq!(store.backups().unwrap(), []);
}

fn a_sweep_takes_unfinished_work_but_what_is_wanted(store: &dyn Store) {
    make(store, NEWER, b"newer");
    for directory in [OLDER, INCREMENT] {
        let mut pending = store.begin(&id(directory), 0).unwrap();
        write_stream(pending.as_mut(), b"bytes");
        let mut second = pending.create("second").unwrap();
        second.write_all(&bytes(9 << 20)).unwrap();
        drop((second, pending));
    }
    assert_eq!(store.sweep(&[id(OLDER), id(INCREMENT)]).unwrap(), [""; 0]);
    assert_eq!(store.sweep(&[id(INCREMENT)]).unwrap().len(), 1);
    assert_eq!(store.sweep(&[]).unwrap().len(), 1);
    assert_eq!(store.sweep(&[]).unwrap(), [""; 0]);
    assert_eq!(store.backups().unwrap(), [id(NEWER)]);
    assert_eq!(read(store, &format!("{NEWER}/{STREAM_FILE}")), b"newer");
}

fn a_backup_that_broke_off_is_begun_again(store: &dyn Store) {
    let large = bytes(20 << 20);
    let mut pending = store.begin(&id(NEWER), large.len() as u64).unwrap();
    pending.write("mariadb_backup_info", b"old").unwrap();
    let mut stream = pending.create(STREAM_FILE).unwrap();
    stream.write_all(&large[..17 << 20]).unwrap();
    drop((stream, pending));
    make(store, NEWER, &large);
    assert!(read(store, &format!("{NEWER}/{STREAM_FILE}")) == large);
    assert_eq!(read(store, &format!("{NEWER}/mariadb_backup_info")), b"info");
    assert_eq!(store.sweep(&[]).unwrap(), [""; 0]);
}

fn a_discarded_backup_leaves_nothing(store: &dyn Store) {
    let mut pending = store.begin(&id(NEWER), 0).unwrap();
    write_stream(pending.as_mut(), b"bytes");
    let mut second = pending.create("second").unwrap();
    second.write_all(&bytes(9 << 20)).unwrap();
    drop(second);
    pending.discard().unwrap();
    assert_eq!(store.files(&id(NEWER)).unwrap(), [""; 0]);
    assert_eq!(store.sweep(&[]).unwrap(), [""; 0]);
    make(store, NEWER, b"bytes");
}

fn backups_come_in_the_order_of_their_names(store: &dyn Store) {
    for directory in [NEWER, INCREMENT, OLDER] {
        make(store, directory, b"bytes");
    }
    assert_eq!(store.backups().unwrap(), [id(OLDER), id(INCREMENT), id(NEWER)]);
}

fn what_is_not_there_is_missing(store: &dyn Store) {
    let path = format!("{NEWER}/{STREAM_FILE}");
    assert_eq!(store.open(&path).err().unwrap().reason, Reason::Missing);
    assert_eq!(store.facts(&path).unwrap_err().reason, Reason::Missing);
    assert_eq!(store.files(&id(NEWER)).unwrap(), [""; 0]);
    assert!(!store.remove(&id(NEWER)).unwrap());
    assert_eq!(store.backups().unwrap(), []);
}

fn paths_that_lead_out_are_refused(store: &dyn Store) {
    for path in ["../x", "/etc/passwd", "base/../../x", "./x", "base/x/..", ""] {
        assert_eq!(store.open(path).err().unwrap().reason, Reason::Forbidden, "{path}");
        assert_eq!(store.facts(path).unwrap_err().reason, Reason::Forbidden, "{path}");
    }
}
