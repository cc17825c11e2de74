//! What `setup` makes, as values: the same whether applied, printed or kept in git.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::names::{
    APP, APP_LABEL, CONDUCTOR_ACCOUNT, MANAGER, MANAGER_LABEL, RUNNER_ACCOUNT, STATEFULSET_LABEL,
};
use crate::model::settings::Settings;
use crate::plugin::rights::conductor;
use crate::plugin::rights::people::{self, PERSON_ROLE};

/// What is wished for.
pub(crate) struct SetupPlan<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) statefulset: &'a str,
    /// The settings in force.
    pub(crate) settings: &'a Settings,
    /// The settings to store.
    pub(crate) stored: &'a BTreeMap<String, String>,
    /// The ConfigMap by which servers in the way of openstack-helm find out who starts the cluster.
    pub(crate) state_config_map: Option<&'a str>,
    pub(crate) storage_class: Option<&'a str>,
    pub(crate) size: &'a str,
    pub(crate) access_mode: &'a str,
    /// Whether every command gets a Role of its own.
    pub(crate) with_roles: bool,
}

/// One manifest, and whether the rest works without it.
pub(crate) struct Manifest {
    pub(crate) object: Value,
    pub(crate) optional: bool,
}

/// Makes all manifests, in the order they are applied.
pub(crate) fn manifests(plan: &SetupPlan<'_>) -> Vec<Manifest> {
    let role = format!("{CONDUCTOR_ACCOUNT}-{}", plan.statefulset);
    // Not namespaced, so its name has to tell namespaces apart.
    let cluster_role = format!("{CONDUCTOR_ACCOUNT}-volumes");
    let binding = format!("{cluster_role}-{}", plan.namespace);
    let mut all = vec![
        needed(account(plan, CONDUCTOR_ACCOUNT)),
        needed(account(plan, RUNNER_ACCOUNT)),
        needed(rules(plan, "Role", &role, &conductor::rules(plan.statefulset, plan.settings, plan.state_config_map))),
        needed(bound(plan, "RoleBinding", &role, "Role", &role)),
        needed(rules(plan, "Role", PERSON_ROLE, &people::all())),
    ];
    if plan.with_roles {
        all.extend(people::COMMANDS.iter().map(|of| needed(rules(plan, "Role", &of.role(), &of.rules()))));
    }
    if plan.settings.stores.local() {
        all.push(needed(claim(plan)));
    }
    all.push(needed(settings_map(plan)));
    all.push(optional(rules(plan, "ClusterRole", &cluster_role, &conductor::beyond_its_namespace())));
    all.push(optional(bound(plan, "ClusterRoleBinding", &binding, "ClusterRole", &cluster_role)));
    all
}

fn needed(object: Value) -> Manifest {
    Manifest { object, optional: false }
}

fn optional(object: Value) -> Manifest {
    Manifest { object, optional: true }
}

fn metadata(plan: &SetupPlan<'_>, kind: &str, name: &str) -> Value {
    let mut metadata = json!({"name": name, "labels": {APP_LABEL: APP, MANAGER_LABEL: MANAGER}});
    if !kind.starts_with("Cluster") {
        metadata["namespace"] = json!(plan.namespace);
    }
    metadata
}

fn account(plan: &SetupPlan<'_>, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(plan, "ServiceAccount", name),
        // The conductor's pod asks for its token itself; a runner's gets none.
        "automountServiceAccountToken": false,
    })
}

fn rules(plan: &SetupPlan<'_>, kind: &str, name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata(plan, kind, name),
        "rules": rules,
    })
}

fn bound(plan: &SetupPlan<'_>, kind: &str, name: &str, role_kind: &str, role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata(plan, kind, name),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": CONDUCTOR_ACCOUNT, "namespace": plan.namespace}],
    })
}

fn claim(plan: &SetupPlan<'_>) -> Value {
    let mut spec = json!({
        "accessModes": [plan.access_mode],
        "resources": {"requests": {"storage": plan.size}},
    });
    if let Some(class) = plan.storage_class {
        spec["storageClassName"] = json!(class);
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(plan, "PersistentVolumeClaim", &plan.settings.store_claim),
        "spec": spec,
    })
}

fn settings_map(plan: &SetupPlan<'_>) -> Value {
    let mut metadata = metadata(plan, "ConfigMap", &Settings::config_map_name(plan.statefulset));
    metadata["labels"][STATEFULSET_LABEL] = json!(plan.statefulset);
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": plan.stored})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::document::{Form, document};

    fn made(key: &str, text: &str) -> Vec<Value> {
        let stored = BTreeMap::from([(key.to_owned(), text.to_owned())]);
        let settings = Settings::read("mariadb-server", &stored, &BTreeMap::new()).unwrap();
        let plan = SetupPlan {
            namespace: "db",
            statefulset: "mariadb-server",
            settings: &settings,
            stored: &stored,
            state_config_map: None,
            storage_class: Some("local"),
            size: "100Gi",
            access_mode: "ReadWriteOnce",
            with_roles: key == "roles",
        };
        manifests(&plan).into_iter().map(|manifest| manifest.object).collect()
    }

    #[test]
    fn everything_setup_makes() {
        let texts: Vec<_> =
            made("MARIADB_BACKUPS_TO_KEEP", "3").iter().map(|object| document(object, Form::Yaml)).collect();
        insta::assert_snapshot!(texts.join("---\n"));
    }

    #[test]
    fn s3_alone_needs_no_claim() {
        let claims = |store| {
            let made = made("MARIADB_BACKUP_STORE", store);
            made.iter().filter(|object| object["kind"] == "PersistentVolumeClaim").count()
        };
        assert_eq!([claims("local"), claims("both"), claims("s3")], [1, 1, 0]);
    }
}
