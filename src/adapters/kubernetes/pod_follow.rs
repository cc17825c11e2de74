//! Follows one container of one pod: its start, its reports, its end.
//!
//! The log is where reports come from, the pod's status is where the end comes from; neither is
//! trusted for the other's part. Both are reached through connections that break (API server
//! restarts, a kubelet that goes away), so each is opened again with a bounded pause, and reports
//! are told apart by their sequence number. What a container said before it ended is read to the
//! end before the end is told. No waiting here ends because the API is away: limits are the caller's.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::io::{AsyncBufRead, AsyncBufReadExt, Lines};
use futures::stream::{BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event as KubernetesEvent, Pod};
use kube::api::{Api, ListParams, LogParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::backoff::Pause;
use super::error::port_error;
use super::event_text;
use super::pod_state::{End, Stage, stage};
use crate::model::event::Event;
use crate::ports::conductor::{Runner, RunnerNews};
use crate::ports::{PortError, Reason};

/// How long a start that looks hopeless may still come right: a pull is tried again, a Secret may come.
const STUCK_GRACE: Duration = Duration::from_secs(15);
/// How often a start that takes its time is explained by the pod's events.
const EXPLAIN_EVERY: Duration = Duration::from_secs(5);
/// How much longer than its grace period a deleted pod may need to vanish before its node counts as lost.
const DELETION_MARGIN: Duration = Duration::from_mins(1);
/// A log is read again from a little before the newest report: its times are cut to seconds.
const OVERLAP: SignedDuration = SignedDuration::from_secs(3);

/// The limits of what is waited for without being asked to.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long the rest of the log of an ended container may be silent before it is given up.
    read_out: Duration,
    /// How long a right may be missing that was there before: Roles are made anew, API servers warm up.
    denied: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { read_out: Duration::from_secs(15), denied: Duration::from_mins(1) }
    }
}

/// A container being followed.
pub struct PodFollower {
    events: Api<KubernetesEvent>,
    namespace: String,
    name: String,
    container: String,
    limits: Limits,
    sights: BoxStream<'static, Result<Option<Pod>, watcher::Error>>,
    uid: Option<String>,
    stage: Stage,
    /// When a pod that is being deleted counts as lost.
    lost_at: Option<Instant>,
    log: Log,
    /// Whether the API did not answer when it was asked last.
    cut_off: bool,
    /// Whether the container was ever seen running.
    was_running: bool,
    /// Since when the API has refused to show the pod.
    denied_since: Option<Instant>,
    /// Until when the log of an ended container is read for the last time. It lies here, so that a
    /// caller who asks in short turns does not begin the wait anew with each.
    read_out_until: Option<Instant>,
}

type LogLines = Lines<std::pin::Pin<Box<dyn AsyncBufRead + Send>>>;

/// The container's log, read over connections that break.
struct Log {
    pods: Api<Pod>,
    pod: String,
    container: String,
    connection: Connection,
    newest: Option<(u64, Timestamp)>,
    /// Why it cannot be read at present.
    trouble: Option<String>,
}

/// The connection to the log.
enum Connection {
    Closed {
        until: Instant,
    },
    Opening(BoxFuture<'static, Result<LogLines, kube::Error>>),
    Open(LogLines),
    /// There is none any more.
    Gone,
}

impl PodFollower {
    /// Prepares to follow a container; nothing is asked of the API before the first wait.
    #[must_use]
    pub fn new(client: Client, namespace: &str, pod: &str, container: &str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let sights = watcher::watch_object(pods.clone(), pod).backoff(Pause::default()).boxed();
        Self {
            events: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: pod.to_owned(),
            container: container.to_owned(),
            limits: Limits::default(),
            sights,
            uid: None,
            stage: Stage::Waiting("the API has not shown it yet".to_owned()),
            lost_at: None,
            log: Log::new(pods, pod, container),
            cut_off: false,
            was_running: false,
            denied_since: None,
            read_out_until: None,
        }
    }

