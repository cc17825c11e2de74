//! The speed of backups, as ratios to the raw tools and to the original's pipeline in one run: `make bench`.
//!
//! In turns, over the same data. Absolute times are a machine's; the ratios are ours. Prints a table,
//! writes `target/bench/backup.json`, and fails when a goal is missed. Takes about ten minutes.

#![expect(clippy::disallowed_methods, reason = "a benchmark stands outside and uses the world as it is")]
#![expect(clippy::unwrap_used, reason = "a benchmark that panics has failed, which is what it is for")]
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mariadb_backup::model::order::Depth;
use serde_json::{Value, json};

mod measure;
mod original;
mod restore;
mod startup;
// The harness of ring 2 has more than a benchmark needs.
#[expect(dead_code, reason = "shared with ring 2, which uses the rest")]
#[path = "../it/real_server.rs"]
mod real_server;
mod world;

use measure::{Sample, TIMES, median, timed};
use world::{World, both, drop_caches, local};

/// Rounds of what is short; the median counts.
const ROUNDS: usize = 3;

/// Older backups of the original, as many as the measurements its goals come from had.
const EXISTING: usize = 3;

/// Older backups that must cost next to nothing.
const OLDER: usize = 10;

/// Batches of rows for a stream of about 1.3 GB, and for one of about 8 GB.
const SMALL: usize = 10;
const LARGE: usize = 60;

