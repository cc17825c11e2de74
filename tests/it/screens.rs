//! What stands on a terminal: listings, pages and bars as a person sees them, narrow and wide, in colour and
//! without.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli_runs::{answer, ended_pod, statefulset};
use crate::cli_views::{ages, two_clusters};
use crate::loopback_api::{Answer, Api};
use crate::terminal::{Terminal, at_work};

/// The rows of a terminal after everything was written to it; colours are shown as `{31}`.
struct Shown {
    columns: usize,
    rows: Vec<Vec<String>>,
    row: usize,
    column: usize,
    colour: String,
}

impl Shown {
    fn of(written: &str, columns: usize) -> String {
        let mut shown = Self { columns, rows: vec![], row: 0, column: 0, colour: String::new() };
        // What the terminal itself shows of a pressed Ctrl-C stands wherever the cursor is.
        let written = written.replace("^C", "");
        let mut rest = written.as_str();
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '\r' => shown.column = 0,
                '\n' => shown.row += 1,
                '\x1b' => {
                    // What was read so far may end in the middle of one.
                    let Some(end) = rest.find(|c: char| c.is_ascii_alphabetic()) else { break };
                    shown.control(&rest[1..end], &rest[end..=end]);
                    rest = &rest[end + 1..];
                }
                c => shown.put(c),
            }
        }
        let rows = shown.rows.iter().map(|row| row.concat().trim_end().to_owned());
        rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    fn put(&mut self, c: char) {
        if self.column == self.columns {
            (self.row, self.column) = (self.row + 1, 0);
        }
        let cell = format!("{}{c}", std::mem::take(&mut self.colour));
        let row = self.here();
        row.push(cell);
        self.column += 1;
    }

    /// The row of the cursor, up to the cursor, when something is about to be written there.
    fn here(&mut self) -> &mut Vec<String> {
        let (row, column) = (self.row, self.column);
        self.rows.resize_with(self.rows.len().max(row + 1), Vec::new);
        self.rows[row].truncate(column);
        self.rows[row].resize(column, " ".to_owned());
        &mut self.rows[row]
    }

    fn control(&mut self, number: &str, what: &str) {
        match (number, what) {
            (colour, "m") => self.colour = format!("{}{{{colour}}}", self.colour),
            ("", "H") => (self.row, self.column) = (0, 0),
            ("", "K") => drop(self.here()),
            ("", "J") => {
                self.here();
                self.rows.truncate(self.row + 1);
            }
            (up, "A") => self.row -= up.parse::<usize>().unwrap(),
            other => panic!("{other:?} is not understood"),
        }
    }
}

/// What a command leaves on a terminal of so many columns.
fn left(line: &[&str], server: &Api, columns: u16) -> String {
    let (code, written) = Terminal::run(line, server, columns).end();
    format!(
        "$ {}  # {columns} columns, exit {}\n{}",
        line.join(" "),
        code.unwrap(),
        Shown::of(&written, columns.into())
    )
}

/// What replicas answer, one of which is desynced.
fn replicas() -> Value {
    let member = |desynced: u32| {
        json!({"ready": true, "state": if desynced > 0 { "Donor/Desynced" } else { "Synced" },
            "clusterStatus": "Primary", "size": 2, "queue": 0, "desyncCount": desynced, "seqno": 4711,
            "version": "10.11.6"})
    };
    let replica = |number: u32, role: &str| {
        json!({"pod": format!("one-{number}"), "node": format!("node-{number}"), "podReady": true, "role": role,
            "member": member(number), "noAnswer": null})
    };
    json!({"schema": 1, "done": {"status": {"replicas": [replica(0, "primary"), replica(1, "backup")],
        "findings": ["one-1 is desynced"]}}})
}

/// A cluster to which something is owed until somebody watches it.
pub(crate) fn settled_once_watched() -> Api {
    let is_watched = AtomicBool::new(false);
    let pod = ended_pod(&replicas());
    Api::judging(move |asked| {
        let is_set = asked.path.ends_with("/statefulsets") && asked.query.contains("watch=");
        if is_set && !is_watched.swap(true, Ordering::SeqCst) {
            let set = json!({"metadata": {"name": "one", "uid": "set", "resourceVersion": "2"}, "spec": {
                "selector": {}, "serviceName": "s", "template": {}}});
            return Answer::lines(&[json!({"type": "MODIFIED", "object": set})]);
        }
        if asked.query.contains("watch=") {
            thread::sleep(Duration::from_secs(1));
            return Answer::lines(&[]);
        }
        if asked.path.ends_with("/statefulsets/one") && is_watched.load(Ordering::SeqCst) {
            let mut set = statefulset();
            set["metadata"]["annotations"] = json!({});
            return Answer::ok(&set);
        }
        answer(&asked.path, &[], &pod)
    })
}

