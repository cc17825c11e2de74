//! Server-side apply of manifests of any kind, telling what it changed.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::error::port_error;
use crate::model::names::MANAGER;
use crate::ports::{PortError, Reason};

/// What applying did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there before.
    Created,
    /// It was there, and is different now.
    Configured,
    /// It was there already, just so.
    Unchanged,
}

/// Applies manifests.
pub struct Applier {
    client: Client,
    dry_run: bool,
}

impl Applier {
    /// An applier, or one that only has the server check everything.
    #[must_use]
    pub fn new(client: Client, dry_run: bool) -> Self {
        Self { client, dry_run }
    }

    /// Applies one manifest. Claims are only ever made, not changed: most of one is fixed by then.
    pub async fn apply(&self, manifest: &Value) -> Result<Applied, PortError> {
        let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name, namespace) = (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
        let place = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
        let api = self.api(&text("/apiVersion"), &kind, &namespace)?;
        let cannot = |verb: &str, error| port_error(format!("cannot {verb} {kind} {place}"), error);
        let before = api.get_opt(&name).await.map_err(|error| cannot("read", error))?;
        if before.is_some() && kind == "PersistentVolumeClaim" {
            return Ok(Applied::Unchanged);
        }
        // Forced: what is in the manifest was asked for just now, by name.
        let wishes = PatchParams { dry_run: self.dry_run, ..PatchParams::apply(MANAGER).force() };
        let after = api.patch(&name, &wishes, &Patch::Apply(manifest)).await.map_err(|error| cannot("apply", error))?;
        Ok(match before.map(substance) {
            None => Applied::Created,
            Some(before) if before == substance(after) => Applied::Unchanged,
            Some(_) => Applied::Configured,
        })
    }

    fn api(&self, api_version: &str, kind: &str, namespace: &str) -> Result<Api<DynamicObject>, PortError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if version.is_empty() || kind.is_empty() {
            return Err(PortError::new(Reason::Other, "cannot apply a manifest without apiVersion and kind"));
        }
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Ok(match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        })
    }
}

/// An object without what changes by being looked at or written again.
fn substance(mut object: DynamicObject) -> DynamicObject {
    object.managed_fields_mut().clear();
    object.metadata.managed_fields = None;
    object.metadata.resource_version = None;
    object.metadata.generation = None;
    object
}
