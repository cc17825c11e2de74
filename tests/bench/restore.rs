//! What a restore takes beside the server's own stop and start, against the original's script: it hashes,
//! wipes, unpacks, prepares and copies while the cluster is down; ours proves before and renames.

use std::collections::BTreeMap;

use mariadb_backup::model::order::{DataPlace, ProveOrder, RefillAct, RefillOrder, RunnerTask, StoreName};
use serde_json::Value;
use std::time::Instant;

use crate::measure::{Sample, end_of};
use crate::world::{World, drop_caches, local};

/// A volume with old data, whose data directory has room beside it.
const VOLUME: &str = "/mnt/volume";

/// One whose data directory is its root.
const BARE: &str = "/mnt/bare";

/// What a restore's steps took.
pub(crate) struct Restore {
    /// Compare, unpack, prepare, boot: while the cluster serves.
    pub(crate) prove: Sample,
    /// What the cluster stands still for, beside its own stop and start.
    pub(crate) switch: Sample,
    /// The same where the data have to be copied.
    pub(crate) copy: Sample,
    /// `cp -a` of the same data.
    pub(crate) cp: Sample,
}

/// Restores a backup of the volume.
///
/// In every other round `cp` comes before our copy: neither may live on what the other has left in a cache.
pub(crate) fn restore(world: &World, name: &str, round: usize) -> Restore {
    world.server.shell(&format!(
        "rm -rf {VOLUME} {BARE}; mkdir -p {VOLUME}/mysql {BARE} && echo old > {VOLUME}/mysql/ibdata1 && chown -R mysql:mysql {VOLUME} {BARE}"
    ));
    let scratch = format!("{VOLUME}/.mariadb-backup/prepared");
    drop_caches();
    let (prove, told) = agent(world, RunnerTask::Prove(prove_order(world, name, &scratch)));
    let step = |name: &str| told["done"][format!("{name}Millis")].as_f64().unwrap() / 1000.0;
    let steps = ["unpack", "prepare", "boot", "check"].map(|name| format!("{name} {:.1} s", step(name)));
    println!("  prove: {}", steps.join(", "));
    let history = told["done"]["historyUuid"].as_str().unwrap().to_owned();
    let source = format!("{scratch}/base");
    let after = |copied: Sample| {
        world.server.shell(&format!("rm -rf {BARE}/*"));
        copied
    };
    let ours = || {
        drop_caches();
        let act = RefillAct::Switch { source: source.clone(), history: history.clone() };
        after(agent(world, refill(BARE, "", act)).0)
    };
    let theirs = || {
        drop_caches();
        after(world.shell(&format!("cp -a {source}/. {BARE}/ && sync -f {BARE}")))
    };
    let (copy, cp) = if round.is_multiple_of(2) {
        let copy = ours();
        (copy, theirs())
    } else {
        let cp = theirs();
        (ours(), cp)
    };
    let (switch, _) = agent(world, refill(VOLUME, "mysql", RefillAct::Switch { source, history }));
    world.server.shell(&format!("rm -rf {VOLUME} {BARE}"));
    Restore { prove, switch, copy, cp }
}

fn agent(world: &World, task: RunnerTask) -> (Sample, Value) {
    let begun = Instant::now();
    end_of(world.server.agent(task, ""), begun)
}

fn refill(volume: &str, directory: &str, act: RefillAct) -> RunnerTask {
    RunnerTask::Refill(RefillOrder {
        volume: volume.to_owned(),
        place: DataPlace { directory: directory.to_owned(), is_full: false },
        run: "bench".to_owned(),
        act,
        parallel: 2,
        go_ahead: None,
    })
}

fn prove_order(world: &World, name: &str, scratch: &str) -> ProveOrder {
    ProveOrder {
        stores: local(),
        chain: vec![name.parse().unwrap()],
        from: vec![StoreName::Local],
        expected: world.expected(name).into_iter().collect::<BTreeMap<_, _>>(),
        scratch: scratch.to_owned(),
        operator_credentials: None,
        backup_credentials: None,
        server_accounts: Vec::new(),
        server_logins_may_fail: false,
        original_key: None,
        query: None,
        prepare_memory_bytes: None,
        boot_timeout_secs: 120,
        prepare_timeout_secs: 600,
        count_rows: true,
        reserve_bytes: 0,
        discard: false,
    }
}

/// The original's script on the same backup, from the hash to the data in place, without its waits and
/// without the server's stop and start.
pub(crate) fn original(world: &World, name: &str) -> Sample {
    world.server.shell(&format!(
        "mkdir -p /mnt/original/base/one {BARE} && zstd -q -dc /mnt/store/{name}/backup.mbstream.zst | gzip > /mnt/original/base/one/backup.stream.gz"
    ));
    drop_caches();
    let script = format!(
        "/mnt/rclone hashsum md5 /mnt/original && rm -rf /mnt/unpacked && mkdir /mnt/unpacked && \
         zcat /mnt/original/base/one/backup.stream.gz | mbstream -x -C /mnt/unpacked && \
         mariadb-backup --prepare --target-dir=/mnt/unpacked 2> /mnt/prepare.log && \
         mariadb-backup --copy-back --target-dir=/mnt/unpacked --datadir={BARE} 2> /mnt/copy.log"
    );
    let sample = world.shell(&script);
    world.server.shell(&format!("rm -rf /mnt/original /mnt/unpacked {BARE}"));
    sample
}
