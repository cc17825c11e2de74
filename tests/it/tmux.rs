//! A real terminal, tmux, of several widths: listings, a page and a run that is followed to its end, as they stand
//! there.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::cli_runs::{answer_at_work, ended_pod, pod};
use crate::cli_views::two_clusters;
use crate::loopback_api::{Answer, Api};
use crate::questions::{RESTORE, restored_when_asked};
use crate::screens::{pages, settled_once_watched};
use crate::terminal::reports_at_work;

const WIDTHS: [usize; 3] = [60, 80, 200];

/// How long anything is waited for; it takes this long only where it never comes.
const LIMIT: Duration = Duration::from_mins(1);

/// What is written once the program has ended, with its exit code.
const ENDED: &str = "ended with ";

/// A tmux server of its own with one pane, which ends with it.
struct Tmux {
    /// Where its socket is.
    folder: TempDir,
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.tmux(&["kill-server"]).output());
    }
}

impl Tmux {
    /// Runs the plugin in a pane that is so wide.
    fn run(line: &[&str], server: &Api, columns: usize) -> Self {
        let terminal = Self { folder: tempfile::tempdir().unwrap() };
        let program = assert_cmd::cargo::cargo_bin("kubectl-mariadb_backup");
        let words = format!("{} {}", program.display(), line.join(" "));
        // The pane must not go before it was looked at.
        let script = format!("HOME=/nowhere KUBECONFIG={} {words}; echo {ENDED}$?; read wait", server.kubeconfig());
        let width = columns.to_string();
        let new = ["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", "40", "sh", "-c", &script];
        checked(terminal.tmux(&new).output());
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        let name = format!("mariadb-backup-test-{}", std::process::id());
        command.args(["-L", &name]).args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("TMUX_TMPDIR", self.folder.path()).env("LC_ALL", "C.UTF-8");
        command
    }

