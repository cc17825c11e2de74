//! Finds Galera clusters in a namespace, by what their StatefulSets look like.
//!
//! Only collects the signs; which cluster is meant is decided by whoever asked.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Namespace};
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde::Serialize;

use super::error::port_error;
use crate::model::names::{MANAGER, MANAGER_LABEL, STATEFULSET_LABEL};
use crate::model::settings::Settings;
use crate::ports::{PortError, Reason};

/// The port by which Galera members talk to each other.
const GALERA_PORT: i32 = 4567;

/// A StatefulSet, and what speaks for its being a Galera cluster of MariaDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Whether it looks like Galera.
    pub is_galera: bool,
    /// Whether backups were set up for it.
    pub is_set_up: bool,
}

/// The StatefulSets of a namespace.
#[derive(Debug, Default)]
pub struct Sets {
    /// All of them.
    pub all: Vec<Found>,
    /// Why it is not known which of them were set up.
    pub gap: Option<PortError>,
}

/// A Galera cluster, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its StatefulSet.
    pub statefulset: String,
    /// Whether only its backups are left.
    #[serde(rename = "statefulsetGone", skip_serializing_if = "std::ops::Not::not")]
    pub is_gone: bool,
}

impl Place {
    /// The place of a cluster that is there.
    #[must_use]
    pub fn new(namespace: impl Into<String>, statefulset: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), statefulset: statefulset.into(), is_gone: false }
    }
}

/// Finds the Galera clusters of one namespace, or of all, with certain labels or with any, by name.
pub async fn clusters(
    client: Client,
    namespace: Option<&str>,
    selector: Option<&str>,
) -> Result<Vec<Place>, PortError> {
    let sets: Api<StatefulSet> = match namespace {
        Some(name) => Api::namespaced(client, name),
        None => Api::all(client),
    };
    let place = namespace.map_or("all namespaces".to_owned(), |name| format!("namespace {name}"));
    let what = format!("cannot list StatefulSets in {place}");
    let which = ListParams { label_selector: selector.map(str::to_owned), ..ListParams::default() };
    let found = sets.list(&which).await.map_err(|error| port_error(what, error))?;
    let place = |set: StatefulSet| {
        Place::new(set.namespace().unwrap_or_else(|| namespace.unwrap_or_default().to_owned()), set.name_any())
    };
    let mut places: Vec<Place> = found.items.into_iter().filter(looks_like_galera).map(place).collect();
    places.sort();
    Ok(places)
}

/// Finds, in all namespaces, the catalogues of clusters whose StatefulSet is gone, by the usual name of a
/// catalogue and the labels that this product puts on it.
pub async fn remains(client: Client) -> Result<Vec<Place>, PortError> {
    let what = "cannot list ConfigMaps in all namespaces";
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{MANAGER_LABEL}={MANAGER}"));
    let maps = maps.list_metadata(&ours).await.map_err(|error| port_error(what, error))?;
    let sets: Api<StatefulSet> = Api::all(client);
    let what = "cannot list StatefulSets in all namespaces";
    let sets = sets.list_metadata(&ListParams::default()).await.map_err(|error| port_error(what, error))?;
    let there: Vec<Place> =
        sets.items.iter().filter_map(|set| Some(Place::new(set.namespace()?, set.name_any()))).collect();
    let gone = maps.items.iter().filter_map(cluster_of).filter(|place| !there.contains(place));
    let mut gone: Vec<Place> = gone.map(|place| Place { is_gone: true, ..place }).collect();
    gone.sort();
    gone.dedup();
    Ok(gone)
}

/// Whose catalogue a ConfigMap is. Its name is only a guess: a catalogue can be given any name.
fn cluster_of(map: &PartialObjectMeta<ConfigMap>) -> Option<Place> {
    let name = map.name_any();
    let by_name = Settings::cluster_of_catalogue(&name)?;
    let cluster = map.labels().get(STATEFULSET_LABEL).map_or(by_name, String::as_str);
    Some(Place::new(map.namespace()?, cluster))
}

/// Looks for StatefulSets.
pub struct Finder {
    client: Client,
    namespace: String,
}

