//! Taking the times: of shell commands that print their own, and of agents that are watched.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::real_server::Agent;

/// One measurement, in seconds and MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    /// Of the process and its children.
    pub(crate) cpu: f64,
    /// `wsrep_desync` from ON to OFF.
    pub(crate) window: f64,
    /// Of that, ON to the first byte and the last byte to OFF.
    pub(crate) edges: f64,
    /// Of the agent's own memory.
    pub(crate) peak_mib: f64,
}

impl Sample {
    /// One thing after the other.
    pub(crate) fn then(self, next: Self) -> Self {
        Self { wall: self.wall + next.wall, cpu: self.cpu + next.cpu, ..self }
    }
}

/// What makes bash's `time` print what [`timed`] reads.
pub(crate) const TIMES: &str = "TIMEFORMAT='%R %U %S'; set -o pipefail; time ";

/// Runs a shell command that begins with [`TIMES`].
pub(crate) fn timed(command: &mut Command) -> Sample {
    let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let times: Vec<f64> = text.lines().last().unwrap().split(' ').map(|time| time.parse().unwrap()).collect();
    Sample { wall: times[0], cpu: times[1] + times[2], ..Sample::default() }
}

/// Waits for an agent that was started at `begun` and must succeed.
pub(crate) fn end_of(mut agent: Agent, begun: Instant) -> (Sample, Value) {
    let watched = agent.pid().map(watch);
    let (code, word) = agent.end();
    let wall = begun.elapsed().as_secs_f64();
    let (cpu, peak_mib) = watched.map(|watched| watched.join().unwrap()).unwrap_or_default();
    assert_eq!(code, 0, "{word}");
    let millis = |name: &str| word["done"]["desync"][name].as_f64().unwrap_or_default() / 1000.0;
    let edges = millis("beforeMillis") + millis("afterMillis");
    (Sample { wall, cpu, window: millis("windowMillis"), edges, peak_mib }, word)
}

/// Looks at a process until it ends: CPU seconds with those of its children, and peak MiB of its own.
fn watch(pid: u32) -> JoinHandle<(f64, f64)> {
    spawn(move || {
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
            sleep(Duration::from_millis(10));
        }
    })
}

/// Field by field.
pub(crate) fn median(samples: &[Sample]) -> Sample {
    let of = |field: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Sample {
        wall: of(|s| s.wall),
        cpu: of(|s| s.cpu),
        window: of(|s| s.window),
        edges: of(|s| s.edges),
        peak_mib: of(|s| s.peak_mib),
    }
}