    /// Waits until the container runs, or has run; after some seconds in vain it tells why, and again whenever that
    /// changes.
    ///
    /// # Errors
    /// Says why it does not: at once where it never will, after a short grace where that is nearly
    /// sure, and when `limit` ran out.
    pub async fn wait_until_started(
        &mut self,
        limit: Duration,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), PortError> {
        let deadline = Instant::now() + limit;
        let mut explain_at = Instant::now() + EXPLAIN_EVERY;
        let mut stuck_since = None;
        let mut explained = None;
        let mut told = String::new();
        loop {
            let reason = match &self.stage {
                Stage::Running | Stage::Ended(_) => return Ok(()),
                Stage::NeverRan(why) => return Err(self.not_started(Reason::Other, why, explained)),
                Stage::Stuck(why) | Stage::Waiting(why) => why.clone(),
            };
            let stuck = matches!(self.stage, Stage::Stuck(_)) || explained.as_deref().is_some_and(is_hopeless);
            stuck_since = if stuck { stuck_since.or(Some(Instant::now())) } else { None };
            let give_up_at = stuck_since.map_or(deadline, |since: Instant| deadline.min(since + STUCK_GRACE));
            tokio::select! {
                sight = self.sights.next() => self.look(sight)?,
                () = sleep_until(explain_at) => {
                    explained = newest_warning(&self.events, &self.name).await;
                    explain_at = Instant::now() + EXPLAIN_EVERY;
                    let why = in_one(&reason, explained.clone());
                    if why != told {
                        tell(&why);
                        told = why;
                    }
                }
                () = sleep_until(give_up_at) => {
                    let kind = if stuck { Reason::Other } else { Reason::TimedOut };
                    // What a stuck container says of itself is the whole story; its events repeat it in part.
                    let is_told = matches!(self.stage, Stage::Stuck(_));
                    let event = if is_told { None } else { newest_warning(&self.events, &self.name).await.or(explained) };
                    return Err(self.not_started(kind, &reason, event));
                }
            }
        }
    }

    fn not_started(&self, reason: Reason, why: &str, event: Option<String>) -> PortError {
        PortError::new(reason, format!("pod {}/{} did not start", self.namespace, self.name))
            .caused_by(in_one(why, event))
            // Its events outlive the pod, which goes with its run.
            .with_hint(format!(
                "kubectl get events -n {} --field-selector involvedObject.name={}",
                self.namespace, self.name
            ))
    }

    /// Takes in what the watch says.
    fn look(&mut self, sight: Option<Result<Option<Pod>, watcher::Error>>) -> Result<(), PortError> {
        let pod = match sight {
            Some(Ok(pod)) => {
                self.cut_off = false;
                self.denied_since = None;
                pod
            }
            Some(Err(error)) => return self.look_failed(error),
            None => return Err(PortError::new(Reason::Other, format!("the watch of pod {} ended", self.name))),
        };
        let successor = |pod: &Pod| self.uid.is_some() && self.uid != pod.metadata.uid;
        let Some(pod) = pod.filter(|pod| !successor(pod)) else {
            let how = if self.uid.is_some() { "its pod was deleted" } else { "there is no such pod" };
            self.log.connection = Connection::Gone;
            if !matches!(self.stage, Stage::Ended(_)) {
                self.stage = Stage::Ended(End { last_word: None, how: how.to_owned() });
            }
            return Ok(());
        };
        self.uid = pod.uid();
        self.stage = stage(&pod, &self.container);
        self.was_running |= self.stage == Stage::Running;
        self.lost_at = self.lost_at.or_else(|| {
            pod.metadata.deletion_timestamp.as_ref()?;
            let grace = u64::try_from(pod.metadata.deletion_grace_period_seconds.unwrap_or(0)).unwrap_or(0);
            Some(Instant::now() + Duration::from_secs(grace) + DELETION_MARGIN)
        });
        Ok(())
    }