/// What was found, beside what is wanted.
#[derive(Default)]
struct Table {
    times: Vec<(&'static str, Sample)>,
    goals: Vec<(&'static str, f64, f64)>,
}

impl Table {
    fn time(&mut self, name: &'static str, sample: Sample) -> Sample {
        println!("  {name}: {:.2} s, {:.2} CPU s", sample.wall, sample.cpu);
        self.times.push((name, sample));
        sample
    }

    fn goal(&mut self, name: &'static str, found: f64, most: f64) {
        self.goals.push((name, found, most));
    }
}

fn main() {
    let mut table = Table::default();
    startups(&mut table);
    // `cargo bench -- startup` measures that alone, in seconds.
    if std::env::args().any(|argument| argument == "startup") {
        return show(0, &table);
    }
    let world = World::start();
    world.load(SMALL);
    // `cargo bench -- restore` measures that alone, in a few minutes.
    if std::env::args().any(|argument| argument == "restore") {
        world.back_up(&name(0), local());
        restores(&world, &mut table);
        return show(0, &table);
    }
    let bytes = local_backups(&world, &mut table);
    restores(&world, &mut table);
    with_s3(&world, &mut table);
    world.clear();
    world.load(LARGE - SMALL);
    at_eight_gigabytes(&world, &mut table);
    show(bytes, &table);
}

/// What a person waits for.
fn startups(table: &mut Table) {
    let (plugin, kubectl) = startup::programs();
    let took = startup::startup(&plugin, &kubectl);
    table.time("plugin --help", took.help);
    table.time("plugin list", took.list);
    table.time("plugin status", took.status);
    table.time("kubectl get configmaps", took.kubectl);
    table.goal("plugin --help: own start, ms", took.help.wall * 1000.0, 15.0);
    // Of these two, what is not waiting for the server.
    table.goal("plugin list: own CPU, ms", took.list.cpu * 1000.0, 15.0);
    table.goal("plugin status: own CPU, ms", took.status.cpu * 1000.0, 15.0);
    table.goal("plugin list / kubectl get, wall", took.list.wall / took.kubectl.wall, 0.5);
}

fn name(number: usize) -> String {
    format!("base/2026-01-31_00-00-{number:02}")
}

/// The copy alone, against the raw tool, zstd and the original; returns the stream's length.
fn local_backups(world: &World, table: &mut Table) -> u64 {
    let stream = tempfile::tempdir_in("/dev/shm").unwrap();
    let stream = stream.path().join("stream");
    world.raw(fs::File::create(&stream).unwrap().into());
    let bytes = fs::metadata(&stream).unwrap().len();
    let (mut raws, mut zstds, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raws.push(world.raw(Stdio::null()));
        zstds.push(zstd(&stream));
        ours.push(world.back_up(&name(round), local()));
    }
    drop(fs::remove_file(&stream));
    let raw = table.time("mariadb-backup > /dev/null", median(&raws));
    let zstd = table.time("zstd -1 -T2 > /dev/null", median(&zstds));
    let ours = table.time("backup, local", median(&ours));
    table.goal("local backup / zstd -1 -T2, wall", ours.wall / zstd.wall, 1.6);
    table.goal("local backup / (raw + zstd), CPU", ours.cpu / (raw.cpu + zstd.cpu), 1.4);
    table.goal("desync window / raw copy", ours.window / raw.wall, 2.2);
    table.goal("ON to first byte + last byte to OFF, s", ours.edges, 1.0);
    table.goal("agent's memory, local, MiB", ours.peak_mib, 128.0);
    older_backups(world, table, ours);
    bytes
}

/// What older backups cost a new one.
fn older_backups(world: &World, table: &mut Table, copy: Sample) {
    let older = world.multiply(&name(0), OLDER);
    let (first, said) = world.check(&older, Depth::Changed);
    assert_eq!(said["done"]["local"], "r".repeat(OLDER), "each is read once: {said}");
    table.time("checking 10 older backups, first time", first);
    let (again, said) = world.check(&older, Depth::Changed);
    assert_eq!(said["done"]["local"], "g".repeat(OLDER), "none is read again: {said}");
    let again = table.time("checking 10 older backups, again", again);
    table.goal("(backup with 10 older) / (with none), wall", (copy.wall + again.wall) / copy.wall, 1.05);
    world.server.shell("rm -rf /mnt/store/base/2026-01-01_*");
}

/// What a restore takes, against the original's script and `cp`.
fn restores(world: &World, table: &mut Table) {
    let rounds: Vec<_> = (0..ROUNDS).map(|round| restore::restore(world, &name(0), round)).collect();
    let of = |field: fn(&restore::Restore) -> Sample| median(&rounds.iter().map(field).collect::<Vec<_>>());
    let prove = table.time("restore: prove, while the cluster serves", of(|of| of.prove));
    let switch = table.time("restore: into place, by name", of(|of| of.switch));
    let copy = table.time("restore: into place, by copy", of(|of| of.copy));
    let cp = table.time("cp -a of the same data", of(|of| of.cp));
    let original = table.time("original: hash, unpack, prepare, copy back", restore::original(world, &name(0)));
    table.goal("restore: outage beside stop and start, s", switch.wall, 1.0);
    table.goal("restore: outage part / original's script", switch.wall / original.wall, 0.10);
    table.goal("restore: end to end / original's script", (prove.wall + switch.wall) / original.wall, 0.40);
    table.goal("restore: copy / cp -a, wall", copy.wall / cp.wall, 1.0 / 0.9);
    table.goal("agent's memory, restore, MiB", prove.peak_mib.max(copy.peak_mib), 128.0);
}

/// With S3, against the original from end to end.
fn with_s3(world: &World, table: &mut Table) {
    let mut ours = Vec::new();
    for round in 0..ROUNDS {
        ours.push(world.back_up(&name(10 + round), both()));
    }
    let ours = table.time("backup, local + S3", median(&ours));
    let (mut rclones, mut uploads) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        drop_caches();
        rclones.push(world.shell(&format!(
            "/mnt/rclone copy -c --immutable /mnt/store/{0} s3:backups/rclone/{round}/{0}",
            name(round)
        )));
        uploads.push(world.upload(&[name(round)]));
    }
    let rclone = table.time("rclone copy -c of one backup", median(&rclones));
    let upload = table.time("uploading one finished backup", median(&uploads));
    table.goal("upload / rclone copy, wall", upload.wall / rclone.wall, 0.65);
    let original = original::back_up(world, EXISTING);
    table.time("original: check of 3 older", original.check);
    table.time("original: backup", original.backup);
    table.time("original: hash", original.hash);
    table.time("original: upload", original.upload);
    let local = table.times.iter().find(|(name, _)| *name == "backup, local").unwrap().1;
    table.goal("local backup / original's backup + hash, wall", local.wall / original.local().wall, 0.08);
    table.goal("local + S3 / original from end to end, wall", ours.wall / original.whole().wall, 0.12);
    table.goal("agent's memory, local + S3, MiB", ours.peak_mib, 128.0);
}

/// That memory does not grow, and the sums of one large file.
fn at_eight_gigabytes(world: &World, table: &mut Table) {
    let small = table.times.iter().find(|(name, _)| *name == "backup, local + S3").unwrap().1;
    let large = table.time("backup of 8 GB, local + S3", world.back_up(&name(20), both()));
    table.goal("agent's memory at 8 GB, MiB", large.peak_mib, 128.0);
    table.goal("agent's memory at 8 GB / at 1 GB", large.peak_mib / small.peak_mib, 1.05);
    let file = world.server.path(&format!("store/{}/backup.mbstream.zst", name(20)));
    let (mut openssls, mut checks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let script = format!("{TIMES}openssl dgst -sha256 \"$0\"");
        openssls.push(timed(Command::new("bash").args(["-c", &script]).arg(&file).stdout(Stdio::null())));
        checks.push(world.check(&[name(20)], Depth::Full).0);
    }
    let openssl = table.time("openssl dgst -sha256 of that backup", median(&openssls));
    let check = table.time("verify --deep of that backup", median(&checks));
    table.goal("verify / openssl dgst -sha256, wall", check.wall / openssl.wall, 1.1);
}

fn zstd(stream: &Path) -> Sample {
    let script = format!("{TIMES}zstd -q -1 -T2 -c \"$0\"");
    timed(Command::new("bash").args(["-c", &script]).arg(stream).stdout(Stdio::null()))
}

fn show(bytes: u64, table: &Table) {
    println!("\nstream of {} MB, median of {ROUNDS}", bytes / 1_000_000);
    println!("{:<48}{:>8}{:>8}{:>8}", "", "WALL", "CPU", "MIB");
    for (name, sample) in &table.times {
        println!("{name:<48}{:>8.2}{:>8.2}{:>8.0}", sample.wall, sample.cpu, sample.peak_mib);
    }
    println!("\n{:<48}{:>8}{:>8}", "", "FOUND", "GOAL");
    for (name, found, goal) in &table.goals {
        println!("{name:<48}{found:>8.3}{goal:>8.2}{}", if found > goal { "  missed" } else { "" });
    }
    let times: Vec<Value> = table
        .times
        .iter()
        .map(|(name, sample)| json!({"name": name, "wallSecs": sample.wall, "cpuSecs": sample.cpu, "peakMib": sample.peak_mib}))
        .collect();
    let goals: Vec<Value> =
        table.goals.iter().map(|(name, found, goal)| json!({"name": name, "found": found, "goal": goal})).collect();
    let result = json!({"streamBytes": bytes, "rounds": ROUNDS, "times": times, "goals": goals});
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("backup.json"), serde_json::to_string_pretty(&result).unwrap()).unwrap();
    let missed = table.goals.iter().filter(|(_, found, goal)| found > goal).count();
    assert_eq!(missed, 0, "{missed} of {} goals were missed", table.goals.len());
}
