//! Ring 2: real copies by the real agent, good ones and every way they go wrong.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mariadb_backup::model::order::{CopyOrder, RunnerTask};
use serde_json::Value;

use crate::real_server::{GATE, Image, RealServer, image, old_image, wait_for};

const NAME: &str = "base/2026-01-31_23-59-59";

/// Exit codes as scripts know them.
const FAILED: i32 = 4;
const REFUSED: i32 = 6;
const CREDENTIALS: i32 = 12;

fn message(word: &Value) -> String {
    format!("{} {}", word["failed"]["message"], word["failed"]["causes"])
}

/// Everything in a store but its seals, by path.
fn files_in(server: &RealServer) -> Vec<String> {
    let but_seals = ["-name", ".seals", "-prune", "-o", "-type", "f", "-printf", "%P\\n"];
    let output = Command::new("find").arg(server.path("store")).args(but_seals).output();
    let mut files: Vec<_> = String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect();
    files.sort();
    files
}

/// Starts a copy that cannot end, because the tool has to wait for a lock, and waits until it does.
fn begin_copy_that_hangs(server: &RealServer) -> (crate::real_server::Agent, [crate::real_server::Session; 2]) {
    let mut holder = server.session();
    assert_eq!(holder.ask("LOCK TABLES shop.orders WRITE; SELECT 'held'"), "held");
    let (mut agent, gate) = server.copy(RealServer::copy_order(NAME));
    assert!(agent.wait_until("progress"));
    wait_for("the tool", || server.sql("SHOW PROCESSLIST").contains("BACKUP STAGE").then_some(()));
    assert!(!server.is_synced());
    (agent, [holder, gate])
}

fn copied_and_restored_by_stock_tools(image: &Image) {
    let server = RealServer::start(image);
    let (agent, _gate) = server.copy(RealServer::copy_order(NAME));
    let (code, word) = agent.end();
    assert_eq!(code, 0, "{word}");
    assert!(server.is_synced());
    let expected = [
        "backup.mbstream.zst",
        "manifest.json",
        "mariadb_backup_checkpoints",
        "mariadb_backup_galera_info",
        "mariadb_backup_info",
    ]
    .map(|name| format!("{NAME}/{name}"));
    assert_eq!(files_in(&server), expected);
    // Of a server that does not tell it, no increment could be proven.
    assert!(server.sql("SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'").contains('\t'));
    let rows = server.sql("CHECKSUM TABLE shop.orders");

    let stream = fs::File::open(server.path(&format!("store/{NAME}/backup.mbstream.zst"))).unwrap();
    let plain = fs::File::create(server.path("stream")).unwrap();
    assert!(
        Command::new("zstd")
            .arg("-dc")
            .stdin(stream)
            .stdout(plain)
            .stderr(Stdio::inherit())
            .status()
            .unwrap()
            .success()
    );
    server.shell(
        "mkdir /mnt/restored; mbstream -x -C /mnt/restored < /mnt/stream
         mariadb-backup --prepare --target-dir=/mnt/restored; chown -R mysql:mysql /mnt/restored
         mariadbd --no-defaults --user=mysql --datadir=/mnt/restored --socket=/mnt/r --skip-networking \
           --innodb-buffer-pool-size=32M --pid-file=/mnt/r.pid 2> /mnt/restored.log &
         for i in $(seq 300); do mariadb --no-defaults -S /mnt/r -e 'SELECT 1' 2> /dev/null && break; sleep 0.1; done
         mariadb --no-defaults -S /mnt/r -NBe 'CHECKSUM TABLE shop.orders' > /mnt/rows
         mariadb-admin --no-defaults -S /mnt/r shutdown; wait",
    );
    assert_eq!(fs::read_to_string(server.path("rows")).unwrap().trim_end(), rows);
}

#[test]
fn a_backup_is_restored_by_stock_tools_alone() {
    copied_and_restored_by_stock_tools(image());
}

#[test]
fn the_released_agent_works_in_an_image_older_than_its_build_machine() {
    copied_and_restored_by_stock_tools(old_image());
}

#[test]
fn sigterm_in_the_middle_rejoins_the_replica_and_publishes_nothing() {
    let server = RealServer::start(image());
    let (mut agent, _sessions) = begin_copy_that_hangs(&server);
    agent.signal("TERM");
    let (code, word) = agent.end();
    assert_eq!(
        (code, word["failed"]["message"].as_str()),
        (FAILED, Some("stopped during the copy; the replica was brought back"))
    );
    assert!(server.is_synced());
    assert_eq!(files_in(&server), [""; 0]);
}

