//! Figures in the text format that Prometheus reads: each family with its HELP and TYPE, all of them gauges.
//!
//! Times are seconds since 1970 and not ages: an age would stand still between two runs.

use std::fmt::Write;

use jiff::Timestamp;

use super::{Figures, Kind, Owed};

/// One family of figures.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
    samples: fn(&Figures) -> Vec<Sample>,
}

/// One figure: what tells it from others of its family, and its value.
struct Sample(Option<(&'static str, String)>, String);

/// All families, in the order they are written.
pub const FAMILIES: [Family; 20] = [
    Family {
        name: "mariadb_backup_run_in_progress",
        help: "Whether a run of that task is at work; stays 1 when its conductor was killed.",
        samples: |figures| {
            let running = figures.running.as_ref();
            let mut tasks: Vec<&String> = figures.last.keys().chain(running.map(|run| &run.task)).collect();
            tasks.sort();
            tasks.dedup();
            let is_running = |task: &String| running.is_some_and(|running| running.task == *task);
            tasks.into_iter().map(|task| of_task(task, u8::from(is_running(task)).to_string())).collect()
        },
    },
    Family {
        name: "mariadb_backup_run_start_timestamp_seconds",
        help: "When the run at work began.",
        samples: |figures| figures.running.iter().map(|running| of_task(&running.task, time(running.since))).collect(),
    },
    Family {
        name: "mariadb_backup_last_run_success",
        help: "Whether the last ended run of that task did what was asked.",
        samples: |figures| {
            let success = |code: u8| u8::from([0, 3].contains(&code)).to_string();
            figures.last.iter().map(|(task, run)| of_task(task, success(run.code))).collect()
        },
    },
    Family {
        name: "mariadb_backup_last_run_exit_code",
        help: "Exit code of the last ended run of that task; the README lists them.",
        samples: |figures| figures.last.iter().map(|(task, run)| of_task(task, run.code.to_string())).collect(),
    },
    Family {
        name: "mariadb_backup_last_run_timestamp_seconds",
        help: "When the last run of that task ended.",
        samples: |figures| figures.last.iter().map(|(task, run)| of_task(task, time(run.ended))).collect(),
    },
    Family {
        name: "mariadb_backup_last_run_duration_seconds",
        help: "How long the last ended run of that task took.",
        samples: |figures| figures.last.iter().map(|(task, run)| of_task(task, seconds(run.took_millis))).collect(),
    },
    Family {
        name: "mariadb_backup_last_success_timestamp_seconds",
        help: "When a run of that task last did what was asked.",
        samples: |figures| figures.success.iter().map(|(task, at)| of_task(task, time(*at))).collect(),
    },
    Family {
        name: "mariadb_backup_last_copy_duration_seconds",
        help: "How long the last copy of that type took, from its first byte to its manifest.",
        samples: |figures| copies(figures, |copy| seconds(copy.took_millis)),
    },
    Family {
        name: "mariadb_backup_last_copy_bytes",
        help: "Bytes of the last copy of that type, before compression.",
        samples: |figures| copies(figures, |copy| copy.copied_bytes.to_string()),
    },
    Family {
        name: "mariadb_backup_last_copy_stored_bytes",
        help: "Bytes the last copy of that type takes in a store.",
        samples: |figures| copies(figures, |copy| copy.stored_bytes.to_string()),
    },
    Family {
        name: "mariadb_backup_last_copy_desync_seconds",
        help: "How long the replica was desynced for the last copy of that type.",
        samples: |figures| copies(figures, |copy| seconds(copy.desync_millis)),
    },
    Family {
        name: "mariadb_backup_last_restore_outage_seconds",
        help: "From the order to stop to the first replica serving, in the last restore.",
        samples: |figures| figures.restore.iter().map(|of| alone(seconds(of.outage_millis))).collect(),
    },
    Family {
        name: "mariadb_backup_last_restore_full_strength_seconds",
        help: "From the order to stop to all replicas serving, in the last restore.",
        samples: |figures| figures.restore.iter().map(|of| alone(seconds(of.full_strength_millis))).collect(),
    },
    Family {
        name: "mariadb_backup_newest_good_timestamp_seconds",
        help: "When the newest backup of that type that can be restored was begun.",
        samples: |figures| {
            let newest = figures.stock.iter().flat_map(|stock| &stock.newest);
            newest.map(|(kind, at)| of_kind(*kind, time(*at))).collect()
        },
    },
    Family {
        name: "mariadb_backup_backups",
        help: "Backups of that type in the catalogue.",
        samples: |figures| {
            let counts = figures.stock.iter().flat_map(|stock| &stock.count);
            counts.map(|(kind, count)| of_kind(*kind, count.to_string())).collect()
        },
    },
    Family {
        name: "mariadb_backup_volume_free_bytes",
        help: "Bytes that could still be written to the volume of backups when a run last looked.",
        samples: |figures| room(figures, |room| room.free_bytes.to_string()),
    },
    Family {
        name: "mariadb_backup_volume_size_bytes",
        help: "Size of the volume of backups.",
        samples: |figures| room(figures, |room| room.total_bytes.to_string()),
    },
    Family {
        name: "mariadb_backup_volume_seen_timestamp_seconds",
        help: "When a run last looked at the room on the volume of backups.",
        samples: |figures| room(figures, |room| time(room.at)),
    },
    Family {
        name: "mariadb_backup_obligations_open",
        help: "What is owed to the cluster, such as a replica to be brought back.",
        samples: |figures| vec![alone(u8::from(figures.owed != Owed::Nothing).to_string())],
    },
    Family {
        name: "mariadb_backup_obligation_timestamp_seconds",
        help: "Since when it is owed.",
        samples: |figures| match figures.owed {
            Owed::Nothing => Vec::new(),
            Owed::Since(at) => vec![alone(time(at))],
        },
    },
];

/// Writes all figures there are.
pub(super) fn of(figures: &Figures, namespace: &str, statefulset: &str) -> String {
    let cluster = format!("namespace=\"{}\",statefulset=\"{}\"", escaped(namespace), escaped(statefulset));
    let mut text = String::new();
    for family in &FAMILIES {
        let samples = (family.samples)(figures);
        if samples.is_empty() {
            continue;
        }
        let Family { name, help, .. } = family;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for Sample(label, value) in samples {
            let label = label.map(|(name, value)| format!(",{name}=\"{}\"", escaped(&value))).unwrap_or_default();
            let _ = writeln!(text, "{name}{{{cluster}{label}}} {value}");
        }
    }
    text
}

fn alone(value: String) -> Sample {
    Sample(None, value)
}

fn of_task(task: &str, value: String) -> Sample {
    Sample(Some(("task", task.to_owned())), value)
}

fn of_kind(kind: Kind, value: String) -> Sample {
    Sample(Some(("type", kind.word().to_owned())), value)
}

fn copies(figures: &Figures, value: impl Fn(&super::Copy) -> String) -> Vec<Sample> {
    figures.copies.iter().map(|(kind, copy)| of_kind(*kind, value(copy))).collect()
}

fn room(figures: &Figures, value: impl Fn(&super::RoomSeen) -> String) -> Vec<Sample> {
    figures.stock.iter().filter_map(|stock| stock.room.as_ref()).map(|room| alone(value(room))).collect()
}

fn time(at: Timestamp) -> String {
    at.as_second().to_string()
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Escapes the value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for Family { name, help, .. } in FAMILIES {
            assert!(name.starts_with("mariadb_backup_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert!(!name.ends_with("_total"), "{name} is a gauge");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}: {help}");
        }
    }

    #[test]
    fn a_label_s_value_cannot_break_out_of_its_quotes() {
        let text = of(&Figures::default(), "d\"b", "a\\b\nc");
        assert!(text.contains(r#"{namespace="d\"b",statefulset="a\\b\nc"} 0"#), "{text}");
    }
}
