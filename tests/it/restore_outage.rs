//! How long a restore's plan says that the cluster will not serve.

use mariadb_backup::model::cluster::ClusterView;
use mariadb_backup::restore::{self, Observed};
use serde_json::json;

use crate::restore_plan::with;
use crate::restore_world::{RestoreWorld, request};

/// The outage that a plan tells, in seconds and in words.
fn outage(world: &RestoreWorld, change: impl FnOnce(&mut Observed<'_>)) -> (Option<(u64, u64)>, String) {
    with(world, change, |observed| {
        let plan = world.settled(observed, &request()).unwrap();
        let preview = restore::preview(&plan, observed);
        (preview.predicted_outage.map(|of| (of.least_seconds, of.most_seconds)), preview.outage)
    })
}

#[test]
fn an_outage_is_predicted_from_what_a_start_took_and_a_stop_may_take() {
    let world = RestoreWorld::new(3);
    let (seconds, words) = outage(&world, |_| {});
    assert_eq!(seconds, Some((7, 37)));
    insta::assert_snapshot!(words, @"about 7s to 37s, from step 3 to step 5: the servers stop (at most 30s), one starts (7s, as the quickest of those that run)");
    let last = json!({"backup": "base/2026-01-01_00-00-00", "leader": "db-0", "replicas": 3, "history": "h",
        "outageMillis": 9_000, "fullStrengthMillis": 20_000,
        "outageParts": {"stopMillis": 4_000, "placeMillis": 1_000, "startMillis": 5_000}});
    let last = json!({"run": "before", "at": "2026-01-03T12:00:00Z", "report": last});
    let cluster = ClusterView { last_restore: Some(serde_json::from_value(last).unwrap()), ..world.cluster() };
    let (seconds, words) = outage(&world, |observed| observed.cluster = Box::leak(Box::new(cluster)));
    assert_eq!(seconds, Some((10, 36)));
    insta::assert_snapshot!(words, @"about 10s to 36s, from step 3 to step 5: the servers stop (4s the last time, at most 30s), one starts (5s, the last time); the last one took 9s");
    let (seconds, words) = outage(&world, |observed| observed.workload.pace.start = None);
    assert_eq!(seconds, None, "of an unknown part nothing is made up");
    insta::assert_snapshot!(words, @"from step 3 to step 5: the servers stop (at most 30s), one starts");
    let (seconds, words) = outage(&world, |observed| observed.workload.scale.replicas = 0);
    assert_eq!(seconds, None);
    insta::assert_snapshot!(words, @"it is there already, and ends with step 5");
}

#[test]
fn data_that_have_to_be_copied_are_predicted_at_the_speed_of_the_backup() {
    let world = RestoreWorld::new(3).with(|state| state.free_bytes = 1 << 20);
    let took = |took| {
        move |observed: &mut Observed<'_>| {
            let full = observed.catalogue.known(&request().backup).unwrap();
            (full.stream_bytes, full.duration_secs) = (Some(100 << 20), took);
        }
    };
    let (seconds, words) = outage(&world, took(Some(10)));
    assert_eq!(seconds, Some((17, 47)));
    insta::assert_snapshot!(words, @"about 17s to 47s, from step 3 to step 5: the servers stop (at most 30s), 100MiB are copied (10s at the speed of the backup), one starts (7s, as the quickest of those that run)");
    let (seconds, words) = outage(&world, took(None));
    assert_eq!(seconds, None);
    insta::assert_snapshot!(words, @"from step 3 to step 5: the servers stop (at most 30s), 100MiB are copied, one starts (7s, as the quickest of those that run)");
}