#[test]
fn sigkill_leaves_nothing_that_counts_and_the_next_run_sweeps_it() {
    let server = RealServer::start(image());
    let (mut agent, sessions) = begin_copy_that_hangs(&server);
    agent.signal("KILL");
    drop(agent);
    drop(sessions);
    assert_eq!(files_in(&server).len(), 1, "unfinished work");
    assert!(!server.path("store/base").exists());
    // The conductor settles the desync; a runner must not take it for its own.
    let (agent, gate) = server.copy(RealServer::copy_order(NAME));
    let (code, word) = agent.end();
    drop(gate);
    assert_eq!(code, REFUSED, "{word}");
    assert!(message(&word).contains("desynced already"), "{word}");
    server.sql("SET GLOBAL wsrep_desync=OFF");
    wait_for("the replica", || server.is_synced().then_some(()));
    let (agent, _gate) = server.copy(RealServer::copy_order(NAME));
    assert_eq!(agent.end().0, 0);
    assert_eq!(files_in(&server).len(), 5);
}

#[test]
fn a_full_volume_fails_cleanly() {
    let server = RealServer::start(image());
    server.shell("mount -t tmpfs -o size=6m,mode=777 tmpfs /mnt/store");
    let mut order = RealServer::copy_order(NAME);
    order.required_space_ratio = 0.01;
    let (agent, _gate) = server.copy(order);
    let (code, word) = agent.end();
    assert_eq!(code, FAILED, "{word}");
    assert!(message(&word).contains("cannot write the backup"), "{word}");
    assert!(message(&word).contains("No space left"), "{word}");
    assert!(server.is_synced());
    server.shell("test -z \"$(find /mnt/store -type f)\"");
}

#[test]
fn too_little_room_is_refused_before_anything_is_touched() {
    let server = RealServer::start(image());
    let mut order = RealServer::copy_order(NAME);
    order.required_space_ratio = 100.0;
    server.shell("mount -t tmpfs -o size=64m,mode=777 tmpfs /mnt/store");
    let (agent, _gate) = server.copy(order);
    let (code, word) = agent.end();
    assert_eq!(code, REFUSED, "{word}");
    assert!(message(&word).contains("not enough room"), "{word}");
}

#[test]
fn a_server_killed_in_the_middle_fails_the_copy_fast() {
    let mut server = RealServer::start(image());
    let (agent, _sessions) = begin_copy_that_hangs(&server);
    let begun = Instant::now();
    server.kill();
    let (code, word) = agent.end();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(code, FAILED, "{word}");
    assert!(message(&word).contains("server"), "{word}");
    assert_eq!(files_in(&server), [""; 0]);
}

#[test]
fn a_wrong_password_is_refused_before_anything_is_touched() {
    let server = RealServer::start(image());
    for account in ["operator", "backup"] {
        server.shell(&format!("cp -a /mnt/{account} /mnt/kept; printf wrong > /mnt/{account}/password"));
        let (agent, _gate) = server.copy(RealServer::copy_order(NAME));
        let (code, word) = agent.end();
        assert_eq!(code, CREDENTIALS, "{word}");
        assert!(message(&word).contains(account) && message(&word).contains("1045"), "{word}");
        server.shell(&format!("rm -r /mnt/{account}; mv /mnt/kept /mnt/{account}"));
    }
    assert!(server.is_synced());
}

#[test]
fn a_missing_right_is_refused_with_the_grant_that_gives_it() {
    let server = RealServer::start(image());
    server.sql("REVOKE BINLOG MONITOR ON *.* FROM backup@'%'");
    let (agent, _gate) = server.copy(RealServer::copy_order(NAME));
    let (code, word) = agent.end();
    assert_eq!(code, REFUSED, "{word}");
    assert!(word["failed"]["hint"].as_str().unwrap().contains("GRANT BINLOG MONITOR"), "{word}");
}

#[test]
fn an_image_without_the_tool_is_refused() {
    let server = RealServer::start(image());
    let order = Box::new(RealServer::copy_order(NAME));
    let hide = "mount -t tmpfs tmpfs /opt; cp /usr/bin/setpriv /opt; PATH=/opt";
    let (code, word) = server.agent(RunnerTask::Copy(order), hide).end();
    assert_eq!((code, word["failed"]["message"].as_str()), (REFUSED, Some("this image has no mariadb-backup")));
}

