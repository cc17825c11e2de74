//! What a restore takes its data from: other series, objects that are gone, links that are slow.

use serde_json::{Value, json};

use crate::ground::{Cluster, ground, kubectl, scratch_file, until};
use crate::oracle::bucket_keys;
use crate::restores::{backed_up_and_lost, incarnations, is_as_it_was, is_back, nothing_is_left, ordered};

#[test]
fn a_backup_of_another_series_is_refused_before_anything_is_touched() {
    let cluster = Cluster::with_data();
    let older = Cluster::new("source-series", &["--series", "10.5"]);
    cluster.store_in("both");
    older.store_in("both");
    let name = backed_up_and_lost(&cluster);
    is_refused(&cluster, &name, &older);
    // Nor does a newer server get the data of an older one.
    let name = older.created(&["create"]);
    is_refused(&older, &name, &cluster);
}

/// A backup of one cluster is not restored into another of another series, which goes on as it was.
#[track_caller]
fn is_refused(of: &Cluster, name: &str, into: &Cluster) {
    of.plugin(&["sync", "--to", "s3"]).ends_with(0);
    let before = incarnations(into);
    let to = format!("{}/mariadb-server", into.namespace);
    of.plugin(&["restore", name, "--to", &to, "--yes"]).ends_with(6).says("10.11").says("10.5");
    assert_eq!(incarnations(into), before, "a server was restarted");
    nothing_is_left(into, 3);
}

#[test]
fn an_object_that_is_missing_in_the_middle_of_a_chain_refuses_before_the_cluster_is_touched() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    backed_up_and_lost(&cluster);
    let [middle, last] = [(); 2].map(|()| cluster.created(&["create", "--type", "incremental"]));
    let before = incarnations(&cluster);
    let keys = bucket_keys(&cluster);
    let stream = keys.iter().find(|key| key.contains(&middle) && key.ends_with(".mbstream.zst")).unwrap();
    ground(&["s3", "remove", stream]);
    let refused = cluster.plugin(&["restore", &last, "--yes", "--store", "s3"]);
    refused.ends_with(13).says(&middle).says("the cluster was not touched");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    // What lies on the volume is whole.
    cluster.plugin(&["drill", &last]).ends_with(0);
    nothing_is_left(&cluster, 3);
}

#[test]
fn what_lies_behind_a_slow_link_is_fetched_whole_while_the_cluster_serves() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    let name = backed_up_and_lost(&cluster);
    let before = incarnations(&cluster);
    ground(&["fault", "s3-slow", "--bps", "3000000"]);
    let run = ordered(&cluster, &name, &["--store", "s3"]);
    let runner = run.runner("prove");
    run.until_reported(&runner, "a part has come", |event| event["doneBytes"].as_u64() > Some(8 << 20));
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    assert_eq!(cluster.obligation().unwrap()["debt"]["stage"], "proving");
    let ran = run.end();
    ground(&["fault", "s3-normal"]);
    ran.ends_with(0).says("outage ");
    cluster.healthy();
    is_back(&cluster, 3);
    nothing_is_left(&cluster, 3);
}

/// Another cluster beside the first one in its namespace: one replica on a node, with the same start script.
#[track_caller]
fn beside(cluster: &Cluster, node: &str) {
    let mut set: Value = cluster.kubectl_json(&["get", "statefulset", "mariadb-server"]);
    let labels = json!({"application": "other", "component": "server"});
    set["metadata"] = json!({"name": "mariadb-other", "namespace": cluster.namespace});
    let spec = &mut set["spec"];
    (spec["replicas"], spec["serviceName"]) = (json!(1), json!("other-discovery"));
    (spec["selector"], spec["template"]["metadata"]) = (json!({"matchLabels": labels}), json!({"labels": labels}));
    let pod = &mut spec["template"]["spec"];
    pod["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    pod.as_object_mut().unwrap().remove("affinity");
    let discovery = format!("other-discovery.{}.svc.cluster.local", cluster.namespace);
    for variable in pod["containers"][0]["env"].as_array_mut().unwrap() {
        match variable["name"].as_str() {
            Some("STATEFULSET") => variable["value"] = json!("mariadb-other"),
            Some("REPLICAS") => variable["value"] = json!("1"),
            Some("DISCOVERY") => variable["value"] = json!(discovery),
            _ => {}
        }
    }
    // A volume that any claim of that class may have.
    spec["volumeClaimTemplates"][0]["spec"]["storageClassName"] = json!("ground-backup");
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "other-discovery", "namespace": cluster.namespace},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": labels,
            "ports": [{"name": "wsrep", "port": 4567}]}});
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [service, set]});
    let file = scratch_file("beside", &both.to_string());
    kubectl(&["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    let ready = ["get", "statefulset", "mariadb-other", "-o", "jsonpath={.status.readyReplicas}"];
    until("the other cluster is Ready", || (cluster.kubectl(&ready) == "1").then_some(()));
}

#[test]
fn a_backup_of_one_cluster_is_restored_into_another_of_the_same_namespace_from_their_volume() {
    let cluster = Cluster::new("source-beside", &[]);
    let name = backed_up_and_lost(&cluster);
    let node = cluster.kubectl(&["get", "pod", &cluster.target(), "-o", "jsonpath={.spec.nodeName}"]);
    beside(&cluster, &node);
    let image = ground(&["agent", "--print"]);
    cluster.plugin(&["setup", "mariadb-other", "--agent-image", &image, "--bootstrap", "grastate"]).ends_with(0);
    let before = incarnations(&cluster);
    let to = ["restore", &name, "--statefulset", "mariadb-server", "--to", "mariadb-other", "--yes"];
    cluster.plugin(&to).ends_with(0).says("outage ");
    assert_eq!(cluster.sql("mariadb-other-0", "SELECT SUM(n) FROM regret.kept"), "7");
    assert_eq!(incarnations(&cluster), before, "a server of the first cluster was restarted");
    is_as_it_was(&cluster);
    nothing_is_left(&cluster, 3);
}
