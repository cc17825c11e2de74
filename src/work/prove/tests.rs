//! The whole of a proof over a simulated world, with a fault and a stop at every effect.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::sim::{Fault, Mood, Sim, State};
use super::*;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::manifest::{MANIFEST_FILE, STREAM_FILE};
use crate::model::order::{OriginalKey, StoreName, Stores};
use crate::model::outcome::End;
use crate::ports::prove::KnownAccount;
use crate::work::frames::tests::frames_of;
use crate::work::memory::{self, Memory, stored};
use crate::work::stop;
use crate::work::xbstream::tests::{whole_increment, whole_stream};

mod originals;
mod sim;

const CHAIN: [&str; 3] = [
    "base/2026-01-31_00-00-00",
    "incr/2026-01-31_00-00-00/2026-01-31_01-00-00",
    "incr/2026-01-31_00-00-00/2026-01-31_02-00-00",
];

/// Puts a chain into a store, and returns what a catalogue says of it.
fn put_chain(store: &Memory) -> BTreeMap<String, Checksum> {
    let mut expected = BTreeMap::new();
    let mut parent: Option<(String, String)> = None;
    for (number, backup) in CHAIN.into_iter().enumerate() {
        let (from, to) = (number as u64 * 47, number as u64 * 47 + 47);
        let content = if number == 0 { whole_stream(&[]) } else { whole_increment(from, to) };
        let stream = frames_of(&content, 100);
        let manifest = memory::manifest(backup, &[(STREAM_FILE, &stream[..]), ("mariadb_backup_info", b"info")]);
        let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest["stream"]["bytes"] = json!(content.len());
        manifest["origin"]["lsn"] = json!({ "from": from, "to": to, "last": to });
        if let Some((backup, sha256)) = &parent {
            manifest["parent"] = json!({ "backup": backup, "manifestSha256": sha256 });
        }
        let manifest = serde_json::to_vec(&manifest).unwrap();
        parent = Some((backup.to_owned(), stored(&manifest).sha256));
        expected.insert(format!("{backup}/{STREAM_FILE}"), Checksum::of(&stored(&stream)));
        expected.insert(format!("{backup}/{MANIFEST_FILE}"), Checksum::of(&stored(&manifest)));
        store.put(&format!("{backup}/{STREAM_FILE}"), stream);
        store.put(&format!("{backup}/mariadb_backup_info"), "info");
        store.put(&format!("{backup}/{MANIFEST_FILE}"), manifest);
    }
    expected
}

fn order(expected: BTreeMap<String, Checksum>) -> ProveOrder {
    ProveOrder {
        stores: Stores { local: Some("/store".to_owned()), s3: None },
        chain: CHAIN.map(|backup| backup.parse::<BackupId>().unwrap()).to_vec(),
        from: vec![StoreName::Local; CHAIN.len()],
        expected,
        scratch: "/scratch".to_owned(),
        operator_credentials: Some("/operator".to_owned()),
        backup_credentials: None,
        server_accounts: Vec::new(),
        server_logins_may_fail: false,
        count_rows: false,
        original_key: Some(OriginalKey { secret: "kek".to_owned(), directory: "/kek".to_owned() }),
        query: Some("SELECT 7".to_owned()),
        prepare_memory_bytes: None,
        boot_timeout_secs: 5,
        prepare_timeout_secs: 5,
        reserve_bytes: 0,
        discard: false,
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

struct Ran {
    outcome: Outcome<ProveReport>,
    journal: Vec<String>,
    alive: usize,
    effects: usize,
    directories: Vec<String>,
    said: Vec<String>,
}

fn run_in(store: &Memory, expected: BTreeMap<String, Checksum>, change: impl FnOnce(&mut State)) -> Ran {
    run_order(store, &order(expected), change)
}

fn run_order(store: &Memory, order: &ProveOrder, change: impl FnOnce(&mut State)) -> Ran {
    let sim = Sim::default();
    let (stopper, stop) = stop::channel();
    {
        let mut state = sim.lock();
        state.stopper = Some(stopper);
        state.has_galera = true;
        state.directories = ["base", "inc-9", "other"].map(str::to_owned).to_vec();
        change(&mut state);
    }
    let (mut stores, events) = memory::ports(Some(store), None);
    stores.clock = Arc::new(sim.clone());
    let ports = ProvePorts {
        stores,
        scratch: Arc::new(sim.clone()),
        preparer: Arc::new(sim.clone()),
        throwaway: Arc::new(sim.clone()),
        sql: Arc::new(sim.clone()),
        original_key: sim.lock().original_key.clone(),
    };
    let outcome = wait(run(order, &ports, stop));
    let mut state = sim.lock();
    let (journal, directories) = (std::mem::take(&mut state.journal), std::mem::take(&mut state.directories));
    let said = events.all().into_iter().filter_map(|kind| match kind {
        EventKind::Said { by, line } => Some(format!("{by}: {line}")),
        _ => None,
    });
    Ran { outcome, journal, alive: state.alive, effects: state.effects, directories, said: said.collect() }
}

fn run_with(change: impl FnOnce(&mut State)) -> Ran {
    let store = Memory::default();
    let expected = put_chain(&store);
    run_in(&store, expected, change)
}

fn failure(ran: &Ran) -> (ExitCode, &str) {
    let End::Failed(failure) = &ran.outcome.end else { panic!("{:?}", ran.outcome) };
    (failure.code, &failure.message)
}

fn steps<'a>(ran: &'a Ran, word: &str) -> Vec<&'a str> {
    ran.journal.iter().map(String::as_str).filter(|step| step.starts_with(word)).collect()
}

