//! Ring 2: a place in a bucket belongs to the first cluster that writes there.

use std::io::{Read, Write};

use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::manifest::{MANIFEST_FILE, STREAM_FILE};
use mariadb_backup::model::order::S3Store;
use mariadb_backup::model::outcome::Explain;
use mariadb_backup::ports::runner::Store;
use mariadb_backup::ports::{PortError, Reason};

use crate::s3_server::{S3Server, open};

const OURS: &str = "base/2026-01-31_23-59-59";
const THEIRS: &str = "base/2026-02-01_00-00-00";

fn id(directory: &str) -> BackupId {
    directory.parse().unwrap()
}

fn make(store: &dyn Store, backup: &str) -> Result<(), PortError> {
    let mut pending = store.begin(&id(backup), 0)?;
    pending.write(STREAM_FILE, b"bytes")?;
    pending.publish(MANIFEST_FILE, b"{}").map(drop)
}

/// One prefix, as two clusters see it.
fn two_clusters() -> (S3Store, S3Store) {
    let place = S3Server::shared().order();
    let of = |owner: &str| S3Store { owner: Some(owner.to_owned()), ..place.clone() };
    (of("5b2c7e4c-f1d0-11ef-8a4c-0242ac110002"), of("6c3d8f5d-f1d0-11ef-8a4c-0242ac110002"))
}

#[track_caller]
fn is_refused<T>(done: Result<T, PortError>) {
    let error = done.err().unwrap();
    assert_eq!(error.reason, Reason::Forbidden, "{error}");
    assert!(error.to_string().contains("it is the place of another cluster"), "{error}");
    assert!(error.hint().unwrap().contains("MARIADB_BACKUP_S3_PREFIX"));
}

#[test]
fn what_another_cluster_has_is_read_and_never_changed() {
    let (ours, theirs) = two_clusters();
    make(&open(&ours), OURS).unwrap();
    let mut upload = open(&ours).begin(&id(THEIRS), 1 << 30).unwrap();
    let mut file = upload.create(STREAM_FILE).unwrap();
    file.write_all(&vec![7; 17 << 20]).unwrap();

    let other = open(&theirs);
    is_refused(make(&other, THEIRS));
    is_refused(other.sweep(&[]));
    is_refused(other.remove(&id(OURS)));
    assert_eq!(other.backups().unwrap(), [id(OURS)]);
    let mut text = String::new();
    other.open(&format!("{OURS}/{MANIFEST_FILE}")).unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "{}");

    file.make_durable().unwrap();
    upload.publish(MANIFEST_FILE, b"{}").unwrap();
    assert!(open(&ours).remove(&id(OURS)).unwrap(), "the same cluster comes back to its own place");
    assert_eq!(open(&ours).backups().unwrap(), [id(THEIRS)]);
}

#[test]
fn of_two_clusters_at_once_one_gets_the_place() {
    let (ours, theirs) = two_clusters();
    let both = std::thread::scope(|scope| {
        let made =
            [(&ours, OURS), (&theirs, THEIRS)].map(|(order, backup)| scope.spawn(move || make(&open(order), backup)));
        made.map(|made| made.join().unwrap().is_ok())
    });
    assert_ne!(both[0], both[1], "{both:?}");
    assert_eq!(open(&ours).backups().unwrap().len(), 1);
}

#[test]
fn a_place_from_before_there_were_marks_is_taken_by_the_first_who_writes() {
    let (ours, theirs) = two_clusters();
    let nobodys = open(&S3Store { owner: None, ..ours.clone() });
    make(&nobodys, OURS).unwrap();
    let mut unfinished = nobodys.begin(&id(THEIRS), 0).unwrap();
    unfinished.write(STREAM_FILE, b"bytes").unwrap();
    assert_eq!(open(&ours).sweep(&[]).unwrap(), [""; 0], "what is unfinished may be of one without a mark");
    is_refused(open(&theirs).remove(&id(OURS)));
    assert_eq!(open(&ours).sweep(&[]).unwrap(), [THEIRS]);
    assert_eq!(open(&theirs).mark().unwrap(), ours.owner);
}
