//! Sending a runner on an errand: it is started, listened to until it ends, and its pod removed.
//!
//! Nothing but its last word says what came of it; a runner that was killed has none. One that shows no
//! sign of work any more is given up: the cluster's Lease is held meanwhile.
//!
//! What it tells is repeated under its name, and that it is at work no longer is told in any case: whoever
//! watches shows it until then.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::exit_code::ExitCode;
use crate::model::event::{Event, EventKind, Phase};
use crate::model::outcome::{End, Explain, Failure, Outcome, in_full};
use crate::model::span;
use crate::ports::conductor::{ConductorPorts, Runner, RunnerNews, RunnerSpec};
use crate::ports::{EventSink, PortError};

/// How long a runner may show no sign of work: longer than it ever waits for one answer of a store, which
/// is when a bucket puts the parts of a large upload together, retries included.
pub const SILENCE: Duration = Duration::from_hours(3);

/// Why an errand came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// The runner could not be started or listened to.
    #[error("runner {runner} could not be started or followed")]
    Port {
        /// Its pod.
        runner: String,
        /// Why.
        #[source]
        source: PortError,
    },
    /// The runner could not do its work.
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl Explain for ErrandError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Port { source, .. } => match source.code() {
                ExitCode::Error => ExitCode::FailedInCluster,
                code => code,
            },
            Self::Failed(failure) => failure.code,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Port { source, .. } => source.hint(),
            Self::Failed(failure) => failure.hint.clone(),
        }
    }

    fn reported(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Port { .. } => None,
        }
    }
}

/// Sends a runner, hands each of its events to `hear`, and returns its report.
///
/// # Errors
/// The runner cannot be started or followed, or did not do what it was sent for.
pub async fn run<R: DeserializeOwned>(
    spec: &RunnerSpec,
    start: Duration,
    ports: &ConductorPorts<'_>,
    hear: impl FnMut(Event) + Send,
) -> Result<R, ErrandError> {
    run_patiently(spec, start, SILENCE, ports, hear).await
}

/// The same for work that may show no sign for longer than usual.
///
/// # Errors
/// As [`run`].
pub async fn run_patiently<R: DeserializeOwned>(
    spec: &RunnerSpec,
    start: Duration,
    patience: Duration,
    ports: &ConductorPorts<'_>,
    hear: impl FnMut(Event) + Send,
) -> Result<R, ErrandError> {
    let done = follow(spec, start, patience, ports, hear).await;
    // Also after a start that failed: an answer may have been lost on its way.
    if let Err(error) = ports.runners.remove(&spec.name).await {
        ports.events.send(Phase::Store, EventKind::Warned { message: in_full(&error) });
    }
    done
}

/// Repeats what a runner told, for the reader of the conductor's own events; where the errand begins
/// and ends is the conductor's to say.
pub fn repeat(event: Event, ports: &ConductorPorts<'_>) {
    if !matches!(event.kind, EventKind::Started | EventKind::Finished) {
        ports.events.deliver(event.runner.as_deref(), event.phase, event.kind);
    }
}

/// A runner that is at work, as the reader of the conductor's events sees it.
pub struct AtWork<'a> {
    runner: &'a str,
    events: &'a dyn EventSink,
    /// That of its newest event; `None` as long as nobody has heard of it, and when its end was told.
    phase: Option<Phase>,
}

impl<'a> AtWork<'a> {
    /// One that was not heard of yet.
    #[must_use]
    pub fn new(runner: &'a str, events: &'a dyn EventSink) -> Self {
        Self { runner, events, phase: None }
    }

    /// Its event, under its name.
    #[must_use]
    pub fn named(&mut self, event: Event) -> Event {
        self.phase = Some(event.phase);
        Event { runner: Some(self.runner.to_owned()), ..event }
    }

    /// Tells that it is at work no longer, and why where its work is not done.
    pub fn end(&mut self, trouble: Option<String>) {
        if let Some(phase) = self.phase.take() {
            let kind = trouble.map_or(EventKind::Finished, |message| EventKind::Failed { message });
            self.events.deliver(Some(self.runner), phase, kind);
        }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.end(Some("it was ended before its work was done".to_owned()));
    }
}

async fn follow<R: DeserializeOwned>(
    spec: &RunnerSpec,
    start: Duration,
    patience: Duration,
    ports: &ConductorPorts<'_>,
    hear: impl FnMut(Event) + Send,
) -> Result<R, ErrandError> {
    let failed = |source| ErrandError::Port { runner: spec.name.clone(), source };
    let mut runner = ports.runners.start(spec, start).await.map_err(failed)?;
    hear_out(spec, runner.as_mut(), patience, ports, hear).await
}

/// Listens to a runner that was started before until it ends. Its pod stays.
///
/// # Errors
/// The runner cannot be followed, or did not do what it was sent for.
pub async fn hear_out<R: DeserializeOwned>(
    spec: &RunnerSpec,
    runner: &mut dyn Runner,
    patience: Duration,
    ports: &ConductorPorts<'_>,
    mut hear: impl FnMut(Event) + Send,
) -> Result<R, ErrandError> {
    let mut at_work = AtWork::new(&spec.name, ports.events);
    let told = |event| hear(at_work.named(event));
    let done = to_its_end(spec, runner, patience, ports, told).await;
    at_work.end(done.as_ref().err().map(ToString::to_string));
    done
}

