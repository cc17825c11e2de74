//! Changes in the cluster, as they happen: a signal for each, and no more than that.
//!
//! Whoever waits here reads anew what it shows, so nothing is lost when many changes are one signal.
//! A watch that breaks off is taken up again by itself; only what waiting does not cure is an error.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::error::port_error;
use crate::model::names::{MANAGER, MANAGER_LABEL, STATEFULSET_LABEL};
use crate::ports::{PortError, Reason};

/// How long the API server may take to answer before it counts as away.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How often it is asked then.
const ANSWER_EVERY: Duration = Duration::from_secs(2);

/// An object of a namespace that can be watched.
trait Watched:
    kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
    + Clone
    + DeserializeOwned
    + Debug
    + Send
    + 'static
{
}

impl<K> Watched for K where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static
{
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A replica's pod came, went, or changed its state.
    Replica,
    /// The ConfigMap that was given this number.
    ConfigMap(usize),
    /// Nothing is seen at present: a watch broke off. It is taken up again by itself.
    Broken,
    /// Anything else that is watched.
    Other,
}

/// A watch over several kinds of objects.
pub struct Changes {
    client: Client,
    signals: SelectAll<BoxStream<'static, Result<Change, PortError>>>,
}

impl Changes {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, signals: SelectAll::new() }
    }

    /// Watches one ConfigMap, whose changes are told with that number.
    pub fn config_map(&mut self, namespace: &str, name: &str, number: usize) {
        let change = Change::ConfigMap(number);
        self.watch_from::<ConfigMap>(namespace, named(name), change, move |_| Some(change));
    }

    /// Watches what a page about a cluster shows: its StatefulSet, pods, Lease, runs and schedules.
    ///
    /// Runs that `is_ours` picks by the word for their task are left out, as they are made by the watcher itself.
    pub fn cluster(&mut self, namespace: &str, statefulset: &str, lease: &str, is_ours: fn(&str) -> bool) {
        self.watch::<StatefulSet>(namespace, named(statefulset), |_| Some(Change::Other));
        let begins = format!("{statefulset}-");
        self.watch::<Pod>(namespace, watcher::Config::default(), move |pod| {
            let ordinal = pod.name_any().strip_prefix(&begins)?.parse::<u32>().ok();
            ordinal.map(|_| Change::Replica)
        });
        self.watch::<Lease>(namespace, named(lease), |_| Some(Change::Other));
        let ours =
            watcher::Config::default().labels(&format!("{MANAGER_LABEL}={MANAGER},{STATEFULSET_LABEL}={statefulset}"));
        self.watch::<Job>(namespace, ours.clone(), move |job| {
            let word = job.labels().get(crate::model::names::TASK_LABEL);
            (!word.is_some_and(|word| is_ours(word))).then_some(Change::Other)
        });
        self.watch::<CronJob>(namespace, ours, |_| Some(Change::Other));
    }

    fn watch<K: Watched>(
        &mut self,
        namespace: &str,
        which: watcher::Config,
        change: impl Fn(&K) -> Option<Change> + Send + Sync + 'static,
    ) {
        self.watch_from(namespace, which, Change::Other, change);
    }

    /// Watches objects; `begun` is told at the start, and whenever something may have been missed.
    fn watch_from<K: Watched>(
        &mut self,
        namespace: &str,
        which: watcher::Config,
        begun: Change,
        change: impl Fn(&K) -> Option<Change> + Send + Sync + 'static,
    ) {
        let kind = K::kind(&());
        let what = format!("cannot watch {kind}s in namespace {namespace}");
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let events = watcher(api, which).default_backoff();
        let signals = events.filter_map(move |event| {
            let signal = match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => change(&object).map(Ok),
                // At the start, and whenever the watch was taken up again: something may have been missed.
                Ok(watcher::Event::InitDone) => Some(Ok(begun)),
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
                Err(error) => Some(refused(&what, error).map_or(Ok(Change::Broken), Err)),
            };
            std::future::ready(signal)
        });
        self.signals.push(signals.boxed());
    }

    /// Whether the API server answers, be it with a refusal: a watch breaks off for lesser reasons, too.
    pub async fn are_in_reach(&self) -> bool {
        let answer = timeout(ANSWER_LIMIT, self.client.apiserver_version()).await;
        answer.is_ok_and(|answer| match answer {
            Ok(_) => true,
            Err(kube::Error::Api(status)) => status.code < 500,
            Err(_) => false,
        })
    }

    /// Waits until the API server answers.
    pub async fn until_in_reach(&self) {
        while !self.are_in_reach().await {
            sleep(ANSWER_EVERY).await;
        }
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// The API server refuses to be watched.
    pub async fn next(&mut self) -> Result<Change, PortError> {
        match self.signals.try_next().await {
            Ok(Some(change)) => Ok(change),
            Ok(None) => std::future::pending().await,
            Err(error) => Err(error),
        }
    }
}

fn named(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

/// An error that waiting does not cure; every other one is tried again, as `default_backoff` does.
fn refused(what: &str, error: watcher::Error) -> Option<PortError> {
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => port_error(what, error),
        other => {
            tracing::debug!(error = %other, "the watch goes on");
            return None;
        }
    };
    tracing::debug!(%error, "a watch broke off");
    matches!(error.reason, Reason::Forbidden | Reason::Credentials).then_some(error)
}