    /// Whether the API does not answer at present. What runs in the cluster goes on all the same.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Why the container's reports cannot be read at present.
    #[must_use]
    pub fn log_trouble(&self) -> Option<&str> {
        self.log.trouble.as_deref()
    }

    /// How the container ended, with what kept its reports from being read.
    fn ended(&self, last_word: Option<String>, how: &str) -> RunnerNews {
        let how = self.log_trouble().map_or_else(|| how.to_owned(), |trouble| format!("{how}; {trouble}"));
        RunnerNews::Ended { last_word, how }
    }

    fn look_failed(&mut self, error: watcher::Error) -> Result<(), PortError> {
        let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
            tracing::debug!(pod = %self.name, "watch interrupted, trying again");
            return Ok(());
        };
        let error = port_error(format!("cannot watch pod {}/{}", self.namespace, self.name), error);
        if matches!(error.reason, Reason::Forbidden | Reason::Credentials) {
            let since = *self.denied_since.get_or_insert_with(Instant::now);
            if !self.was_running || since.elapsed() >= self.limits.denied {
                return Err(error);
            }
        }
        self.cut_off = error.reason == Reason::Unreachable;
        tracing::debug!(pod = %self.name, "API not reached, trying again");
        Ok(())
    }

    /// Reads what is left of the log of an ended container; `None` when there is nothing new.
    ///
    /// Whatever goes wrong here costs reports, never the truth: that is the last word.
    async fn rest_of_log(&mut self) -> Option<Event> {
        let mut until = if let Some(until) = self.read_out_until {
            until
        } else {
            // From here on the log is read anew, without following: it has an end now.
            self.log.reopen();
            Instant::now() + self.limits.read_out
        };
        self.read_out_until = Some(until);
        loop {
            let line = match timeout_at(until, self.log.line(false)).await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(_) => {
                    self.log.note_trouble("its node does not answer");
                    break;
                }
            };
            until = Instant::now() + self.limits.read_out;
            self.read_out_until = Some(until);
            if let Some(event) = self.log.report(&line) {
                return Some(event);
            }
        }
        self.log.connection = Connection::Gone;
        None
    }

    /// Waits for the next thing while the container runs; `None` when only its stage changed.
    async fn next_while_running(&mut self) -> Result<Option<Event>, PortError> {
        let lost_at = self.lost_at.unwrap_or_else(|| Instant::now() + Duration::from_hours(24));
        let running = self.stage == Stage::Running;
        tokio::select! {
            line = self.log.line(true), if running => {
                return Ok(line.and_then(|line| self.log.report(&line)));
            }
            sight = self.sights.next() => self.look(sight)?,
            () = sleep_until(lost_at), if self.lost_at.is_some() => {
                let how = "its pod was deleted and its node does not confirm that it ended".to_owned();
                self.stage = Stage::Ended(End { last_word: None, how });
            }
        }
        Ok(None)
    }
}

/// The newest warning among the pod's events: what a volume or a Secret lacks is said nowhere else.
async fn newest_warning(events: &Api<KubernetesEvent>, pod: &str) -> Option<String> {
    let about = ListParams::default().fields(&format!("involvedObject.name={pod},type=Warning"));
    let events = timeout(EXPLAIN_EVERY, events.list(&about)).await.ok()?;
    // A right to read events that is missing must not stop a run that could go on without it.
    event_text::newest(events.ok()?.items)
}

/// Whether a pod's event names a thing that is not there, rather than one that takes time.
fn is_hopeless(event: &str) -> bool {
    event.starts_with("FailedMount: ") && event.contains("not found")
}

/// What a pod's state says, and its newest event, where that says more: the condition of an unscheduled pod and
/// its event are one sentence twice, each with another word before it.
fn in_one(why: &str, event: Option<String>) -> String {
    let sentence = |text: &str| text.split_once(": ").map_or(text, |(_, sentence)| sentence).trim().to_owned();
    let says_more =
        |event: &String| !sentence(event).contains(&sentence(why)) && !sentence(why).contains(&sentence(event));
    match event.filter(says_more) {
        Some(event) => format!("{why}; {event}"),
        None => why.to_owned(),
    }
}