#[test]
fn a_chain_is_unpacked_prepared_in_order_booted_and_asked() {
    let ran = run_with(|_| {});
    let End::Done(report) = &ran.outcome.end else { panic!("{:?}", ran.outcome) };
    assert_eq!((report.tables, report.schemas, report.history_uuid.as_deref()), (2, 2, Some("fresh")));
    assert_eq!(report.query_result.as_ref().unwrap().rows, [["7"]]);
    assert_eq!(report.logins.operator.as_deref(), Some("Operator"));
    assert_eq!(report.backup.directory(), CHAIN[2]);
    assert!(report.unpacked_bytes > 0 && report.stored_bytes > 0);
    assert_eq!(steps(&ran, "remove"), ["remove base", "remove inc-9", "remove inc-1", "remove inc-2", "remove run"]);
    assert_eq!(steps(&ran, "prepare"), ["prepare base", "prepare inc-1", "prepare inc-2"]);
    assert_eq!(ran.directories, ["other", "base"]);
    check_order_of(&ran, "undisturbed");
    assert_eq!(ran.alive, 0);
    assert!(serde_json::to_string(&ran.outcome).unwrap().len() < 4096);
}

#[test]
fn no_fault_at_any_effect_leaves_a_process_or_a_claim() {
    let effects = run_with(|_| {}).effects;
    assert!(effects > 50);
    for at in 0..effects {
        let ran = run_with(|state| state.fault = Some((at, Fault::Fails)));
        let what = ran.journal.get(at).cloned().unwrap_or_default();
        assert_eq!(ran.alive, 0, "{at} {what}");
        // A server that does not answer yet is asked again.
        if what == "answer" {
            assert!(matches!(ran.outcome.end, End::Done(_)), "{at}");
            continue;
        }
        assert!(matches!(ran.outcome.end, End::Failed(_)), "{at} {what}");
        check_order_of(&ran, &what);
    }
}

#[test]
fn a_stop_at_any_effect_ends_it_and_leaves_no_process() {
    let effects = run_with(|_| {}).effects;
    for at in 0..effects {
        let ran = run_with(|state| state.fault = Some((at, Fault::Stops)));
        let what = ran.journal.get(at).cloned().unwrap_or_default();
        assert_eq!(ran.alive, 0, "{at} {what}");
        check_order_of(&ran, &what);
        match &ran.outcome.end {
            End::Failed(failure) => assert_eq!(failure.message, "stopped before the backup was proven", "{what}"),
            // Too late: the server had ended already.
            End::Done(_) => assert!(ran.journal.iter().any(|step| step == "server ends"), "{at} {what}"),
        }
    }
}

/// Nothing is prepared before everything is unpacked, nothing booted before all is prepared, nothing called
/// proven before what stays of it is durable.
fn check_order_of(ran: &Ran, what: &str) {
    let at = |step: &str| ran.journal.iter().position(|found| found == step);
    if matches!(ran.outcome.end, End::Done(_)) {
        assert!(at("durable") > at("server ends"), "{what}: {:?}", ran.journal);
    }
    if at("prepare base").is_some() {
        assert_eq!(steps(ran, "make").len(), CHAIN.len(), "{what}");
    }
    if at("boot base").is_some() {
        assert_eq!(steps(ran, "tool ends").len(), CHAIN.len(), "{what}");
    }
}

