//! The backup's speed, as ratios to the raw tools in one run: `make bench`.
//!
//! In turns, over the same data: mariadb-backup into nothing, `zstd -1 -T2` of the same stream from
//! memory into nothing, and the runner with all it does. Absolute times are a machine's; the ratios are ours.
//! Prints a table, writes `target/bench/backup.json`, and fails when a goal is missed.

#![expect(clippy::disallowed_methods, reason = "a benchmark stands outside and uses the world as it is")]
#![expect(clippy::unwrap_used, reason = "a benchmark that panics has failed, which is what it is for")]
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

// The harness of ring 2 has more than a benchmark needs.
#[expect(dead_code, reason = "shared with ring 2, which uses the rest")]
#[path = "../it/real_server.rs"]
mod real_server;
use real_server::{RealServer, image};

/// Rounds; the median counts.
const ROUNDS: usize = 3;

/// Rows of about a kilobyte, in several transactions.
const BATCHES: usize = 10;
const ROWS: usize = 90_000;

/// The goals: not more than these.
const WALL_TO_ZSTD: f64 = 1.6;
const WINDOW_TO_RAW: f64 = 2.2;
const PEAK_MIB: f64 = 128.0;
/// The one goal that a busy machine cannot spoil.
const CPU_TO_PARTS: f64 = 1.4;

/// One measurement, in seconds and MiB.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    wall: f64,
    cpu: f64,
    window: f64,
    peak_mib: f64,
}

fn main() {
    let server = RealServer::start(image());
    load(&server);
    let stream = tempfile::tempdir_in("/dev/shm").unwrap();
    let stream = stream.path().join("stream");
    raw(&server, &fs::File::create(&stream).unwrap());
    let null = || fs::File::options().write(true).open("/dev/null").unwrap();
    let (mut raws, mut zstds, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raws.push(raw(&server, &null()));
        zstds.push(zstd(&stream));
        ours.push(runner(&server, round));
    }
    let (raw, zstd, ours) = (median(&raws), median(&zstds), median(&ours));
    let bytes = fs::metadata(&stream).unwrap().len();
    report(bytes, raw, zstd, ours);
}

/// Fills a table with rows that compress about as well as those of an application.
fn load(server: &RealServer) {
    server.sql("SET GLOBAL innodb_buffer_pool_size=512*1024*1024; SET GLOBAL innodb_log_file_size=512*1024*1024");
    server.sql("CREATE TABLE shop.events (id BIGINT PRIMARY KEY AUTO_INCREMENT, kind VARCHAR(40), body TEXT)");
    for _ in 0..BATCHES {
        server.sql(&format!(
            "SET SESSION wsrep_on=OFF; USE shop; INSERT INTO events (kind, body) SELECT ELT(1+RAND()*3,'created','paid','sent','late'),
             CONCAT('{{\"id\":\"', UUID(), '\",\"token\":\"', TO_BASE64(RANDOM_BYTES(300)), '\",\"amounts\":[',
             REPEAT(CONCAT(FLOOR(RAND()*100000), ',0,'), 20), '],\"text\":\"', SHA2(RAND(), 512), MD5(RAND()), '\"}}')
             FROM seq_1_to_{ROWS}"
        ));
    }
}

fn raw(server: &RealServer, out: &fs::File) -> Sample {
    let script = "TIMEFORMAT='%R %U %S'; time setpriv --reuid=mysql --regid=mysql --clear-groups mariadb-backup \
                  --no-defaults --backup --stream=mbstream --parallel=2 --galera-info --host=127.0.0.1 --port=3306 \
                  --user=backup --password='b\"#\\p' --datadir=/mnt/data 2> /mnt/raw.log";
    timed(server.inside("bash").args(["-c", script]).stdout(out.try_clone().unwrap()))
}

fn zstd(stream: &Path) -> Sample {
    let script = "TIMEFORMAT='%R %U %S'; time zstd -q -1 -T2 -c \"$0\"";
    timed(Command::new("bash").args(["-c", script]).arg(stream).stdout(Stdio::null()))
}

