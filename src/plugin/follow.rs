//! Following a run: its pod, its reports, its outcome.
//!
//! A run goes on whether anybody watches or not, so there is nothing to clean up here: leaving early
//! is one of three ways to return. The outcome is the conductor's last word and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use super::cli::WaitFlags;
use super::connect::Session;
use crate::adapters::kubernetes::orders::Orders;
use crate::adapters::kubernetes::pod_follow::PodFollower;
use crate::exit_code::ExitCode;
use crate::model::event::{Event, EventKind};
use crate::model::names::CONDUCTOR_CONTAINER;
use crate::model::outcome::{End, Failure, Outcome};
use crate::model::report::{FoundBackup, RunReport};
use crate::ports::conductor::{Runner, RunnerNews};
use crate::ports::{PortError, Reason};
use crate::render::age;
use crate::render::progress::{Line, Picture};
use crate::render::screen::{Gauge, Screen};

/// How often progress is written where no bar can move.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Where a run's reports go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reports {
    /// To people, beside the command's data.
    Aside,
    /// They are the command's data, for people.
    Lines,
    /// The same, each with its time.
    TimedLines,
    /// They are the command's data, as they came; the outcome is the last of it.
    Json,
    /// Only warnings are shown: the command is about the answer, not the way to it.
    Quiet,
}

/// How a run is followed.
#[derive(Clone, Debug)]
pub(crate) struct FollowWishes {
    /// Longest time to follow; `None` for no limit.
    pub(crate) timeout: Option<Duration>,
    /// Longest time until the run's pod works.
    pub(crate) start_timeout: Duration,
    /// Where the reports go.
    pub(crate) reports: Reports,
}

/// How following ended.
#[derive(Debug)]
pub(crate) enum Followed {
    /// The run ended like this.
    Ended(Box<Ended>),
    /// The run goes on: the time ran out, or somebody pressed Ctrl-C.
    GoesOn(ExitCode),
}

/// How a run ended, and what it told on the way.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its last word.
    pub(crate) outcome: Outcome<RunReport>,
    /// The backups it found.
    pub(crate) found: Vec<FoundBackup>,
    /// When it reported last.
    pub(crate) newest: Option<Timestamp>,
}

impl FollowWishes {
    /// What the flags of a command wish that orders a run.
    pub(crate) fn of(wait: &WaitFlags, start_timeout: Duration, reports: Reports) -> Self {
        Self { timeout: limit(wait.timeout), start_timeout, reports }
    }
}

/// The limit that a flag sets; 0 sets none.
pub(crate) fn limit(timeout: Duration) -> Option<Duration> {
    Some(timeout).filter(|limit| !limit.is_zero())
}

/// Says that a run was ordered, and follows it.
pub(crate) async fn follow_new(
    job: &str,
    wishes: &FollowWishes,
    session: &Session,
    screen: &mut Screen,
) -> Result<Followed, Failure> {
    screen.note(&format!("job.batch/{job} created; Ctrl-C stops watching, the run goes on"));
    follow(job, wishes, session, screen).await
}

/// Follows the run of a Job until it ends or nobody wants to any more.
pub(crate) async fn follow(
    job: &str,
    wishes: &FollowWishes,
    session: &Session,
    screen: &mut Screen,
) -> Result<Followed, Failure> {
    let deadline = wishes.timeout.map(|limit| Instant::now() + limit);
    let ended = tokio::select! {
        ended = to_the_end(job, wishes, session, screen) => Ok(ended?),
        () = reached(deadline) => Err(ExitCode::StillRunning),
        _ = tokio::signal::ctrl_c() => Err(ExitCode::Interrupted),
    };
    screen.clear_gauges();
    match ended {
        Ok(ended) => Ok(Followed::Ended(Box::new(ended))),
        Err(code) => {
            let why = wishes.timeout.filter(|_| code == ExitCode::StillRunning).map(ran_out).unwrap_or_default();
            screen.note(&format!(
                "{why}The run goes on in the cluster. To see it again, from its start:\n  {}",
                session.logs_of(job)
            ));
            Ok(Followed::GoesOn(code))
        }
    }
}