#[test]
fn nothing_of_a_chain_that_is_damaged_anywhere_is_prepared() {
    let files: Vec<_> = CHAIN
        .iter()
        .flat_map(|backup| [STREAM_FILE, MANIFEST_FILE, "mariadb_backup_info"].map(|name| format!("{backup}/{name}")))
        .collect();
    for path in files {
        let store = Memory::default();
        let expected = put_chain(&store);
        store.damage(&path);
        let ran = run_in(&store, expected, |_| {});
        let (code, message) = failure(&ran);
        assert_eq!(code, ExitCode::VerificationFailed, "{message}");
        assert!(message.starts_with(&format!("memory/{path} ")), "{message}");
        assert_eq!(steps(&ran, "prepare"), [""; 0], "{path}");
    }
}

#[test]
fn a_bucket_that_does_not_hand_a_file_out_says_nothing_about_the_backup() {
    let store = Memory::default();
    let expected = put_chain(&store);
    let path = format!("{}/{STREAM_FILE}", CHAIN[1]);
    store.inside().faults.insert(path.clone(), memory::Fault::Breaks);
    let sim = Sim::default();
    sim.lock().has_galera = true;
    let (mut stores, _events) = memory::ports(None, Some(&store));
    stores.clock = Arc::new(sim.clone());
    let ports = ProvePorts {
        stores,
        scratch: Arc::new(sim.clone()),
        preparer: Arc::new(sim.clone()),
        throwaway: Arc::new(sim.clone()),
        sql: Arc::new(sim.clone()),
        original_key: None,
    };
    let mut order = order(expected);
    order.from = vec![StoreName::S3; CHAIN.len()];
    order.stores = serde_json::from_value(json!({ "s3": {
        "bucket": "b", "prefix": "p", "region": "r", "pathStyle": true, "checksumsWhenRequired": true, "maxParts": 1,
        "bytesPerSec": 0
    }}))
    .unwrap();
    let End::Failed(failure) = wait(run(&order, &ports, stop::channel().1)).end else { panic!("it broke") };
    assert_eq!(failure.code, ExitCode::FailedInCluster);
    assert!(failure.message.contains(&path), "{failure:?}");
}

#[test]
fn programs_that_hang_fail_or_die_are_told_and_ended() {
    for (mood, wanted) in [
        (Mood::ToolHangs, "mariadb-backup was not done preparing after 5 seconds"),
        (Mood::ToolFails, "cannot prepare 2026-01-31_00-00-00: mariadb-backup ended with exit code 1; [ERROR] why"),
        (Mood::ServerDies, "the throwaway server ended with signal 11; [ERROR] why"),
        (Mood::ServerNeverAnswers, "the throwaway server did not answer within 5 seconds; [ERROR] why"),
        (Mood::ServerNeverEnds, "the throwaway server did not shut down within 5 seconds; [ERROR] why"),
        (Mood::ServerEndsBadly, "the throwaway server ended with signal 11 when it was shut down; [ERROR] why"),
    ] {
        let ran = run_with(|state| state.mood = mood);
        assert_eq!(failure(&ran), (ExitCode::FailedInCluster, wanted), "{mood:?}");
        assert_eq!(ran.alive, 0, "{mood:?}");
    }
}

#[test]
fn what_a_program_that_failed_wrote_last_is_told_whole_and_of_one_that_did_not_nothing() {
    let said = |mood| run_with(|state| state.mood = mood).said;
    assert_eq!(said(Mood::ToolFails), ["mariadb-backup: [ERROR] why"]);
    for mood in [Mood::ServerDies, Mood::ServerNeverAnswers, Mood::ServerNeverEnds, Mood::ServerEndsBadly] {
        assert_eq!(said(mood), ["mariadbd: [Note] how it began", "mariadbd: [ERROR] why"], "{mood:?}");
    }
    assert_eq!(run_with(|_| ()).said, [""; 0]);
}

#[test]
fn a_program_that_fails_without_room_is_told_with_that_cause() {
    for mood in [Mood::ToolFails, Mood::ServerDies] {
        let ran = run_with(|state| (state.mood, state.fills_up) = (mood, true));
        assert_eq!(failure(&ran), (ExitCode::FailedInCluster, "only 7B are left in /scratch"), "{mood:?}");
        let End::Failed(failure) = &ran.outcome.end else { panic!("it failed") };
        assert!(failure.causes[0].contains("[ERROR] why"), "{failure:?}");
        assert!(failure.hint.as_ref().unwrap().contains("more room"), "{failure:?}");
    }
}

