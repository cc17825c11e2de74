//! What is looked at, where, and that a long catalogue fits.

use super::*;
use crate::model::catalogue::Checksum;
use crate::model::cluster::ClusterView;
use crate::model::outcome::Outcome;

#[test]
fn a_thousand_backups_are_checked_within_the_limits_of_arguments_and_last_words() {
    let mut catalogue = Catalogue::default();
    for second in 0..1000 {
        let time = jiff::Timestamp::from_second(1_700_000_000 + second).unwrap();
        let directory = BackupId::Full(crate::model::backup_id::BackupName::at(time)).directory();
        for file in ["backup.mbstream.zst", "manifest.json"] {
            let sum = Checksum { checksum: "a".repeat(64), algorithm: None, size: Some(1 << 40) };
            catalogue.files.insert(format!("{directory}/{file}"), sum);
        }
    }
    let settings = Settings::read("db", &BTreeMap::new(), &BTreeMap::new()).unwrap();
    let cluster = ClusterView {
        namespace: "demo".to_owned(),
        statefulset: "db".to_owned(),
        uid: "uid".to_owned(),
        replicas: 3,
        pods: Vec::new(),
        server: crate::model::cluster::ServerSpec::default(),
        flavour: crate::model::workload::Flavour::Plain,
        obligation: None,
        last_restore: None,
    };
    let inputs = Inputs { catalogue: &catalogue, settings: &settings, cluster: &cluster, job: "job" };
    let plan = plan(&inputs, &VerifyRequest::default()).unwrap();
    assert_eq!(plan.batches.iter().map(|batch| batch.backups.len()).sum::<usize>(), 1000);
    let mut whole = Examined::default();
    for batch in plan.batches {
        // Linux takes at most 128 KiB in one argument.
        assert!(serde_json::to_string(&batch.runner.order).unwrap().len() < 128 << 10);
        let good_count = u32::try_from(batch.backups.len()).unwrap();
        let good: Vec<_> = batch.backups.into_iter().map(|of| of.backup).collect();
        let unlisted = good[..20].to_vec();
        let report = CheckReport { good, good_count, unlisted, ..CheckReport::default() };
        assert!(serde_json::to_string(&Outcome::done(report.clone(), Vec::new())).unwrap().len() < 4096);
        whole.add(Vec::new(), report);
    }
    assert_eq!(whole.report.good_count, 1000);
    assert!(serde_json::to_string(&Outcome::done(whole.report, Vec::new())).unwrap().len() < 4096);
}
