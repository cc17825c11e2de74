//! Ring 2: a proven copy takes the place of a real server's data and back, and data of a crash tell how far
//! they are.

use std::fs;

use mariadb_backup::model::catalogue::Catalogue;
use mariadb_backup::model::order::{
    DataPlace, ORDER_VERSION, ProveOrder, RefillAct, RefillOrder, RunnerOrder, RunnerTask, StoreName, Stores,
};
use mariadb_backup::model::report::{CopyReport, ProveReport, VolumeReport};

use crate::real_server::{RealServer, image};

const BASE: &str = "base/2026-01-31_00-00-00";

fn refill(act: RefillAct) -> RunnerTask {
    RunnerTask::Refill(RefillOrder {
        volume: "/mnt".to_owned(),
        place: DataPlace { directory: "data".to_owned(), is_full: false },
        run: "job".to_owned(),
        act,
        parallel: 2,
        go_ahead: None,
    })
}

/// Backs the server up, proves the backup beside its data, and returns the history that began.
fn proven(server: &RealServer) -> String {
    let (agent, _gate) = server.copy(RealServer::copy_order(BASE));
    let (code, word) = agent.end();
    assert_eq!(code, 0, "{word}");
    let report: CopyReport = serde_json::from_value(word["done"].clone()).unwrap();
    let mut catalogue = Catalogue::default();
    catalogue.enter(&report);
    let order = ProveOrder {
        stores: Stores { local: Some("/mnt/store".to_owned()), s3: None },
        chain: vec![report.backup.clone()],
        from: vec![StoreName::Local],
        expected: catalogue.files,
        scratch: "/mnt/.mariadb-backup/prepared".to_owned(),
        operator_credentials: Some("/mnt/operator".to_owned()),
        backup_credentials: Some("/mnt/backup".to_owned()),
        server_accounts: Vec::new(),
        server_logins_may_fail: false,
        original_key: None,
        query: None,
        prepare_memory_bytes: None,
        boot_timeout_secs: 60,
        prepare_timeout_secs: 120,
        count_rows: false,
        reserve_bytes: 1 << 20,
        discard: false,
    };
    let (code, word) = server.agent(RunnerTask::Prove(order), "").end();
    assert_eq!(code, 0, "{word}");
    let report: ProveReport = serde_json::from_value(word["done"].clone()).unwrap();
    report.history_uuid.unwrap()
}

/// Has the agent work on the volume while the server is down, and starts it again.
fn restarted_after(server: &mut RealServer, act: RefillAct) {
    let order = RunnerOrder { version: ORDER_VERSION, task: refill(act) };
    fs::write(server.path("order.json"), serde_json::to_string(&order).unwrap()).unwrap();
    server.restart_after(
        ": > /mnt/message; chmod 666 /mnt/message
         setpriv --reuid=mysql --regid=mysql --clear-groups /mnt/agent run --termination-message /mnt/message \
           --order \"$(cat /mnt/order.json)\" > /mnt/agent.log",
    );
}

fn history(server: &RealServer) -> String {
    server.sql("SHOW STATUS LIKE 'wsrep_cluster_state_uuid'").split('\t').nth(1).unwrap().to_owned()
}

#[test]
fn a_real_server_starts_on_the_proven_copy_in_its_new_history_and_on_the_old_data_again() {
    let mut server = RealServer::start(image());
    let old = history(&server);
    let new = proven(&server);
    server.sql("DELETE FROM shop.orders WHERE id > 100");
    let source = "/mnt/.mariadb-backup/prepared/base".to_owned();
    restarted_after(&mut server, RefillAct::Switch { source, history: new.clone() });
    assert_eq!(
        server.sql("SELECT COUNT(*) > 20000 FROM shop.orders"),
        "1",
        "what was deleted after the backup is back"
    );
    assert_eq!(history(&server), new);
    restarted_after(&mut server, RefillAct::PutBack { history: Some(new) });
    assert!(server.sql("SELECT COUNT(*) FROM shop.orders").parse::<u32>().unwrap() <= 100);
    assert_eq!(history(&server), old);
    restarted_after(&mut server, RefillAct::Tidy { scratch: None, keep_old_data: false, keep_failed: false });
    assert!(!server.path(".mariadb-backup").exists());
}

#[test]
fn data_of_a_crash_tell_by_the_server_s_own_recovery_how_far_they_are() {
    let mut server = RealServer::start(image());
    server.sql("INSERT INTO shop.orders (text) VALUES ('last')");
    let committed = server.sql("SHOW STATUS LIKE 'wsrep_last_committed'").split('\t').nth(1).unwrap().to_owned();
    let uuid = history(&server);
    server.kill();
    let (code, word) = server.agent(refill(RefillAct::Position), "").end();
    assert_eq!(code, 0, "{word}");
    let report: VolumeReport = serde_json::from_value(word["done"].clone()).unwrap();
    let state = report.state.unwrap();
    assert_eq!((state.uuid, state.seqno.to_string()), (uuid, committed));
}