    /// What stands in the pane: row by row, or with what the terminal itself broke put together again.
    fn shown(&self, rows: Rows) -> String {
        let joined: &[&str] = if rows == Rows::Joined { &["-J"] } else { &[] };
        let output = checked(self.tmux(&[&["capture-pane", "-p"], joined].concat()).output());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Waits until this stands there.
    #[track_caller]
    fn until(&self, what: &str) -> String {
        let start = Instant::now();
        loop {
            let shown = self.shown(Rows::AsTheyAre);
            if shown.contains(what) {
                return shown;
            }
            assert!(start.elapsed() < LIMIT, "no {what:?} in\n{shown}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    AsTheyAre,
    Joined,
}

#[track_caller]
fn checked(output: std::io::Result<Output>) -> Output {
    let output = output.expect("tmux is there: tests/prerequisites.sh installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A cluster in which two runners send bytes until they are told to end.
fn at_work_until(is_over: Arc<AtomicBool>) -> Api {
    let outcome = json!({"schema": 1, "done": {"keep": {"uploaded": ["base/2000-01-01_00-00-00"], "uploadedCount": 1,
        "bytes": 400 << 20}}});
    let (reports, at_work, mut ended) =
        (reports_at_work(), pod("Running", &json!({"running": {}})), ended_pod(&outcome));
    ended["metadata"]["resourceVersion"] = json!("2");
    Api::judging(move |asked| {
        if asked.path.ends_with("/pods") && is_over.load(Ordering::SeqCst) {
            let is_watch = asked.query.contains("watch=");
            let now = Answer::ok(&json!({"metadata": {"resourceVersion": "2"}, "items": [ended]}));
            return if is_watch { Answer::lines(&[json!({"type": "MODIFIED", "object": ended})]) } else { now };
        }
        answer_at_work(asked, &reports, &at_work)
    })
}

/// What a command leaves, and that nothing of it is lost or broken but by the width of the terminal.
fn left(line: &[&str], server: &Api, columns: usize) -> String {
    let terminal = Tmux::run(line, server, columns);
    let shown = terminal.until(ENDED);
    assert!(shown.lines().all(|row| row.chars().count() <= columns), "{shown}");
    format!("$ {}  # {columns} columns\n{}", line.join(" "), terminal.shown(Rows::Joined))
}

/// The same text on any width, but for the widths that are told, and for values that go on below where they began.
fn without_widths(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().skip(1) {
        match lines.last_mut() {
            Some(before) if line.starts_with("          ") => *before = format!("{before} {}", line.trim_start()),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

#[test]
fn listings_and_a_page_are_whole_on_a_real_terminal_of_any_width() {
    let (clusters, owing) = (two_clusters(), settled_once_watched());
    let lines: [(&Api, &[&str]); 3] =
        [(&clusters, &["list", "-n", "db"]), (&clusters, &["status", "-A"]), (&owing, &["status", "one", "-n", "db"])];
    for (server, line) in lines {
        let all = WIDTHS.map(|columns| left(line, server, columns));
        for narrow in &all[..2] {
            assert_eq!(without_widths(narrow), without_widths(&all[2]), "{line:?}");
        }
        let name = line.join("_");
        insta::with_settings!({filters => pages()}, { insta::assert_snapshot!(name, all[2]) });
    }
}

#[test]
fn a_run_is_followed_to_its_end_on_a_real_terminal_with_bars_that_fit() {
    let mut seen = Vec::new();
    for columns in WIDTHS {
        let is_over = Arc::new(AtomicBool::new(false));
        let server = at_work_until(Arc::clone(&is_over));
        let terminal = Tmux::run(&["sync", "-n", "db"], &server, columns);
        let bars = terminal.until("200MiB/400MiB 20MiB/s ETA 10s");
        for bar in bars.lines().filter(|line| line.contains("store sync-")) {
            assert!(bar.contains('[') && bar.contains("] ") && bar.chars().count() <= columns - 3, "{bars}");
        }
        assert_eq!(terminal.shown(Rows::Joined).lines().count(), bars.lines().count(), "a row was broken: {bars}");
        is_over.store(true, Ordering::SeqCst);
        let end = terminal.until(ENDED);
        assert!(!end.contains("sync-0 ["), "a bar is left: {end}");
        seen.push(format!("{columns} columns\n{bars}\n--- at the end\n{end}"));
    }
    insta::with_settings!({filters => vec![(r"(?m)^[|/\\-] store", "[turning] store")]}, {
        insta::assert_snapshot!(seen.join("\n\n"));
    });
}

#[test]
fn a_restore_is_shown_asked_for_and_done_on_a_real_terminal_of_any_width() {
    let mut seen = Vec::new();
    for columns in WIDTHS {
        let (server, ordered) = restored_when_asked();
        let terminal = Tmux::run(&RESTORE, &server, columns);
        terminal.until(" to go on:");
        assert_eq!(ordered.load(Ordering::SeqCst), 1, "only the plan was ordered");
        checked(terminal.tmux(&["send-keys", "one", "Enter"]).output());
        let end = terminal.until(ENDED);
        assert!(end.lines().all(|row| row.chars().count() <= columns), "{end}");
        assert_eq!(ordered.load(Ordering::SeqCst), 2, "{end}");
        seen.push(format!("{columns} columns\n{end}"));
    }
    insta::assert_snapshot!(seen.join("\n\n"));
}

#[test]
fn a_terminal_that_becomes_narrower_meanwhile_keeps_each_bar_on_one_row_and_none_is_left() {
    let is_over = Arc::new(AtomicBool::new(false));
    let server = at_work_until(Arc::clone(&is_over));
    let terminal = Tmux::run(&["sync", "-n", "db"], &server, 120);
    let wide = terminal.until("200MiB/400MiB 20MiB/s ETA 10s");
    assert!(wide.is_ascii(), "a terminal without Unicode shows it as well: {wide}");
    checked(terminal.tmux(&["resize-window", "-x", "60", "-y", "40"]).output());
    let bars =
        |shown: &str| shown.lines().filter(|row| row.contains("store sync-")).map(str::to_owned).collect::<Vec<_>>();
    let start = Instant::now();
    loop {
        let shown = terminal.shown(Rows::AsTheyAre);
        let fit = bars(&shown).iter().all(|bar| bar.contains("] ") && bar.contains("ETA") && bar.chars().count() <= 57);
        if fit && bars(&shown).len() == bars(&wide).len() {
            break;
        }
        assert!(start.elapsed() < LIMIT, "bars that do not fit, or are left from before:\n{shown}");
        thread::sleep(Duration::from_millis(50));
    }
    is_over.store(true, Ordering::SeqCst);
    let end = terminal.until(ENDED);
    assert_eq!(bars(&end), [""; 0], "{end}");
}
