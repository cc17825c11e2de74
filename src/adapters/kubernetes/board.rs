//! Where those look who watch a cluster: Events on its StatefulSet, and a ConfigMap with its figures.

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Event as KubernetesEvent};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::error::port_error;
use crate::model::metrics::Figures;
use crate::model::names::{APP, APP_LABEL, MANAGER, MANAGER_LABEL, STATEFULSET_LABEL, metrics_config_map};
use crate::model::notice::Notice;
use crate::model::obligation::{OBLIGATION_ANNOTATION, Obligation};
use crate::ports::monitor::Board;
use crate::ports::{PortError, Reason};

/// The board of one StatefulSet.
pub struct KubernetesBoard {
    client: Client,
    namespace: String,
    statefulset: String,
}

impl KubernetesBoard {
    /// The board of that StatefulSet.
    #[must_use]
    pub fn new(client: Client, namespace: &str, statefulset: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), statefulset: statefulset.to_owned() }
    }

    fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.statefulset)
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn metadata(&self) -> Result<PartialObjectMeta<StatefulSet>, PortError> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot read StatefulSet {}", self.place());
        sets.get_metadata(&self.statefulset).await.map_err(|error| port_error(what, error))
    }
}

#[async_trait]
impl Board for KubernetesBoard {
    async fn announce(&self, notice: &Notice) -> Result<(), PortError> {
        // Events are found by the UID of what they are about.
        let uid = self.metadata().await?.uid().unwrap_or_default();
        let event = serde_json::from_value(event(notice, &self.namespace, &self.statefulset, &uid))
            .expect("what is made below is an Event");
        let events: Api<KubernetesEvent> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot create an Event on StatefulSet {}", self.place());
        events.create(&PostParams::default(), &event).await.map(drop).map_err(|error| port_error(what, error))
    }

    async fn obligation(&self) -> Result<Option<Obligation>, PortError> {
        let set = self.metadata().await?;
        let Some(text) = set.annotations().get(OBLIGATION_ANNOTATION) else { return Ok(None) };
        let what = format!("cannot understand annotation {OBLIGATION_ANNOTATION} of StatefulSet {}", self.place());
        serde_json::from_str(text).map(Some).map_err(|error| PortError::new(Reason::Malformed, what).caused_by(error))
    }

    async fn figures(&self) -> Result<(Figures, Option<String>), PortError> {
        let name = metrics_config_map(&self.statefulset);
        let what = format!("cannot read ConfigMap {}/{name}", self.namespace);
        let map = self.config_maps().get_opt(&name).await.map_err(|error| port_error(what, error))?;
        let Some(map) = map else { return Ok((Figures::default(), None)) };
        let version = map.resource_version();
        Ok((Figures::read(&map.data.unwrap_or_default()), version))
    }

    async fn publish(&self, figures: &Figures, version: Option<&str>) -> Result<(), PortError> {
        let name = metrics_config_map(&self.statefulset);
        let data = figures.write(&self.namespace, &self.statefulset);
        let written = if let Some(version) = version {
            // The version makes the server refuse the patch when somebody else has written meanwhile.
            let patch = json!({"metadata": {"resourceVersion": version}, "data": data});
            self.config_maps().patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await
        } else {
            let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
            map.metadata.name = Some(name.clone());
            let labels = [(APP_LABEL, APP), (MANAGER_LABEL, MANAGER), (STATEFULSET_LABEL, self.statefulset.as_str())];
            map.labels_mut().extend(labels.map(|(label, value)| (label.to_owned(), value.to_owned())));
            self.config_maps().create(&PostParams::default(), &map).await
        };
        let what = format!("cannot write ConfigMap {}/{name}", self.namespace);
        written.map(drop).map_err(|error| port_error(what, error))
    }
}

/// Makes the Event. Each is one of its own: a run happens once.
fn event(notice: &Notice, namespace: &str, statefulset: &str, uid: &str) -> Value {
    json!({
        "metadata": {"generateName": format!("{statefulset}.backup-"), "namespace": namespace},
        "involvedObject": {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "name": statefulset,
            "namespace": namespace,
            "uid": uid,
        },
        "reason": notice.reason,
        "message": notice.message,
        "type": if notice.is_warning { "Warning" } else { "Normal" },
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": "",
        "firstTimestamp": notice.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "lastTimestamp": notice.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_about_the_statefulset_and_of_the_second_it_happened() {
        let notice = Notice {
            reason: "BackupFailed".to_owned(),
            is_warning: true,
            message: "why".to_owned(),
            at: "2026-01-31T23:59:59.5Z".parse().unwrap(),
        };
        let event: KubernetesEvent = serde_json::from_value(event(&notice, "db", "mariadb-server", "uid")).unwrap();
        let about = &event.involved_object;
        assert_eq!(
            (about.kind.as_deref(), about.name.as_deref(), about.uid.as_deref()),
            (Some("StatefulSet"), Some("mariadb-server"), Some("uid"))
        );
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.last_timestamp.unwrap().0, "2026-01-31T23:59:59Z".parse().unwrap());
    }
}