impl Log {
    fn new(pods: Api<Pod>, pod: &str, container: &str) -> Self {
        let connection = Connection::Closed { until: Instant::now() };
        let (pod, container) = (pod.to_owned(), container.to_owned());
        Self { pods, pod, container, connection, newest: None, trouble: None }
    }

    /// Lets go of the connection, so that a new one is made.
    fn reopen(&mut self) {
        if !matches!(self.connection, Connection::Gone) {
            self.connection = Connection::Closed { until: Instant::now() };
        }
    }

    /// Begins to open the log where the newest report was.
    fn opening(&self, follow: bool) -> Connection {
        let since_time = self.newest.and_then(|(_, time)| time.checked_sub(OVERLAP).ok());
        let container = Some(self.container.clone());
        let wishes = LogParams { container, follow, since_time, ..LogParams::default() };
        let (pods, pod) = (self.pods.clone(), self.pod.clone());
        Connection::Opening(Box::pin(async move {
            let stream: std::pin::Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(pods.log_stream(&pod, &wishes).await?);
            Ok(stream.lines())
        }))
    }

    /// Returns the next line, or `None` after a connection that broke or came to its end.
    ///
    /// May be dropped at any await: a connection half made and a line half read are gone on with.
    async fn line(&mut self, follow: bool) -> Option<String> {
        if let Connection::Closed { until } = self.connection {
            sleep_until(until).await;
            self.connection = self.opening(follow);
        }
        if let Connection::Opening(opening) = &mut self.connection {
            match opening.await {
                Ok(lines) => {
                    self.connection = Connection::Open(lines);
                    self.trouble = None;
                }
                Err(error) => {
                    self.not_opened(error);
                    self.pause();
                    return None;
                }
            }
        }
        let Connection::Open(lines) = &mut self.connection else { return None };
        match lines.next().await {
            Some(Ok(line)) => return Some(line),
            Some(Err(error)) => self.note_trouble(&error.to_string()),
            None => {}
        }
        self.pause();
        None
    }

    fn not_opened(&mut self, error: kube::Error) {
        let error = port_error("log not opened", error);
        // A pod that is gone is told by the watch.
        if error.reason != Reason::Missing {
            self.note_trouble(&error.source().map_or_else(|| error.to_string(), ToString::to_string));
        }
    }

    fn note_trouble(&mut self, why: &str) {
        tracing::debug!(pod = self.pod, why, "log not read");
        let namespace = self.pods.namespace().unwrap_or_default();
        self.trouble = Some(format!("cannot read the log of pod {namespace}/{}: {why}", self.pod));
    }

    fn pause(&mut self) {
        const PAUSE: Duration = Duration::from_secs(1);
        self.connection = Connection::Closed { until: Instant::now() + PAUSE };
    }

    /// Takes in a line: a report not seen before, or nothing.
    fn report(&mut self, line: &str) -> Option<Event> {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            tracing::debug!(pod = self.pod, line, "not a report");
            return None;
        };
        if self.newest.is_some_and(|(seq, _)| event.seq <= seq) {
            return None;
        }
        self.newest = Some((event.seq, event.time));
        Some(event)
    }
}

#[async_trait]
impl Runner for PodFollower {
    async fn next(&mut self) -> Result<RunnerNews, PortError> {
        loop {
            if let Stage::NeverRan(how) = &self.stage {
                return Ok(RunnerNews::Ended { last_word: None, how: how.clone() });
            }
            if let Stage::Ended(end) = &self.stage {
                let End { last_word, how } = end.clone();
                if let Some(event) = self.rest_of_log().await {
                    return Ok(RunnerNews::Event(event));
                }
                return Ok(self.ended(last_word, &how));
            }
            if let Some(event) = self.next_while_running().await? {
                return Ok(RunnerNews::Event(event));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod fake_api;
#[cfg(test)]
mod tests;
