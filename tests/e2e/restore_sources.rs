//! What a restore takes its data from: other series, objects that are gone, links that are slow.

use crate::ground::{Cluster, ground};
use crate::oracle::bucket_keys;
use crate::restores::{backed_up_and_lost, incarnations, is_back, nothing_is_left, ordered};

#[test]
fn a_backup_of_another_series_is_refused_before_anything_is_touched() {
    let cluster = Cluster::with_data();
    let older = Cluster::new("source-series", &["--series", "10.5"]);
    cluster.store_in("both");
    older.store_in("both");
    let name = backed_up_and_lost(&cluster);
    cluster.plugin(&["sync", "--to", "s3"]).ends_with(0);
    let before = incarnations(&older);
    let to = ["restore", &name, "--to", "source-series/mariadb-server", "--yes"];
    cluster.plugin(&to).ends_with(6).says("10.11").says("10.5");
    assert_eq!(incarnations(&older), before, "a server was restarted");
    nothing_is_left(&older, 3);
    // Nor does a newer server get the data of an older one.
    let name = older.created(&["create"]);
    older.plugin(&["sync", "--to", "s3"]).ends_with(0);
    let before = incarnations(&cluster);
    let to = ["restore", &name, "--to", "demo/mariadb-server", "--yes"];
    older.plugin(&to).ends_with(6).says("10.11").says("10.5");
    assert_eq!(incarnations(&cluster), before, "a server was restarted");
    nothing_is_left(&cluster, 3);
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