#[test]
fn listings_and_pages_on_a_narrow_and_on_a_wide_terminal() {
    let (clusters, owing) = (two_clusters(), settled_once_watched());
    let mut seen = Vec::new();
    for columns in [60, 80, 200] {
        seen.push(left(&["list", "-A"], &clusters, columns));
        seen.push(left(&["list", "-n", "db", "-o", "wide"], &clusters, columns));
        seen.push(left(&["status", "-A"], &clusters, columns));
        seen.push(left(&["status", "one", "-n", "db"], &owing, columns));
    }
    insta::with_settings!({filters => pages()}, { insta::assert_snapshot!(seen.join("\n\n")) });
}

/// What is another one every day.
pub(crate) fn pages() -> Vec<(&'static str, &'static str)> {
    [ages(), vec![(r"[\d-]+T02:30:00Z", "[next]")]].concat()
}

#[test]
fn a_page_that_is_watched_takes_the_place_of_the_one_before_and_leaves_nothing_of_it() {
    let server = settled_once_watched();
    let mut terminal = Terminal::run(&["status", "one", "-w", "-n", "db"], &server, 80);
    // The last line of a page.
    let end = "A person should act: one-1 is desynced\r\n";
    terminal.until(end);
    let before = Shown::of(&terminal.written, 80);
    let is_settled = |written: &str| {
        let page = written.rsplit("\x1b[H").next().unwrap();
        page.ends_with(end) && !page.contains("run-w")
    };
    for _ in 0..50 {
        if is_settled(&terminal.written) {
            break;
        }
        terminal.more();
    }
    assert!(is_settled(&terminal.written), "{}", terminal.written);
    let after = Shown::of(&terminal.written, 80);
    terminal.press("\x03");
    let (code, _) = terminal.end();
    assert_eq!(code, Some(130));
    let seen = format!("{before}\n\n--- once it is settled\n{after}");
    insta::with_settings!({filters => pages()}, { insta::assert_snapshot!(seen) });
}

#[test]
fn the_bars_of_a_run_at_work_take_what_room_there_is() {
    let mut seen = Vec::new();
    for columns in [60, 80, 200] {
        let server = at_work();
        let mut terminal = Terminal::run(&["sync", "-n", "db"], &server, columns);
        // The end of a drawing.
        terminal.until(if columns == 60 { "ETA 10s\x1b[J" } else { "ETA 10s (100MiB stored)\x1b[J" });
        seen.push(format!("{columns} columns\n{}", Shown::of(&terminal.written, columns.into())));
        terminal.press("\x03");
        let (code, written) = terminal.end();
        seen.push(format!("after Ctrl-C, exit {}\n{}", code.unwrap(), Shown::of(&written, columns.into())));
    }
    insta::with_settings!({filters => vec![(r"(?m)^[|/\\-] store", "[turning] store")]}, {
        insta::assert_snapshot!(seen.join("\n\n"));
    });
}

#[test]
fn colour_is_shown_on_a_terminal_and_taken_away_by_no_color() {
    let server = two_clusters();
    let line = ["describe", "yesterday", "-n", "db"];
    let seen = |variables: &[(&str, &str)], line: &[&str]| {
        let (_, written) = Terminal::run_with(variables, line, &server, 80).end();
        Shown::of(&written, 80)
    };
    let plain = seen(&[("NO_COLOR", "1")], &line);
    let shown = [
        seen(&[], &line),
        format!("--- NO_COLOR=1\n{plain}"),
        format!("--- TERM=dumb\n{}", seen(&[("TERM", "dumb")], &line)),
        format!(
            "--- NO_COLOR=1, --color=always\n{}",
            seen(&[("NO_COLOR", "1")], &[&line[..], &["--color=always"]].concat())
        ),
    ];
    insta::assert_snapshot!(shown.join("\n\n"));
    for command in [&["create", "--no-such-flag"][..], &["list", "--help"]] {
        assert!(seen(&[], command).contains("{1"), "{command:?} is not coloured");
        assert!(!seen(&[("NO_COLOR", "1")], command).contains("{1"), "{command:?}");
        for never in [&["--color", "never"][..], &["--color=never"]] {
            let shown = seen(&[], &[command, never].concat());
            assert!(!shown.contains("{1"), "{command:?} {never:?}: {shown}");
        }
    }
}