async fn to_its_end<R: DeserializeOwned>(
    spec: &RunnerSpec,
    runner: &mut dyn Runner,
    patience: Duration,
    ports: &ConductorPorts<'_>,
    mut hear: impl FnMut(Event) + Send,
) -> Result<R, ErrandError> {
    let failed = |source| ErrandError::Port { runner: spec.name.clone(), source };
    let (mut heard, mut progress) = (ports.clock.elapsed(), None);
    loop {
        let left = patience.saturating_sub(ports.clock.elapsed().saturating_sub(heard));
        if left.is_zero() {
            return Err(silent(spec, patience));
        }
        let news = tokio::select! {
            biased;
            news = runner.next() => news.map_err(failed)?,
            () = ports.clock.sleep(left) => return Err(silent(spec, patience)),
        };
        match news {
            RunnerNews::Event(event) => {
                // A store that hangs lets the same progress be told for ever.
                let told = matches!(event.kind, EventKind::Progress { .. }).then(|| event.kind.clone());
                if told.is_none() || told != progress {
                    heard = ports.clock.elapsed();
                    progress = told.or(progress);
                }
                hear(event);
            }
            RunnerNews::Ended { last_word, how } => return report_of(last_word.as_deref(), &how),
        }
    }
}

fn silent(spec: &RunnerSpec, patience: Duration) -> ErrandError {
    let patience = span::human(patience);
    let what = format!("runner {} showed no sign of work for {patience} and was ended", spec.name);
    let hint = "see whether the node, the volume and S3 answer; the next run does what is left";
    ErrandError::Failed(Failure::new(ExitCode::FailedInCluster, what).with_hint(hint))
}

fn report_of<R: DeserializeOwned>(last_word: Option<&str>, how: &str) -> Result<R, ErrandError> {
    match last_word.map(serde_json::from_str::<Outcome<R>>) {
        Some(Ok(Outcome { end: End::Done(report), .. })) => Ok(report),
        Some(Ok(Outcome { end: End::Failed(failure), .. })) => Err(ErrandError::Failed(failure)),
        no_outcome => {
            let cry = no_outcome.and(last_word).and_then(last_cry).map(|cry| format!(": {cry}")).unwrap_or_default();
            let what = format!("the runner ended before it could report ({how}){cry}");
            Err(ErrandError::Failed(Failure::new(ExitCode::FailedInCluster, what)))
        }
    }
}

/// What Kubernetes kept of the log of a runner without a last word, where that is no event: such as what the
/// loader says of a program that the server's image cannot run.
fn last_cry(log: &str) -> Option<&str> {
    let last = log.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    (!last.starts_with('{')).then_some(last)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::event::EVENT_SCHEMA;

    #[derive(Default)]
    struct Told(Mutex<Vec<(Option<String>, EventKind)>>);

    impl EventSink for Told {
        fn deliver(&self, runner: Option<&str>, _: Phase, kind: EventKind) {
            self.0.lock().unwrap().push((runner.map(str::to_owned), kind));
        }
    }

    fn event() -> Event {
        let (time, kind) = (jiff::Timestamp::UNIX_EPOCH, EventKind::Started);
        Event { schema: EVENT_SCHEMA, seq: 1, time, phase: Phase::Refill, runner: None, kind }
    }

    #[test]
    fn the_end_of_a_runner_is_told_once_under_its_name_also_where_nobody_listens_any_more() {
        let told = Told::default();
        drop(AtWork::new("unheard", &told));
        let mut at_work = AtWork::new("done", &told);
        assert_eq!(at_work.named(event()).runner.as_deref(), Some("done"));
        at_work.end(None);
        drop(at_work);
        let mut at_work = AtWork::new("given-up", &told);
        drop(at_work.named(event()));
        drop(at_work);
        let message = "it was ended before its work was done".to_owned();
        let ends = [("done", EventKind::Finished), ("given-up", EventKind::Failed { message })];
        assert_eq!(*told.0.lock().unwrap(), ends.map(|(runner, kind)| (Some(runner.to_owned()), kind)));
    }

    #[test]
    fn a_runner_that_could_not_even_begin_is_told_by_its_last_cry_and_one_that_was_killed_by_how_it_ended() {
        let told = |last_word: Option<&str>| match report_of::<()>(last_word, "exit code 1") {
            Err(ErrandError::Failed(failure)) => failure.message,
            other => panic!("{other:?}"),
        };
        let bare = "the runner ended before it could report (exit code 1)";
        assert_eq!(told(None), bare);
        assert_eq!(told(Some("{\"schema\":1,\"seq\":2}\n")), bare);
        let loader = "/agent: version `GLIBC_2.34' not found (required by /agent)\n";
        assert_eq!(told(Some(loader)), format!("{bare}: {}", loader.trim()));
    }
}