#[test]
fn the_files_of_another_server_are_refused() {
    let server = RealServer::start(image());
    let order = Box::new(RealServer::copy_order(NAME));
    let swap = "cp -a /mnt/data /mnt/other; sed -i 's/my_uuid: ......../my_uuid: ffffffff/' /mnt/other/gvwstate.dat; \
                mount --bind /mnt/other /mnt/data";
    let (code, word) = server.agent(RunnerTask::Copy(order), swap).end();
    assert_eq!(code, REFUSED, "{word}");
    assert!(message(&word).contains("belong to member ffffffff"), "{word}");
}

#[test]
fn a_conductor_that_dies_before_the_go_ahead_leaves_everything_as_it_was() {
    let server = RealServer::start(image());
    let gate = server.closed_gate();
    let mut agent = server.agent(RunnerTask::Copy(Box::new(RealServer::copy_order(NAME))), "");
    assert!(agent.wait_until("ready"));
    drop(gate);
    let (code, word) = agent.end();
    assert_eq!(code, FAILED, "{word}");
    assert!(message(&word).contains("conductor of this run is gone"), "{word}");
    assert!(server.is_synced());
}

#[test]
fn what_a_killed_tool_left_on_the_server_is_ended_and_the_replica_comes_back() {
    let server = RealServer::start(image());
    // Its connection outlives it and keeps the member paused, as when the network is cut between them.
    let tool = "#!/bin/sh\ncase \"$*\" in *--version*|*--help*) exec /usr/bin/mariadb-backup \"$@\";; esac\n\
                printf '[client]\\nuser=backup\\npassword=\"b\\\\\"#\\\\\\\\p\"\\n' > /mnt/scratch/client.cnf\n\
                setsid mariadb --defaults-file=/mnt/scratch/client.cnf -h 127.0.0.1 \
                -e 'BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT; SELECT SLEEP(600)' > /dev/null 2>&1 &\n\
                exec sleep 600\n";
    server.shell("mkdir /mnt/tool");
    fs::write(server.path("tool/mariadb-backup"), tool).unwrap();
    server.shell("chmod 755 /mnt/tool/mariadb-backup");
    let mut gate = server.closed_gate();
    let mut agent = server.agent(RunnerTask::Copy(Box::new(RealServer::copy_order(NAME))), "PATH=/mnt/tool:$PATH");
    assert!(agent.wait_until("ready"));
    gate.open_gate();
    wait_for("the pause", || server.sql("SHOW PROCESSLIST").contains("SLEEP(600)").then_some(()));
    agent.signal("TERM");
    let (code, word) = agent.end();
    assert_eq!(
        (code, word["failed"]["message"].as_str()),
        (FAILED, Some("stopped during the copy; the replica was brought back"))
    );
    assert!(server.is_synced());
    assert!(!server.sql("SHOW PROCESSLIST").contains("SLEEP(600)"));
}

#[test]
fn a_copy_does_not_begin_before_traffic_has_left() {
    let server = RealServer::start(image());
    let mut gate = server.closed_gate();
    let mut conductor = server.session();
    assert_eq!(conductor.ask(&format!("SELECT GET_LOCK('{GATE}.drain', 0)")), "1");
    let order = CopyOrder { drain_secs: 50, ..RealServer::copy_order(NAME) };
    let mut agent = server.agent(RunnerTask::Copy(Box::new(order)), "");
    assert!(agent.wait_until("ready"));
    gate.open_gate();
    let waits = |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("waiting for traffic"));
    assert!(agent.wait_until_event(waits));
    assert!(!server.is_synced());
    assert!(!server.sql("SHOW PROCESSLIST").contains("backup"), "no mariadb-backup yet");
    assert_eq!(conductor.ask(&format!("SELECT RELEASE_LOCK('{GATE}.drain')")), "1");
    let (code, word) = agent.end();
    assert_eq!(code, 0, "{word}");
    assert!(server.is_synced());
}

#[test]
fn a_data_volume_without_room_is_refused_before_anything_is_touched() {
    let server = RealServer::start(image());
    let order = CopyOrder { data_free_bytes: 1 << 60, ..RealServer::copy_order(NAME) };
    let (agent, _gate) = server.copy(order);
    let (code, word) = agent.end();
    assert_eq!(code, REFUSED, "{word}");
    assert!(message(&word).contains("free on the data volume"), "{word}");
    assert!(server.is_synced());
}