/// Runs a command that prints its times as the last line of its standard error.
fn timed(command: &mut Command) -> Sample {
    let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let times: Vec<f64> = text.lines().last().unwrap().split(' ').map(|time| time.parse().unwrap()).collect();
    Sample { wall: times[0], cpu: times[1] + times[2], ..Sample::default() }
}

fn runner(server: &RealServer, round: usize) -> Sample {
    let begun = Instant::now();
    let (agent, _gate) = server.copy(RealServer::copy_order(&format!("base/2026-01-31_00-00-0{round}")));
    let watched = watch(agent.pid());
    let (code, word) = agent.end();
    let wall = begun.elapsed().as_secs_f64();
    let (cpu, peak_mib) = watched.join().unwrap();
    assert_eq!(code, 0, "{word}");
    let window = word["done"]["desync"]["windowMillis"].as_f64().unwrap() / 1000.0;
    println!("  desync {}", word["done"]["desync"]);
    Sample { wall, cpu, window, peak_mib }
}

/// Looks at a process until it ends: CPU seconds with those of its children, and peak MiB of its own.
fn watch(pid: u32) -> std::thread::JoinHandle<(f64, f64)> {
    std::thread::spawn(move || {
        let mut last = (0.0, 0.0);
        loop {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let peak = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
            let Some(peak) = peak else { return last };
            let fields: Vec<f64> =
                stat.rsplit(')').next().unwrap().split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
            // utime, stime, cutime, cstime, in hundredths of a second.
            let cpu = fields.get(11..15).map_or(0.0, |times| times.iter().sum::<f64>() / 100.0);
            last = (cpu, peak / 1024.0);
            std::thread::sleep(Duration::from_millis(10));
        }
    })
}

fn median(samples: &[Sample]) -> Sample {
    let of = |field: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Sample { wall: of(|s| s.wall), cpu: of(|s| s.cpu), window: of(|s| s.window), peak_mib: of(|s| s.peak_mib) }
}

fn report(bytes: u64, raw: Sample, zstd: Sample, ours: Sample) {
    let goals = [
        ("runner wall / zstd -1 -T2 wall", ours.wall / zstd.wall, WALL_TO_ZSTD),
        ("desync window / raw copy wall", ours.window / raw.wall, WINDOW_TO_RAW),
        ("agent peak MiB", ours.peak_mib, PEAK_MIB),
        ("runner CPU / raw CPU + zstd CPU", ours.cpu / (raw.cpu + zstd.cpu), CPU_TO_PARTS),
    ];
    println!("stream of {} MB, median of {ROUNDS}", bytes / 1_000_000);
    println!("{:<34}{:>8}{:>8}", "", "WALL", "CPU");
    for (name, sample) in [("mariadb-backup > /dev/null", raw), ("zstd -1 -T2 > /dev/null", zstd), ("runner", ours)] {
        println!("{name:<34}{:>8.2}{:>8.2}", sample.wall, sample.cpu);
    }
    println!("{:<34}{:>8}{:>8}", "", "FOUND", "GOAL");
    for (name, found, goal) in goals {
        println!("{name:<34}{found:>8.2}{goal:>8.2}");
    }
    let to_json = |sample: Sample| json!({ "wallSecs": sample.wall, "cpuSecs": sample.cpu });
    let ratios: Vec<Value> =
        goals.iter().map(|(name, found, goal)| json!({ "name": name, "found": found, "goal": goal })).collect();
    let result = json!({
        "streamBytes": bytes, "rounds": ROUNDS, "raw": to_json(raw), "zstd": to_json(zstd), "runner": to_json(ours),
        "desyncWindowSecs": ours.window, "goals": ratios
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("backup.json"), serde_json::to_string_pretty(&result).unwrap()).unwrap();
    for (name, found, goal) in goals {
        assert!(found <= goal, "{name} is {found:.2}, the goal is {goal:.2}");
    }
}