impl Finder {
    /// A finder in one namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// Lists the StatefulSets of the namespace.
    pub async fn all(&self) -> Result<Sets, PortError> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot list StatefulSets in namespace {}", self.namespace);
        let sets = sets.list(&ListParams::default()).await.map_err(|error| port_error(what, error))?;
        // That a cluster was set up is only a sign: who may not see it can still name the one that is meant.
        let (set_up, gap) = match self.set_up().await {
            Ok(set_up) => (set_up, None),
            Err(error) => (vec![], Some(error)),
        };
        let found = |set: StatefulSet| {
            let name = set.name_any();
            let is_set_up = set_up.contains(&Settings::config_map_name(&name));
            Found { is_galera: looks_like_galera(&set), is_set_up, name }
        };
        Ok(Sets { all: sets.items.into_iter().map(found).collect(), gap })
    }

    /// Whether a StatefulSet of that name exists.
    pub async fn exists(&self, name: &str) -> Result<bool, PortError> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot read StatefulSet {}/{name}", self.namespace);
        Ok(sets.get_metadata_opt(name).await.map_err(|error| port_error(what, error))?.is_some())
    }

    /// Names of the namespace's `ConfigMap`s.
    async fn set_up(&self) -> Result<Vec<String>, PortError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let list = maps.list_metadata(&ListParams::default()).await;
        let what = format!("cannot list ConfigMaps in namespace {}", self.namespace);
        let list = list.map_err(|error| port_error(what, error))?;
        Ok(list.items.iter().map(ResourceExt::name_any).collect())
    }

    /// Whether the namespace exists; `None` when we may not know.
    ///
    /// The API answers lists in a namespace that does not exist with an empty list.
    pub async fn namespace_exists(&self) -> Result<Option<bool>, PortError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        match namespaces.get_metadata_opt(&self.namespace).await {
            Ok(found) => Ok(Some(found.is_some())),
            Err(error) => {
                let error = port_error(format!("cannot read namespace {}", self.namespace), error);
                if error.reason == Reason::Forbidden { Ok(None) } else { Err(error) }
            }
        }
    }
}

/// Lists the names of all namespaces.
pub async fn namespaces(client: Client) -> Result<Vec<String>, PortError> {
    let namespaces: Api<Namespace> = Api::all(client);
    let list = namespaces.list_metadata(&ListParams::default()).await;
    let list = list.map_err(|error| port_error("cannot list namespaces", error))?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

/// Whether a StatefulSet looks like a Galera cluster of MariaDB.
pub(super) fn looks_like_galera(set: &StatefulSet) -> bool {
    let Some(spec) = &set.spec else { return false };
    let Some(pod) = &spec.template.spec else { return false };
    let has_data = spec.volume_claim_templates.as_ref().is_some_and(|templates| !templates.is_empty());
    let maps = pod.volumes.iter().flatten().filter_map(|volume| volume.config_map.as_ref());
    let map_hint = maps.map(|map| map.name.to_lowercase()).any(|name| is_hint(&name));
    has_data && (map_hint || pod.containers.iter().any(is_member))
}

/// Whether a container looks like a member: by port, by its settings, or by its image alone.
fn is_member(container: &Container) -> bool {
    let ports = container.ports.iter().flatten();
    let by_port =
        ports.into_iter().any(|port| port.container_port == GALERA_PORT || port.name.as_deref().is_some_and(is_hint));
    let env = container.env.iter().flatten();
    let mut env = env.flat_map(|variable| [Some(&variable.name), variable.value.as_ref()]).flatten();
    let mut words = container.command.iter().chain(&container.args).flatten();
    let image = container.image.as_deref().unwrap_or_default();
    by_port || env.any(|text| is_hint(text)) || words.any(|text| is_hint(text)) || image.contains("mariadb")
}

fn is_hint(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("wsrep") || text.contains("galera")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(container: &serde_json::Value) -> StatefulSet {
        serde_json::from_value(serde_json::json!({"spec": {"selector": {}, "serviceName": "s",
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            "template": {"spec": {"containers": [container]}}}}))
        .unwrap()
    }

    #[test]
    fn every_flavour_is_recognized_and_others_are_not() {
        let cases = [
            (serde_json::json!({"name": "c", "image": "x", "ports": [{"containerPort": 4567}]}), true),
            (serde_json::json!({"name": "c", "image": "x", "ports": [{"containerPort": 1, "name": "galera"}]}), true),
            (serde_json::json!({"name": "c", "image": "x", "env": [{"name": "MARIADB_GALERA_CLUSTER_NAME"}]}), true),
            (serde_json::json!({"name": "c", "image": "x", "args": ["--wsrep-on=ON"]}), true),
            (serde_json::json!({"name": "c", "image": "registry/mariadb:10.11"}), true),
            (serde_json::json!({"name": "c", "image": "postgres:17", "ports": [{"containerPort": 5432}]}), false),
        ];
        for (container, expected) in cases {
            assert_eq!(looks_like_galera(&set(&container)), expected, "{container}");
        }
    }

    #[test]
    fn a_catalogue_is_that_of_the_cluster_on_its_label_and_by_its_name_only_without_one() {
        let map = |name: &str, labels: serde_json::Value| -> Option<Place> {
            let metadata = serde_json::json!({"name": name, "namespace": "db", "labels": labels});
            cluster_of(&serde_json::from_value(serde_json::json!({ "metadata": metadata })).unwrap())
        };
        assert_eq!(map("one-backup-hash", serde_json::json!({})), Some(Place::new("db", "one")));
        let named_by_hand = map("two-backup-hash", serde_json::json!({ STATEFULSET_LABEL: "one" }));
        assert_eq!(named_by_hand, Some(Place::new("db", "one")));
        assert_eq!(map("one-backup-metrics", serde_json::json!({ STATEFULSET_LABEL: "one" })), None);
    }

    #[test]
    fn without_data_there_is_nothing_to_back_up() {
        let mut without = set(&serde_json::json!({"name": "c", "image": "mariadb"}));
        without.spec.as_mut().unwrap().volume_claim_templates = None;
        assert!(!looks_like_galera(&without));
    }
}
