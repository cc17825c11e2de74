//! How long the tool may wait for the server's locks, and who sees to it.
//!
//! Newer tools take `--ftwrl-wait-timeout` for the time in which they wait until no query runs at all:
//! on a busy server one always does, and the backup fails. They are not given it. What they say shows
//! which lock they wait for, and this side ends them when that takes too long.

use std::time::{Duration, Instant};

/// What the tool's help says of `--ftwrl-wait-timeout` where that has come to mean "until no query at
/// all runs", which on a busy server is never.
const WAITS_FOR_SILENCE: &str = "startup-wait-timeout";

/// Who ends a wait for the server's lock that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockWait {
    /// The tool.
    Tool,
    /// This side, by the tool's own words.
    Ours,
}

impl LockWait {
    /// Decides by the tool's help.
    pub(super) fn by_help(help: &str) -> Self {
        if help.contains(WAITS_FOR_SILENCE) { Self::Ours } else { Self::Tool }
    }
}

/// The lock the tool waits for.
pub(super) struct LockWatch {
    /// For how long it may.
    limit: Duration,
    /// Its stage, and since when it waits.
    waiting: Option<(String, Instant)>,
    /// The stage for which it waited too long.
    in_vain: Option<String>,
}

impl LockWatch {
    /// One that has seen nothing yet.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, waiting: None, in_vain: None }
    }

    /// Looks at the tool's last lines; `true` when it is to be ended.
    pub(super) fn look(&mut self, lines: &[String], now: Instant) -> bool {
        let Some(stage) = awaited_stage(lines) else {
            self.waiting = None;
            return false;
        };
        match &self.waiting {
            Some((known, since)) if *known == stage => {
                let late = now.duration_since(*since) >= self.limit && self.in_vain.is_none();
                if late {
                    self.in_vain = Some(stage);
                }
                late
            }
            _ => {
                self.waiting = Some((stage, now));
                false
            }
        }
    }

    /// Why it was ended, once it was.
    pub(super) fn complaint(&self) -> Option<String> {
        let stage = self.in_vain.as_ref()?;
        let secs = self.limit.as_secs();
        Some(format!("it waited {secs} s in vain for the lock of {stage}, which some DDL, FLUSH or LOCK TABLES holds"))
    }
}

/// The stage whose lock was asked for and not yet given, by the tool's words.
fn awaited_stage(lines: &[String]) -> Option<String> {
    let asked = |line: &String| {
        let (_, stage) =
            line.split_once("Starting BACKUP STAGE ").or_else(|| line.split_once("Started BACKUP STAGE "))?;
        Some(stage.trim().to_owned())
    };
    let at = lines.iter().rposition(|line| asked(line).is_some())?;
    let stage = asked(&lines[at])?;
    // Giving the locks back needs none.
    let given = format!("Acquired locks for BACKUP STAGE {stage}");
    let waits = stage != "END" && !lines[at..].iter().any(|line| line.contains(&given));
    waits.then(|| format!("BACKUP STAGE {stage}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_the_tool_waits_for_is_told_by_its_own_words() {
        let waits = lines("[00] Starting BACKUP STAGE START\n[00] Acquiring BACKUP LOCKS...");
        assert_eq!(awaited_stage(&waits), Some("BACKUP STAGE START".to_owned()));
        let goes_on =
            lines("[00] Starting BACKUP STAGE START\n[00] Acquired locks for BACKUP STAGE START\n[01] ...done");
        assert_eq!(awaited_stage(&goes_on), None);
        let next = lines("Acquired locks for BACKUP STAGE FLUSH\nStarted BACKUP STAGE BLOCK_DDL");
        assert_eq!(awaited_stage(&next), Some("BACKUP STAGE BLOCK_DDL".to_owned()));
        assert_eq!(awaited_stage(&lines("Starting BACKUP STAGE END")), None);
    }

    #[test]
    fn a_lock_is_waited_for_so_long_and_no_longer_each_stage_for_itself() {
        let mut watch = LockWatch::new(Duration::from_secs(5));
        let (start, flush) = (lines("Starting BACKUP STAGE START"), lines("Starting BACKUP STAGE FLUSH"));
        let begun = Instant::now();
        assert!(!watch.look(&start, begun));
        assert!(!watch.look(&flush, begun + Duration::from_secs(6)));
        assert_eq!(watch.complaint(), None);
        assert!(watch.look(&flush, begun + Duration::from_secs(11)));
        assert!(!watch.look(&flush, begun + Duration::from_secs(12)), "it was told once already");
        assert!(watch.complaint().unwrap().contains("BACKUP STAGE FLUSH"));
    }
}
