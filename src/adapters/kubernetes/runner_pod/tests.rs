use super::*;
use crate::adapters::kubernetes::pod_security::violations;
use crate::model::order::{DataPlace, GoAheadPlace, InventoryOrder, ORDER_VERSION, ProveOrder, RefillAct, RefillOrder};
use crate::model::order::{RunnerOrder, Stores};
use crate::ports::conductor::{Beside, DataVolume, S3Mounts, ScratchVolume};

fn spec(name: &str, task: RunnerTask) -> RunnerSpec {
    RunnerSpec {
        name: name.to_owned(),
        order: RunnerOrder { version: ORDER_VERSION, task },
        beside: None,
        data: None,
        store_claim: Some("store".to_owned()),
        s3: Some(S3Mounts { secret: Some("keys".to_owned()), ca_config_map: Some("ca".to_owned()) }),
        scratch: None,
        fresh_store: false,
        near: None,
        operator_secret: Some("operator".to_owned()),
        backup_secret: Some("backup".to_owned()),
    }
}

fn prove() -> RunnerTask {
    RunnerTask::Prove(ProveOrder {
        stores: Stores::default(),
        chain: Vec::new(),
        from: Vec::new(),
        expected: std::collections::BTreeMap::new(),
        scratch: "/var/scratch".to_owned(),
        operator_credentials: Some(names::CONDUCTOR_CREDENTIALS.to_owned()),
        backup_credentials: Some(names::BACKUP_CREDENTIALS.to_owned()),
        server_accounts: Vec::new(),
        server_logins_may_fail: false,
        count_rows: false,
        original_key: None,
        query: None,
        prepare_memory_bytes: None,
        boot_timeout_secs: 1,
        prepare_timeout_secs: 1,
        reserve_bytes: 0,
        discard: true,
    })
}

fn refill(go_ahead: Option<GoAheadPlace>) -> RunnerTask {
    RunnerTask::Refill(RefillOrder {
        volume: names::DATA_VOLUME_PATH.to_owned(),
        place: DataPlace::default(),
        run: "run".to_owned(),
        act: RefillAct::Look,
        parallel: 1,
        go_ahead,
    })
}

/// One runner of each shape: what is mounted and how is all that differs.
fn every_shape() -> Vec<RunnerSpec> {
    let stores = || RunnerTask::Inventory(InventoryOrder { stores: Stores::default(), only: None });
    let claim = || "mysql-data-mariadb-server-2".to_owned();
    let beside = Some(Beside { pod: "mariadb-server-2".to_owned(), claim: claim() });
    let on_data = |beside: Option<&str>| Some(DataVolume { claim: claim(), beside: beside.map(str::to_owned) });
    let place = GoAheadPlace { address: "192.0.2.1:1".to_owned(), name: "waiting".to_owned() };
    vec![
        RunnerSpec { beside, ..spec("copy", prove()) },
        spec("stores", stores()),
        RunnerSpec { scratch: Some(ScratchVolume { bytes: 1, class: None }), ..spec("drill", prove()) },
        RunnerSpec { data: on_data(Some("mariadb-server-2")), ..spec("prove", prove()) },
        RunnerSpec { data: on_data(None), ..spec("refill", refill(None)) },
        RunnerSpec { data: on_data(None), store_claim: None, s3: None, ..spec("waiting", refill(Some(place))) },
    ]
}

fn owner() -> Owner {
    Owner {
        namespace: "db".to_owned(),
        statefulset: "mariadb-server".to_owned(),
        pod: "conductor".to_owned(),
        pod_uid: "uid".to_owned(),
        agent_image: "agent".to_owned(),
        image_pull_secrets: Vec::new(),
        grace_secs: 1,
    }
}

#[test]
fn runners_of_every_shape_pass_pod_security_restricted() {
    let server =
        ServerSpec { image: "mariadb".to_owned(), mount_path: "/var/lib/mysql".to_owned(), ..ServerSpec::default() };
    for spec in every_shape() {
        let pod = manifest(&spec, &owner(), &server).spec.unwrap();
        assert_eq!(violations(&pod), [""; 0], "runner {}", spec.name);
        assert_eq!(pod.automount_service_account_token, Some(false), "runner {} has a token", spec.name);
    }
}

#[test]
fn the_key_of_the_original_is_mounted_where_the_order_says_and_need_not_be_there() {
    let RunnerTask::Prove(order) = prove() else { unreachable!("it is") };
    let key = OriginalKey { secret: "kek".to_owned(), directory: "/etc/kek".to_owned() };
    let with_key = spec("key", RunnerTask::Prove(ProveOrder { original_key: Some(key), ..order }));
    let mount = json!({"name": "original-key", "mountPath": "/etc/kek", "readOnly": true});
    let volume = json!({"name": "original-key", "secret": {"secretName": "kek", "optional": true}});
    assert!(mounts(&with_key, &ServerSpec::default()).contains(&mount));
    assert!(volumes(&with_key).contains(&volume));
    let without = spec("none", prove());
    assert!(!mounts(&without, &ServerSpec::default()).contains(&mount) && !volumes(&without).contains(&volume));
}
