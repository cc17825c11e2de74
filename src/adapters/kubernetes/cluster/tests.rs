use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use kube::client::Body;
use serde_json::Value;

use super::*;
use crate::adapters::kubernetes::pod_follow::fake_api::{Answer, client};

fn pod(is_desynced: bool) -> Value {
    let (ready, role) = if is_desynced { ("False", "backup") } else { ("True", "primary") };
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "db-2", "namespace": "db", "uid": "u", "resourceVersion": "2",
            "labels": {"mariadb_role": role}},
        "spec": {"containers": []},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    })
}

fn slice(is_desynced: bool) -> Value {
    json!({
        "metadata": {"name": "db-primary-x", "resourceVersion": "2",
            "labels": {"kubernetes.io/service-name": "db-primary"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.2"], "conditions": {"ready": !is_desynced},
            "targetRef": {"kind": "Pod", "name": "db-2"}}],
    })
}

fn list(kind: &str, version: &str, item: &Value) -> Answer {
    Answer::ok(&json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": [item]}))
}

/// A cluster whose pod becomes desynced when somebody begins to watch it.
fn cluster() -> KubernetesCluster {
    let is_desynced = Arc::new(AtomicBool::new(false));
    let answers = move |request: &Request<Body>| {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let path = request.uri().path();
        let now = || is_desynced.load(Ordering::Relaxed);
        match (path.rsplit('/').next().unwrap_or_default(), is_watch) {
            ("pods", true) => {
                is_desynced.store(true, Ordering::Relaxed);
                Answer::Text(200, json!({"type": "MODIFIED", "object": pod(true)}).to_string() + "\n")
            }
            ("pods", false) => list("PodList", "v1", &pod(now())),
            ("db-2", false) => Answer::ok(&pod(now())),
            ("endpointslices", false) => list("EndpointSliceList", "discovery.k8s.io/v1", &slice(now())),
            _ => Answer::Never,
        }
    };
    KubernetesCluster::new(client(answers), "db", "db")
}

#[tokio::test]
async fn a_pod_is_seen_at_once_and_then_whenever_it_is_seen_differently() {
    let cluster = cluster();
    let first = cluster.next_sight("db-2", None).await.unwrap();
    let primary = Some("primary".to_owned());
    assert_eq!(first, Sight { ready: true, role: primary, services: vec!["db-primary".to_owned()] });
    let next = cluster.next_sight("db-2", Some(&first)).await.unwrap();
    assert_eq!(next, Sight { ready: false, role: Some("backup".to_owned()), services: Vec::new() });
}