fn ran_out(limit: Duration) -> String {
    let limit = if limit < Duration::from_secs(1) { format!("{limit:?}") } else { age::human(limit) };
    format!("The limit of {limit} (--timeout) ran out. ")
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn to_the_end(
    job: &str,
    wishes: &FollowWishes,
    session: &Session,
    screen: &mut Screen,
) -> Result<Ended, Failure> {
    let connection = session.connection()?;
    let namespace = &connection.target.namespace;
    let failed = |error: PortError| in_cluster(session.failure(&error), job, session);
    let not_started = |error: PortError| match error.reason {
        Reason::TimedOut | Reason::Other => session.reachable(still_ordered(failed(error), job, namespace, session)),
        _ => failed(error),
    };
    screen.gauge(Gauge::new("order", &format!("waiting for the pod of {job}")));
    let orders = Orders::new(connection.client.clone(), namespace);
    let pod = orders.pod_of(job, wishes.start_timeout).await.map_err(not_started)?;
    let mut follower = PodFollower::new(connection.client.clone(), namespace, &pod, CONDUCTOR_CONTAINER);
    screen.gauge(Gauge::new("order", &format!("waiting for pod {pod} to start")));
    let mut tell = |why: &str| screen.gauge(Gauge::new("order", &format!("pod {pod} has not started yet: {why}")));
    follower.wait_until_started(wishes.start_timeout, &mut tell).await.map_err(not_started)?;
    let mut view = View::new(job, wishes.reports);
    loop {
        let news = tokio::select! {
            news = follower.next() => news.map_err(failed)?,
            () = sleep(PROGRESS_EVERY) => {
                view.connection(follower.is_cut_off(), screen);
                view.log_trouble(follower.log_trouble(), screen);
                view.tick(Instant::now(), screen);
                continue;
            }
        };
        match news {
            RunnerNews::Event(event) => {
                view.connection(false, screen);
                view.take(&from_here(event, session), Instant::now(), screen);
            }
            RunnerNews::Ended { last_word, how } => {
                view.log_trouble(follower.log_trouble(), screen);
                let outcome = outcome(last_word.as_deref(), &how, job, session);
                for warning in outcome.warnings.iter().filter(|warning| !view.warned.contains(*warning)) {
                    screen.warn(warning);
                }
                return Ok(Ended { outcome, found: view.found, newest: view.newest });
            }
        }
    }
}

/// A report whose commands lead to the same cluster from here.
fn from_here(event: Event, session: &Session) -> Event {
    match event.kind {
        EventKind::Warned { message } => {
            Event { kind: EventKind::Warned { message: session.reached(&message) }, ..event }
        }
        kind => Event { kind, ..event },
    }
}

/// An error while following says nothing good about the run, and never that it is fine.
fn in_cluster(mut failure: Failure, job: &str, session: &Session) -> Failure {
    if failure.code == ExitCode::Error {
        failure.code = ExitCode::FailedInCluster;
    }
    let hint = failure.hint.take().unwrap_or_else(|| session.logs_of(job));
    failure.with_hint(hint)
}

/// A run that did not start in time may still start: nobody but its reader takes the order back.
fn still_ordered(failure: Failure, job: &str, namespace: &str, session: &Session) -> Failure {
    let look = failure.hint.clone().unwrap_or_default();
    let back = format!("to take the order back: kubectl delete job {job} -n {namespace}");
    let is_of_image = |cause: &String| cause.contains("ImagePull") || cause.contains("InvalidImageName");
    if failure.causes.iter().any(is_of_image) {
        let setup = session.command_in(namespace, "setup --agent-image IMAGE");
        let other = format!("then, with an image that can be pulled, for every run: {setup}");
        return failure.with_cause("the order stands, with this image").with_hint(format!("{look}\n{back}\n{other}"));
    }
    let stands = "the order stands, and is carried out should that be cured";
    failure.with_cause(stands).with_hint(format!("{look}\n{back}"))
}

/// What is on the screen.
struct View {
    picture: Picture,
    reports: Reports,
    warned: BTreeSet<String>,
    found: Vec<FoundBackup>,
    /// When the run reported last, by its own clock.
    newest: Option<Timestamp>,
    /// When progress was written last, and what.
    shown: Option<(Instant, Vec<String>)>,
    /// Whether the reader was told that nothing new can be seen at present.
    cut_off: bool,
    /// What kept reports from being read, as it was told.
    trouble: Option<String>,
}

impl View {
    fn new(job: &str, reports: Reports) -> Self {
        let picture = Picture::of(job);
        let (warned, found) = (BTreeSet::new(), vec![]);
        Self { picture, reports, warned, found, newest: None, shown: None, cut_off: false, trouble: None }
    }

    /// Tells when the cluster is lost from sight, and when it is back.
    fn connection(&mut self, cut_off: bool, screen: &mut Screen) {
        if cut_off != self.cut_off {
            self.cut_off = cut_off;
            screen.note(if cut_off {
                "the API server does not answer; trying again, while the run goes on"
            } else {
                "the API server answers again"
            });
        }
    }

    /// Tells why nothing is reported, each reason once; that the API server is away is told by itself.
    fn log_trouble(&mut self, trouble: Option<&str>, screen: &mut Screen) {
        if let Some(trouble) = trouble.filter(|trouble| !self.cut_off && self.trouble.as_deref() != Some(*trouble)) {
            screen.warn(trouble);
            self.trouble = Some(trouble.to_owned());
        }
    }

    /// Writes a line of the command's data.
    fn line(&self, text: &str, screen: &mut Screen) {
        let stamp = self.newest.filter(|_| self.reports == Reports::TimedLines);
        screen.line(&stamped(stamp, text));
    }

    fn take(&mut self, event: &Event, now: Instant, screen: &mut Screen) {
        self.newest = Some(event.time);
        if self.reports == Reports::Json {
            let line = serde_json::to_string(event).expect("a report that was read can be written");
            screen.data(&format!("{line}\n"));
        }
        if let EventKind::Found { found } = &event.kind {
            self.found.push((**found).clone());
        }
        let line = self.picture.take(event);
        if let (EventKind::Said { by, line }, Reports::Lines | Reports::TimedLines) = (&event.kind, self.reports) {
            self.line(&format!("{by}: {line}"), screen);
        }
        if let EventKind::Warned { message } = &event.kind {
            self.warned.insert(message.clone());
        }
        match (line, self.reports) {
            (None, _) | (Some(_), Reports::Json) | (Some(Line::Step(_)), Reports::Quiet) => {}
            (Some(Line::Step(text)), Reports::Aside) => screen.note(&text),
            (Some(Line::Warning(text)), Reports::Aside | Reports::Quiet) => screen.warn(&text),
            (Some(Line::Step(text)), Reports::Lines | Reports::TimedLines) => self.line(&text, screen),
            (Some(Line::Warning(text)), Reports::Lines | Reports::TimedLines) => {
                self.line(&format!("Warning: {text}"), screen);
            }
        }
        // Documents show by themselves that the run goes on; whoever reads them may write to this terminal, too.
        let moving = if self.reports == Reports::Json { vec![] } else { self.picture.gauges() };
        screen.gauges(moving);
        self.tick(now, screen);
    }

    /// Writes progress now and then, where no bar can move.
    fn tick(&mut self, now: Instant, screen: &mut Screen) {
        if screen.is_live() || matches!(self.reports, Reports::Json | Reports::Quiet) {
            return;
        }
        let lines = self.picture.progress_lines();
        let was = self.shown.as_ref();
        if lines.is_empty() || was.is_some_and(|(at, was)| now.duration_since(*at) < PROGRESS_EVERY || *was == lines) {
            return;
        }
        for line in &lines {
            match self.reports {
                Reports::Aside => screen.note(line),
                Reports::Lines | Reports::TimedLines => self.line(line, screen),
                Reports::Json | Reports::Quiet => {}
            }
        }
        self.shown = Some((now, lines));
    }
}

/// A line with its time in front, where there is one to be shown.
pub(crate) fn stamped(stamp: Option<Timestamp>, text: &str) -> String {
    stamp.map_or_else(|| text.to_owned(), |stamp| format!("{stamp} {text}"))
}

/// Reads a conductor's last word. Without one a run has failed, whatever else seems so.
fn outcome(last_word: Option<&str>, how: &str, job: &str, session: &Session) -> Outcome<RunReport> {
    let untold = |what: String| {
        let failure = Failure::new(ExitCode::FailedInCluster, format!("run {job} {what}"))
            .with_cause(format!("its pod ended: {how}"))
            .with_cause("what it owes to the cluster is recorded, and settled before anything else is done to it")
            .with_hint(format!("to see how the cluster is: {}", session.command("status")));
        Outcome::failed(failure, vec![])
    };
    match last_word.map(serde_json::from_str) {
        None => untold("ended without saying how".to_owned()),
        Some(Ok(outcome)) => reachable(outcome, job, session),
        Some(Err(error)) => {
            tracing::debug!(%error, last_word, "not an outcome");
            untold("ended with words this version does not understand".to_owned())
        }
    }
}

/// The outcome with its commands as this reader types them; where no next one is known, it is to read the log.
fn reachable(mut outcome: Outcome<RunReport>, job: &str, session: &Session) -> Outcome<RunReport> {
    for warning in &mut outcome.warnings {
        *warning = session.reached(warning);
    }
    if let End::Failed(failure) = &mut outcome.end {
        failure.message = session.reached(&failure.message);
        for cause in &mut failure.causes {
            *cause = session.reached(cause);
        }
        let logs = || session.logs_of(job);
        failure.hint = Some(failure.hint.as_deref().map_or_else(logs, |hint| session.reached(hint)));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::event::Phase;
    use crate::render::style::{ColorWish, Style};

    fn end(last_word: Option<&str>) -> Failure {
        let session = Session::new(super::super::cli::ConnectionFlags::default(), std::collections::BTreeMap::new());
        match outcome(last_word, "exit code 137 (SIGKILL)", "job-x", &session).end {
            End::Failed(failure) => failure,
            End::Done(_) => panic!("no run is done without saying so"),
        }
    }

    /// An output that can be read.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Heard {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn where_nothing_can_move_progress_is_a_plain_line_every_few_seconds_while_it_changes() {
        let (data, told) = (Heard::default(), Heard::default());
        let style = Style::decide(ColorWish::Auto, false, None, None);
        let mut screen = Screen::new(Box::new(data.clone()), Box::new(told.clone()), style, false);
        let mut view = View::new("job-x", Reports::Aside);
        let begin = Instant::now();
        let mut heard_at = |second: u64, done: Option<u64>| {
            let now = begin + Duration::from_secs(second);
            match done {
                Some(done) => view.take(&copied(second, done), now, &mut screen),
                None => view.tick(now, &mut screen),
            }
            told.take()
        };
        assert_eq!(heard_at(0, Some(0)), "copy: 0B/0.98GiB\n");
        assert_eq!(heard_at(2, Some(200)), "", "a pipe is no place for every report");
        assert_eq!(heard_at(4, Some(400)), "");
        assert_eq!(heard_at(5, None), "copy: 400MiB/0.98GiB 100MiB/s ETA 6s\n");
        assert_eq!(heard_at(10, None), "", "what has not changed is not told again");
        assert_eq!(heard_at(11, Some(500)), "copy: 500MiB/0.98GiB 33.3MiB/s ETA 16s\n");
        assert_eq!(data.take(), "");
    }

    fn copied(second: u64, mebibytes: u64) -> Event {
        let time = Timestamp::from_second(1_700_000_000 + i64::try_from(second).unwrap()).unwrap();
        let kind = EventKind::Progress { done_bytes: mebibytes << 20, total_bytes: 1000 << 20, written_bytes: 0 };
        Event { schema: 1, seq: second, time, phase: Phase::Copy, runner: None, kind }
    }

    #[test]
    fn a_run_that_does_not_say_how_it_ended_has_failed() {
        assert_eq!(end(None).code, ExitCode::FailedInCluster);
        assert_eq!(end(Some("{\"schema\": 1}")).code, ExitCode::FailedInCluster);
        assert_eq!(end(None).causes[0], "its pod ended: exit code 137 (SIGKILL)");
    }

    #[test]
    fn a_failure_of_the_run_is_told_as_it_was_written() {
        let word = r#"{"schema":1,"failed":{"code":"locked","message":"held"},"warnings":["w"]}"#;
        assert_eq!(end(Some(word)).code, ExitCode::Locked);
    }
}