#[test]
fn without_galera_there_is_no_fresh_history_and_a_warning() {
    let ran = run_with(|state| state.has_galera = false);
    let End::Done(report) = &ran.outcome.end else { panic!("{:?}", ran.outcome) };
    assert_eq!((report.history_uuid.as_ref(), ran.outcome.warnings.len()), (None, 1));
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let changes: [fn(&mut ProveOrder); 5] = [
        |order| order.chain.clear(),
        |order| drop(order.chain.remove(0)),
        |order| order.chain[1] = order.chain[0].clone(),
        |order| order.from.truncate(2),
        |order| order.from[0] = StoreName::S3,
    ];
    for change in changes {
        let mut wrong = order(BTreeMap::new());
        change(&mut wrong);
        assert_eq!(plan::check_order(&wrong).map_err(|error| Failure::of(&error).code), Err(ExitCode::Usage));
    }
}

#[test]
fn what_a_refused_login_means_goes_by_the_accounts_in_the_backup() {
    use crate::ports::prove::KnownAccount;
    use check::{Denial, judge};
    let known = |host: &str, needs_tls| KnownAccount { host: host.to_owned(), needs_tls, has_no_password: false };
    assert_eq!(judge(&[]), Denial::Unknown);
    assert_eq!(judge(&[known("10.%", false), known("%", false)]), Denial::WrongPassword);
    assert!(matches!(judge(&[known("10.%", false)]), Denial::Unreachable(why) if why.contains("10.%")));
    assert!(matches!(judge(&[known("localhost", true)]), Denial::Unreachable(why) if why.contains("TLS")));
}

#[test]
fn what_was_unpacked_goes_at_the_end_when_that_is_wished_whatever_came_of_it() {
    let store = Memory::default();
    let order = ProveOrder { discard: true, ..order(put_chain(&store)) };
    let whole = run_order(&store, &order, |_| {});
    assert!(matches!(whole.outcome.end, End::Done(_)) && whole.directories.is_empty(), "{:?}", whole.directories);
    let mut damaged = order;
    damaged.expected.values_mut().for_each(|sum| sum.checksum = "0".repeat(64));
    let failed = run_order(&store, &damaged, |_| {});
    assert_eq!(failure(&failed).0, ExitCode::VerificationFailed);
    assert_eq!((failed.directories, failed.journal.last().map(String::as_str)), (vec![], Some("discard")));
}

#[test]
fn an_account_of_the_servers_own_pods_that_is_not_let_in_is_found_before_anything_is_touched() {
    let host = |host: &str| KnownAccount { host: host.to_owned(), needs_tls: false, has_no_password: false };
    let of = |may_fail: bool, refused: Option<Vec<KnownAccount>>| {
        let store = Memory::default();
        let order = ProveOrder { server_logins_may_fail: may_fail, ..order(put_chain(&store)) };
        run_order(&store, &order, |state| (state.has_server_account, state.server_refused) = (true, refused))
    };
    let said =
        "the password of root that the servers' own pods use today (key k of Secret s) is not the one in the backup";
    assert_eq!(failure(&of(false, Some(vec![host("localhost")]))), (ExitCode::Credentials, said));
    let said = "the backup has no account root, which the servers' own pods use today (key k of Secret s)";
    assert_eq!(failure(&of(false, Some(vec![]))), (ExitCode::Credentials, said));
    for (ran, warned) in [
        (of(true, Some(vec![host("localhost")])), "is not the one in the backup"),
        (of(false, Some(vec![host("10.%")])), ""),
        (of(false, Some(vec![KnownAccount { has_no_password: true, ..host("localhost") }])), ""),
        (of(false, None), ""),
    ] {
        assert!(matches!(ran.outcome.end, End::Done(_)), "{:?}", ran.outcome);
        assert_eq!(ran.outcome.warnings.len(), usize::from(!warned.is_empty()), "{:?}", ran.outcome.warnings);
        assert!(ran.outcome.warnings.iter().all(|warning| warning.contains(warned)), "{:?}", ran.outcome.warnings);
    }
}

#[test]
fn a_tool_of_another_series_is_refused_before_anything_is_unpacked() {
    let ran = run_with(|state| state.is_of_another_series = true);
    let (code, said) = failure(&ran);
    assert_eq!(code, ExitCode::Refused);
    assert!(said.contains("11.4.2-MariaDB"), "{said}");
    assert_eq!(steps(&ran, "make"), [""; 0]);
}

#[test]
fn an_account_that_may_only_have_made_the_first_data_stands_in_nobody_s_way() {
    let store = Memory::default();
    let ran = run_order(&store, &order(put_chain(&store)), |state| {
        (state.has_server_account, state.is_only_a_variable) = (true, true);
        state.server_refused = Some(vec![]);
    });
    assert!(matches!(ran.outcome.end, End::Done(_)), "{:?}", ran.outcome);
    assert_eq!(ran.outcome.warnings, [""; 0]);
}
