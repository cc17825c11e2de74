//! Streams that are cut, flipped and hostile, in stores that lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::manifest::LsnRange;
use crate::model::manifest::STREAM_FILE;
use crate::model::order::StoreName;
use crate::model::outcome::Explain;
use crate::ports::PortError;
use crate::work::frames::tests::frames_of;
use crate::work::gzip::tests::gzip_of;
use crate::work::memory::{self, FULL, Memory, stored};
use crate::work::openssl::tests::{encrypted, passphrase};
use crate::work::stop;
use crate::work::xbstream::tests::{end, payload, whole_stream, whole_stream_of_the_original};

/// A directory in memory, which refuses what a real one would: a file that is there, a file for a directory.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<BTreeMap<String, Vec<u8>>>>, Arc<AtomicU64>);

impl Scratch for Files {
    fn place(&self) -> String {
        String::new()
    }

    fn names(&self) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    fn free_bytes(&self) -> Result<u64, PortError> {
        Ok(self.1.load(Ordering::Relaxed))
    }

    fn make(&self, _: &str) -> Result<Box<dyn Unpacked>, PortError> {
        Ok(Box::new(self.clone()))
    }

    fn remove(&self, _: &str) -> Result<(), PortError> {
        Ok(())
    }

    fn discard(&self) -> Result<(), PortError> {
        Ok(())
    }

    fn make_durable(&self) -> Result<(), PortError> {
        Ok(())
    }

    fn galera_info(&self, _: &str) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    fn forget_cluster(&self, _: &str) -> Result<(), PortError> {
        Ok(())
    }

    fn forget_session(&self, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}

impl Unpacked for Files {
    fn begin(&mut self, path: &str, anew: bool) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let is_there = files.contains_key(path);
        let is_below_a_file = path.match_indices('/').any(|(at, _)| files.contains_key(&path[..at]));
        if is_there != anew || is_below_a_file {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        files.insert(path.to_owned(), Vec::new());
        Ok(())
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        file.resize(usize::try_from(offset).unwrap(), 0);
        file.extend_from_slice(bytes);
        Ok(())
    }

