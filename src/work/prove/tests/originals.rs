//! Backups of the original: with what is beside them, and without some of it.

use super::*;
use crate::model::original;
use crate::work::gzip::tests::gzip_of;
use crate::work::openssl::tests::{encrypted, passphrase};
use crate::work::xbstream::tests::whole_stream_of_the_original;

/// Which backup, and the stretch of redo it covers.
type Member = (&'static str, u64, u64);

const MEMBERS: [Member; 3] = [(CHAIN[0], 0, 47), (CHAIN[1], 47, 94), (CHAIN[2], 94, 141)];

/// The files of one, as they are called until 11.1 or since.
fn files_of((backup, from, to): Member, is_new: bool) -> Vec<(String, Vec<u8>)> {
    let kind = if from == 0 { "full-backuped" } else { "incremental" };
    let checkpoints = format!("backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {}\n", to + 4);
    let tool = if is_new { "mariadb_backup" } else { "xtrabackup" };
    let info = "tool_version = 10.11.9-MariaDB\nserver_version = 10.11.9-MariaDB-log\n";
    [
        (original::STREAM_FILE, gzip_of(&whole_stream_of_the_original(from, to))),
        (&format!("{tool}_info"), info.into()),
        (&format!("{tool}_checkpoints"), checkpoints.into()),
        ("grastate.dat", b"seqno: -1\n".to_vec()),
        (original::MARK_FILE, Vec::new()),
    ]
    .map(|(name, bytes)| (format!("{backup}/{name}"), bytes))
    .to_vec()
}

/// Puts backups into a store as the original leaves them, and returns what its catalogue says.
fn put(store: &Memory, members: &[Member]) -> BTreeMap<String, Checksum> {
    let all = members.iter().flat_map(|member| files_of(*member, member.1 == 47));
    all.map(|(path, bytes)| {
        let sum = memory::md5_of(&bytes);
        store.put(&path, bytes);
        (path, sum)
    })
    .collect()
}

fn refused(store: &Memory, expected: BTreeMap<String, Checksum>) -> (ExitCode, String) {
    let ran = run_in(store, expected, |_| {});
    assert_eq!((steps(&ran, "make"), ran.alive), (vec![], 0), "something was unpacked");
    failure_of(&ran)
}

fn failure_of(ran: &Ran) -> (ExitCode, String) {
    let (code, message) = failure(ran);
    (code, message.to_owned())
}

#[test]
fn a_chain_of_the_original_is_proven_and_its_position_is_learnt_from_the_data() {
    let store = Memory::default();
    let expected = put(&store, &MEMBERS);
    let ran = run_in(&store, expected, |_| {});
    let End::Done(report) = &ran.outcome.end else { panic!("{:?}", ran.outcome) };
    assert_eq!(steps(&ran, "prepare"), ["prepare base", "prepare inc-1", "prepare inc-2"]);
    assert_eq!(report.position, "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711".parse().ok());
    assert_eq!(steps(&ran, "position"), ["position of base"]);
    check_order_of(&ran, "undisturbed");
    assert_eq!(ran.outcome.warnings, [""; 0]);
    let stored: usize = MEMBERS.iter().flat_map(|member| files_of(*member, false)).map(|(_, bytes)| bytes.len()).sum();
    assert!(report.stored_bytes > 0 && report.stored_bytes <= stored as u64);
}

#[test]
fn no_fault_and_no_stop_at_any_effect_of_it_leaves_a_process() {
    let run = |fault| {
        let store = Memory::default();
        let expected = put(&store, &MEMBERS);
        run_in(&store, expected, |state| state.fault = fault)
    };
    for at in 0..run(None).effects {
        for fault in [Fault::Fails, Fault::Stops] {
            let ran = run(Some((at, fault)));
            assert_eq!(ran.alive, 0, "{fault:?} at {at}");
            check_order_of(&ran, &format!("{fault:?} at {at}"));
        }
    }
}

#[test]
fn one_that_was_not_finished_or_lacks_what_tells_of_it_is_refused_before_anything_is_unpacked() {
    for (name, wanted) in [
        (original::MARK_FILE, "is missing, which is written last: the backup was not finished"),
        ("mariadb_backup_checkpoints", "is missing"),
        ("mariadb_backup_info", "is missing"),
        (original::STREAM_FILE, "is missing"),
    ] {
        let store = Memory::default();
        let expected = put(&store, &MEMBERS);
        let path = format!("{}/{name}", CHAIN[1]);
        store.inside().files.remove(&path);
        let (code, message) = refused(&store, expected);
        assert_eq!((code, message), (ExitCode::VerificationFailed, format!("memory/{path} {wanted}")));
    }
}

#[test]
fn nothing_of_a_chain_of_the_original_that_is_damaged_anywhere_is_prepared() {
    let files = MEMBERS.iter().flat_map(|member| files_of(*member, member.1 == 47));
    for (path, _) in files.filter(|(_, bytes)| !bytes.is_empty()) {
        let store = Memory::default();
        let expected = put(&store, &MEMBERS);
        store.damage(&path);
        let ran = run_in(&store, expected, |_| {});
        let (code, message) = failure(&ran);
        assert_eq!(code, ExitCode::VerificationFailed, "{message}");
        assert!(message.starts_with(&format!("memory/{path} its bytes are not the ones")), "{message}");
        assert_eq!(steps(&ran, "prepare"), [""; 0], "{path}");
    }
}

#[test]
fn increments_that_do_not_follow_on_one_another_are_refused_before_anything_is_unpacked() {
    for members in [
        [MEMBERS[0], MEMBERS[1], (CHAIN[2], 95, 141)],
        [MEMBERS[0], (CHAIN[1], 40, 94), MEMBERS[2]],
        [MEMBERS[0], (CHAIN[1], 94, 141), (CHAIN[2], 47, 94)],
    ] {
        let store = Memory::default();
        let expected = put(&store, &members);
        let (code, message) = refused(&store, expected);
        assert_eq!(code, ExitCode::VerificationFailed);
        assert!(message.starts_with("the backups are no chain: ") && message.contains("of the redo"), "{message}");
    }
}

#[test]
fn one_that_is_neither_ours_nor_the_originals_is_no_backup() {
    let store = Memory::default();
    let mut expected = put(&store, &MEMBERS);
    expected.remove(&format!("{}/{}", CHAIN[0], original::STREAM_FILE));
    let (code, message) = refused(&store, expected);
    assert_eq!(code, ExitCode::VerificationFailed);
    assert_eq!(message, format!("memory/{}/{MANIFEST_FILE} is not in the catalogue", CHAIN[0]));
}

/// Encrypts them, each with a key of its own.
fn encrypt(store: &Memory, expected: &mut BTreeMap<String, Checksum>, kek: &str) {
    for (number, backup) in CHAIN.into_iter().enumerate() {
        let key = format!("{number}").repeat(64);
        let stream = format!("{backup}/{}", original::STREAM_FILE);
        let plain = store.inside().files[&stream].clone();
        for (path, bytes) in [
            (stream, encrypted(&plain, &passphrase(&key))),
            (format!("{backup}/{}", original::KEY_FILE), encrypted(key.as_bytes(), &passphrase(kek))),
        ] {
            expected.insert(path.clone(), memory::md5_of(&bytes));
            store.put(&path, bytes);
        }
    }
}

#[test]
fn an_encrypted_chain_is_proven_with_its_key_and_refused_without_before_anything_is_unpacked() {
    let store = Memory::default();
    let mut expected = put(&store, &MEMBERS);
    encrypt(&store, &mut expected, "kek");
    let with = |order: &ProveOrder, key: Option<&str>| {
        run_order(&store, order, |state| state.original_key = key.map(|key| key.as_bytes().to_vec()))
    };
    let set = order(expected);
    let ran = with(&set, Some("kek\n"));
    assert!(matches!(ran.outcome.end, End::Done(_)), "{:?}", ran.outcome);
    let unset = ProveOrder { original_key: None, ..set.clone() };
    for (order, key, why, hint) in [
        (
            &unset,
            None,
            "was encrypted by the original, and no Secret with its key is set",
            "setup --original-key-secret",
        ),
        (
            &set,
            None,
            "was encrypted by the original, and Secret kek is not there or has no openssl_kek",
            "kek --from-file",
        ),
        (&set, Some(""), "and Secret kek is not there or has no openssl_kek", "kek --from-file"),
        (&set, Some("other"), "with another key than the one in Secret kek", "kek --from-file=openssl_kek=FILE"),
    ] {
        let ran = with(order, key);
        let End::Failed(failure) = &ran.outcome.end else { panic!("{:?}", ran.outcome) };
        assert_eq!((failure.code, steps(&ran, "make")), (ExitCode::Credentials, vec![]));
        assert!(failure.message.starts_with("2026-01-31_00-00-00 was encrypted") && failure.message.ends_with(why));
        assert!(failure.hint.as_ref().is_some_and(|told| told.contains(hint)), "{failure:?}");
    }
    let path = format!("{}/{}", CHAIN[1], original::KEY_FILE);
    store.damage(&path);
    let (code, message) = failure_of(&with(&set, Some("kek")));
    assert_eq!(code, ExitCode::VerificationFailed);
    assert!(message.starts_with(&format!("memory/{path} its bytes are not the ones")), "{message}");
}
