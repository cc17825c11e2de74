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
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::error::port_error;
use super::finder::{Place, looks_like_galera};
use crate::model::names::{MANAGER, MANAGER_LABEL, STATEFULSET_LABEL, TASK_LABEL};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A replica's pod came, went, or changed its state.
    Replica,
    /// The ConfigMap that was given this number.
    ConfigMap(usize),
    /// One of several clusters came, went, or changed.
    Set(Place),
    /// Something that belongs to one of several clusters, or to what may be none of them.
    Of(Place),
    /// Anything about several clusters: it begins to be seen, or something may have been missed.
    Several,
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
        let change = move || Change::ConfigMap(number);
        self.watch_from::<ConfigMap>(Some(namespace), named(name), change(), move |_| Some(change()));
    }

    /// Watches which clusters there are, in one namespace or in all.
    pub fn sets(&mut self, namespace: Option<&str>, selector: Option<&str>) {
        let sets = watcher::Config { label_selector: selector.map(str::to_owned), ..watcher::Config::default() };
        self.watch_from::<StatefulSet>(namespace, sets, Change::Several, |set| {
            let place = Place::new(set.namespace()?, set.name_any());
            looks_like_galera(set).then_some(Change::Set(place))
        });
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
            let word = job.labels().get(TASK_LABEL);
            (!word.is_some_and(|word| is_ours(word))).then_some(Change::Other)
        });
        self.watch::<CronJob>(namespace, ours, |_| Some(Change::Other));
    }

    /// Watches what a table of several clusters shows, in one namespace or in all: their StatefulSets, pods, runs
    /// and schedules. Runs that `is_ours` picks are left out.
    ///
    /// No Leases: every node has one that it renews all the time, and who takes one of ours is a run.
    pub fn clusters(&mut self, namespace: Option<&str>, selector: Option<&str>, is_ours: fn(&str) -> bool) {
        self.sets(namespace, selector);
        // Of pods there are very many, and that one has changed is all that is asked of them.
        let pods = watcher::Config::default();
        self.watch_from::<PartialObjectMeta<Pod>>(namespace, pods, Change::Several, |pod| {
            let owner = pod.owner_references().iter().find(|owner| owner.kind == "StatefulSet")?;
            Some(Change::Of(Place::new(pod.namespace()?, owner.name.clone())))
        });
        let ours = watcher::Config::default().labels(&format!("{MANAGER_LABEL}={MANAGER}"));
        self.watch_from::<Job>(namespace, ours.clone(), Change::Several, move |job| {
            let is_look = job.labels().get(TASK_LABEL).is_some_and(|word| is_ours(word));
            if is_look { None } else { labelled(job) }
        });
        self.watch_from::<CronJob>(namespace, ours, Change::Several, labelled);
    }

    /// Watches the schedules of one namespace, or of all.
    pub fn schedules(&mut self, namespace: Option<&str>) {
        let ours = watcher::Config::default().labels(&format!("{MANAGER_LABEL}={MANAGER}"));
        self.watch_from::<CronJob>(namespace, ours, Change::Several, |_| Some(Change::Several));
    }

    fn watch<K: Watched>(
        &mut self,
        namespace: &str,
        which: watcher::Config,
        change: impl Fn(&K) -> Option<Change> + Send + Sync + 'static,
    ) {
        self.watch_from(Some(namespace), which, Change::Other, change);
    }

    /// Watches objects of one namespace, or of all; `begun` is told at the start, and whenever something may have
    /// been missed.
    fn watch_from<K: Watched>(
        &mut self,
        namespace: Option<&str>,
        which: watcher::Config,
        begun: Change,
        change: impl Fn(&K) -> Option<Change> + Send + Sync + 'static,
    ) {
        let (api, place): (Api<K>, _) = match namespace {
            Some(name) => (Api::namespaced(self.client.clone(), name), format!("namespace {name}")),
            None => (Api::all(self.client.clone()), "all namespaces".to_owned()),
        };
        let what = format!("cannot watch {}s in {place}", K::kind(&()));
        let events = watcher(api, which).default_backoff();
        let signals = events.filter_map(move |event| {
            let signal = match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => change(&object).map(Ok),
                // At the start, and whenever the watch was taken up again: something may have been missed.
                Ok(watcher::Event::InitDone) => Some(Ok(begun.clone())),
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

/// The cluster that an object of ours is labelled with.
fn labelled<K: Watched>(object: &K) -> Option<Change> {
    let cluster = object.labels().get(STATEFULSET_LABEL)?;
    Some(Change::Of(Place::new(object.namespace()?, cluster)))
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