    fn close(&mut self, path: &str, length: u64) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        files.get_mut(path).ok_or(io::ErrorKind::NotFound)?.resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn rename(&mut self, path: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(path);
        Ok(())
    }
}

type Done = (Result<u64, ProveError>, BTreeMap<String, Vec<u8>>);

/// Unpacks a file that was recorded as another one, perhaps.
fn unpack_of(found: &[u8], recorded: &[u8], stream_bytes: usize) -> Done {
    let form = Form::Ours { stream_bytes: stream_bytes as u64, manifest_sha256: String::new(), parent: None };
    unpack_as(form, found, Checksum::of(&stored(recorded)), u64::MAX)
}

/// The same of the original's.
fn unpack_original(found: &[u8], recorded: &[u8]) -> Done {
    unpack_as(Form::Original { key: None }, found, memory::md5_of(recorded), u64::MAX)
}

fn unpack_as(form: Form, found: &[u8], recorded: Checksum, free_bytes: u64) -> Done {
    let store = Memory::default();
    let path = format!("{FULL}/{}", form.stream_file());
    store.put(&path, found);
    let link = Link {
        backup: FULL.parse::<BackupId>().unwrap(),
        directory: "base".to_owned(),
        from: StoreName::Local,
        files: BTreeMap::from([(path, recorded)]),
        form,
        least_bytes: 0,
        redo_bytes: 0,
        lsn: LsnRange { from: 0, to: 47, last: 51 },
        position: None,
        server_version: "10.11.9-MariaDB".to_owned(),
    };
    let (files, gauge, stop) = (Files::default(), Gauge::default(), stop::channel().1);
    files.1.store(free_bytes, Ordering::Relaxed);
    let room = Room { scratch: &files, reserve_bytes: 1 << 30 };
    let result = unpack(&link, &memory::ports(Some(&store), None).0, &room, &Pace::new(&gauge, &stop));
    let files = std::mem::take(&mut *files.0.lock().unwrap());
    (result, files)
}

fn content() -> Vec<u8> {
    let rows: Vec<u8> = (0..3000_u32).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
    let table =
        [payload("shop/orders.ibd", 0, &rows[..1000]), payload("shop/orders.ibd", 1000, &rows[1000..])].concat();
    whole_stream(&[table, end("shop/orders.ibd"), end("shop/empty.frm")].concat())
}

#[test]
fn what_was_streamed_becomes_the_files_it_was() {
    let content = content();
    let stored = frames_of(&content, 500);
    let (result, files) = unpack_of(&stored, &stored, content.len());
    assert_eq!(result.unwrap(), 4, "the redo's length");
    assert_eq!(files["shop/orders.ibd"].len(), 3000);
    assert_eq!((files["shop/empty.frm"].len(), &files["ibdata1"][..]), (0, &b"tablespace"[..]));
}

#[test]
fn a_stream_of_the_original_becomes_the_same_files_and_needs_no_galera_position() {
    let content = content();
    let stored = gzip_of(&content);
    let (result, files) = unpack_original(&stored, &stored);
    assert_eq!(result.unwrap(), 4, "the redo's length");
    assert_eq!(files, unpack_of(&frames_of(&content, 500), &frames_of(&content, 500), content.len()).1);
    let without = gzip_of(&whole_stream_of_the_original(0, 47));
    unpack_original(&without, &without).0.unwrap();
    let of_ours = frames_of(&whole_stream_of_the_original(0, 47), 500);
    assert!(unpack_of(&of_ours, &of_ours, 0).0.unwrap_err().to_string().contains("galera_info is missing"));
}

#[test]
fn an_encrypted_stream_of_the_original_becomes_the_same_files_with_its_key_and_nothing_with_another() {
    let content = content();
    let (key, other) = (passphrase("key"), passphrase("other"));
    let stored = encrypted(&gzip_of(&content), &key);
    let with =
        |key, stored: &[u8]| unpack_as(Form::Original { key: Some(key) }, stored, memory::md5_of(stored), u64::MAX);
    let (result, files) = with(key.clone(), &stored);
    assert_eq!((result.unwrap(), files.len()), (4, 8));
    assert_eq!(with(other, &stored).0.unwrap_err().code(), ExitCode::VerificationFailed);
    for length in [0, 10, 16, 17, stored.len() - 16, stored.len() - 1] {
        let error = with(key.clone(), &stored[..length]).0.unwrap_err();
        assert!(error.to_string().contains("still no whole backup"), "{length}: {error}");
    }
    assert!(with(key, &gzip_of(&content)).0.unwrap_err().to_string().contains("as what openssl encrypted"));
}

#[test]
fn a_stream_of_the_original_whose_sum_is_right_and_whose_content_is_not_is_no_backup_either() {
    let whole = content();
    let behind = [&gzip_of(&whole)[..], b"behind"].concat();
    let other_redo = gzip_of(&whole_stream_of_the_original(0, 48));
    for (stored, why) in [
        (gzip_of(&whole[..whole.len() - 10]), "the stream ends inside a chunk"),
        (gzip_of(&whole_stream(&payload("../escape", 0, b"x"))), "would not stay inside"),
        (gzip_of(b""), "the stream ends early"),
        (Vec::new(), "the file ends inside its gzip"),
        (whole.clone(), "it is no gzip"),
        (behind, "gzip"),
        (other_redo, "the checkpoints in it are not those beside it"),
    ] {
        let error = unpack_original(&stored, &stored).0.unwrap_err();
        assert_eq!(error.code(), ExitCode::VerificationFailed, "{error}");
        assert!(error.to_string().contains("still no whole backup") && error.to_string().contains(why), "{error}");
    }
}

#[test]
fn what_has_not_the_room_is_given_up_before_the_reserve_is_touched() {
    let stored = gzip_of(&content());
    for (free_bytes, is_enough) in [((1 << 30) - 1, false), (1 << 30, true)] {
        let (result, files) = unpack_as(Form::Original { key: None }, &stored, memory::md5_of(&stored), free_bytes);
        let error = result.map_err(|error| (error.code(), error.to_string())).err();
        assert_eq!(error.is_none(), is_enough, "{error:?}");
        assert!(is_enough || files.values().all(Vec::is_empty), "something was written");
        if let Some((code, told)) = error {
            assert_eq!(code, ExitCode::Refused);
            assert!(told.contains("was given up: 1GiB are left") && told.contains("1GiB are kept free"), "{told}");
        }
    }
}

#[test]
fn a_backup_whose_sum_is_right_and_whose_content_is_not_is_no_backup_either() {
    let whole = content();
    let bad = [
        whole[..whole.len() - 10].to_vec(),
        whole_stream(&payload("../escape", 0, b"x")),
        whole_stream(&payload("/etc/passwd", 0, b"x")),
        whole_stream(&[payload("a", 0, b"x"), end("a"), payload("a", 0, b"y"), end("a")].concat()),
        whole_stream(&[payload("a", 0, b"x"), end("a"), payload("a/b", 0, b"y"), end("a/b")].concat()),
        Vec::new(),
    ];
    for content in bad {
        let stored = frames_of(&content, 500);
        let (result, files) = unpack_of(&stored, &stored, content.len());
        let error = result.unwrap_err();
        assert!(matches!(error, ProveError::Damaged { .. } | ProveError::Writing { .. }), "{error}");
        assert!(files.keys().all(|path| !path.contains("..") && !path.starts_with('/')));
    }
    let stored = frames_of(&whole, 500);
    assert!(unpack_of(&stored, &stored, whole.len() - 1).0.unwrap_err().to_string().contains("bytes were unpacked"));
    assert!(unpack_of(&whole, &whole, whole.len()).0.unwrap_err().to_string().contains("no whole backup"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_file_that_is_cut_or_flipped_anywhere_is_named_with_both_sums(at in 0..5000_usize, bit in 0..8_u8, is_cut: bool) {
        let content = content();
        let recorded = frames_of(&content, 500);
        let at = at % recorded.len();
        let mut found = recorded.clone();
        if is_cut {
            found.truncate(at);
        } else {
            found[at] ^= 1 << bit;
        }
        let error = unpack_of(&found, &recorded, content.len()).0.unwrap_err();
        prop_assert_eq!(error.code(), ExitCode::VerificationFailed);
        let told = error.to_string();
        let wanted = if is_cut { "bytes long, not" } else { "its bytes are not the ones that were recorded (SHA-256 " };
        prop_assert!(told.starts_with(&format!("memory/{FULL}/{STREAM_FILE} ")) && told.contains(wanted), "{}", told);
    }

    #[test]
    fn a_stream_of_the_original_that_is_cut_or_flipped_anywhere_is_named_with_both_sums(at in any::<prop::sample::Index>(), bit in 0..8_u8, is_cut: bool) {
        let recorded = gzip_of(&content());
        let at = at.index(recorded.len());
        let mut found = recorded.clone();
        if is_cut {
            found.truncate(at);
        } else {
            found[at] ^= 1 << bit;
        }
        let error = unpack_original(&found, &recorded).0.unwrap_err();
        prop_assert_eq!(error.code(), ExitCode::VerificationFailed);
        let told = error.to_string();
        let wanted = "its bytes are not the ones that were recorded (MD5 ";
        prop_assert!(told.starts_with(&format!("memory/{FULL}/backup.stream.gz ")) && told.contains(wanted), "{}", told);
    }

    #[test]
    fn a_hostile_stream_with_a_right_sum_stays_inside(
        paths in prop::collection::vec("(\\.\\./|/|a/|\\./)?[ab]{1,2}(/\\.\\.|/[ab])?", 1..6),
        cut in prop::option::of(0..2000_usize),
    ) {
        let mut extra = Vec::new();
        for path in &paths {
            extra.extend(payload(path, 0, b"x"));
            extra.extend(end(path));
        }
        let mut content = whole_stream(&extra);
        content.truncate(cut.unwrap_or(content.len()));
        let stored = frames_of(&content, 100);
        let (result, files) = unpack_of(&stored, &stored, content.len());
        let is_inside = |path: &String| !path.starts_with('/') && path.split('/').all(|part| !["", ".", ".."].contains(&part));
        prop_assert!(files.keys().all(is_inside));
        if result.is_ok() {
            let names: BTreeSet<_> = paths.iter().map(|path| path.trim_start_matches("./").to_owned()).collect();
            prop_assert!(names.iter().all(|name| files.contains_key(name)));
        }
    }
}
