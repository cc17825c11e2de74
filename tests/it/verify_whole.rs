//! Whole checks over the simulated world.

use mariadb_backup::model::order::VerifyRequest;
use mariadb_backup::verify;

use crate::world::World;

#[test]
fn that_no_backup_was_looked_at_is_no_good_news() {
    let world = World::default();
    let (settings, cluster) = (world.settings(), world.cluster());
    let catalogue = world.lock().catalogue.clone();
    let inputs = verify::Inputs { catalogue: &catalogue, settings: &settings, cluster: &cluster, job: "job" };
    let plan = verify::plan(&inputs, &VerifyRequest::default()).unwrap();
    world.conduct(async |ports| verify::run(&plan, ports).await).unwrap().unwrap();
    let warned = world.lock().warnings.join("\n");
    assert!(warned.contains("so none is verified"), "{warned}");
}
