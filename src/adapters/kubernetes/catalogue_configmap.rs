//! The catalogue in its ConfigMap.
//!
//! The ConfigMap's version that was read guards every write, so two writers cannot lose each
//! other's backups. Keys and labels of others in the same ConfigMap are left alone: it may have been
//! made, and may still be written, by the original product.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::error::port_error;
use crate::model::catalogue::{Catalogue, LIMIT_BYTES};
use crate::model::{command, names};
use crate::ports::conductor::CatalogueStore;
use crate::ports::{PortError, Reason};

/// The way out of a catalogue that cannot be read.
const MADE_AGAIN: &str =
    "to make it again from what is in the stores: kubectl mariadb-backup verify --rebuild-catalogue";

/// A catalogue in a ConfigMap.
pub struct ConfigMapCatalogue {
    maps: Api<ConfigMap>,
    namespace: String,
    statefulset: String,
    name: String,
}

impl ConfigMapCatalogue {
    /// The catalogue of that StatefulSet in the ConfigMap `name`, which need not exist yet.
    #[must_use]
    pub fn new(client: Client, namespace: &str, statefulset: &str, name: &str) -> Self {
        Self {
            maps: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            statefulset: statefulset.to_owned(),
            name: name.to_owned(),
        }
    }

    fn cannot(&self, verb: &str) -> String {
        format!("cannot {verb} ConfigMap {}/{}", self.namespace, self.name)
    }
}

#[async_trait]
impl CatalogueStore for ConfigMapCatalogue {
    async fn read(&self) -> Result<(Catalogue, Option<String>), PortError> {
        let map = self.maps.get_opt(&self.name).await.map_err(|error| port_error(self.cannot("read"), error))?;
        let Some(map) = map else { return Ok((Catalogue::default(), None)) };
        let version = map.resource_version();
        let catalogue = Catalogue::read(&map.data.unwrap_or_default()).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            PortError::new(Reason::Malformed, self.cannot("understand"))
                .caused_by(format!("{error}{cause}"))
                .with_hint(command::placed(MADE_AGAIN, &self.namespace, &self.statefulset))
        })?;
        Ok((catalogue, version))
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        let map = self.maps.get_opt(&self.name).await.map_err(|error| port_error(self.cannot("read"), error))?;
        Ok(map.and_then(|map| map.resource_version()))
    }

    async fn write(&self, catalogue: &Catalogue, version: Option<&str>) -> Result<(), PortError> {
        let data = catalogue.write();
        let bytes: usize = data.values().map(String::len).sum();
        if bytes > LIMIT_BYTES {
            let cause = format!("{bytes} bytes are more than the {LIMIT_BYTES} a ConfigMap can hold");
            return Err(PortError::new(Reason::NoSpace, self.cannot("write")).caused_by(cause));
        }
        let written = if let Some(version) = version {
            // The version in the patch makes the server refuse it when somebody else has written meanwhile.
            // The label is put on those too that were made before there was one.
            let labels = json!({ names::STATEFULSET_LABEL: self.statefulset });
            let patch = json!({"metadata": {"resourceVersion": version, "labels": labels}, "data": data});
            self.maps.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await
        } else {
            let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
            map.metadata.name = Some(self.name.clone());
            let labels = [(names::MANAGER_LABEL, names::MANAGER), (names::STATEFULSET_LABEL, &self.statefulset)];
            map.labels_mut().extend(labels.map(|(label, value)| (label.to_owned(), value.to_owned())));
            self.maps.create(&PostParams::default(), &map).await
        };
        written.map(drop).map_err(|error| port_error(self.cannot("write"), error))
    }
}
