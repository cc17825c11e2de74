//! What a restore's plan chooses and refuses, and what a person reads of it.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::cluster::ClaimView;
use mariadb_backup::model::obligation::ScratchPlace;
use mariadb_backup::model::order::{Refill, RestoreRequest, RunnerTask};
use mariadb_backup::model::outcome::Explain;
use mariadb_backup::model::report::VolumeReport;
use mariadb_backup::model::workload::{Flavour, Keeper};
use mariadb_backup::restore::{self, Observed, RestoreError, RestorePlan};

use crate::restore_world::{RestoreWorld, request};

/// Plans over a healthy cluster, with something about it changed.
fn planned(
    world: &RestoreWorld,
    request: &RestoreRequest,
    change: impl FnOnce(&mut Observed<'_>),
) -> Result<RestorePlan, RestoreError> {
    with(world, change, |observed| restore::plan(observed, request))
}

/// Does something with what is seen of a healthy cluster, with something about it changed.
pub(crate) fn with<T>(
    world: &RestoreWorld,
    change: impl FnOnce(&mut Observed<'_>),
    act: impl FnOnce(&mut Observed<'_>) -> T,
) -> T {
    let (settings, cluster) = (world.settings(), world.cluster());
    let mut observed = world.observed(&settings, &cluster, "job");
    change(&mut observed);
    act(&mut observed)
}

fn on(claim: &mut ClaimView, node: &str) {
    claim.nodes = Some(vec![node.to_owned()]);
}

/// Every volume bound to the node of its pod, and that of backups to one of them.
fn local_volumes(observed: &mut Observed<'_>, store_node: &str) {
    for (n, (_, claim)) in observed.workload.replicas.iter_mut().enumerate() {
        on(claim.as_mut().unwrap(), &format!("n{n}"));
    }
    on(observed.store.as_mut().unwrap(), store_node);
}

#[test]
fn the_lowest_ordinal_leads_where_it_can_and_else_the_one_at_the_volume_of_backups() {
    let world = RestoreWorld::new(3);
    let leader = |store_node: &str| {
        let plan = planned(&world, &request(), |observed| local_volumes(observed, store_node)).unwrap();
        (plan.leader.replica.ordinal, plan.debt.scratch)
    };
    assert_eq!(leader("n0"), (0, ScratchPlace::Beside));
    assert_eq!(leader("n2"), (2, ScratchPlace::Beside));
    assert_eq!(leader("n1"), (1, ScratchPlace::Beside));
}

#[test]
fn a_backup_from_s3_lets_the_lowest_ordinal_lead_wherever_the_volume_of_backups_is() {
    let world = RestoreWorld::new(3);
    let from_s3 = RestoreRequest { store: Some(mariadb_backup::model::order::StoreName::S3), ..request() };
    let plan = planned(&world, &from_s3, |observed| local_volumes(observed, "n2")).unwrap();
    assert_eq!(plan.leader.replica.ordinal, 0);
    assert_eq!(plan.proofs[0].store_claim, None);
}

#[test]
fn no_replica_leads_that_cannot_be_started_first_or_alone() {
    let world = RestoreWorld::new(3);
    let refused = |request: &RestoreRequest, change: fn(&mut Observed<'_>)| {
        let error = planned(&world, request, |observed| {
            local_volumes(observed, "n2");
            change(observed);
        });
        let error = error.unwrap_err();
        assert_eq!(error.code(), ExitCode::Refused, "{error}");
        error.to_string()
    };
    let old = refused(&request(), |observed| observed.workload.starts_at_any_ordinal = false);
    assert!(old.contains("not db-2: this Kubernetes can start only the lowest ordinal alone"), "{old}");
    let bitnami = refused(&request(), |observed| observed.workload.flavour = Flavour::Bitnami);
    assert!(bitnami.contains("its start script lets only ordinal 0 start the cluster"), "{bitnami}");
    let wanted = refused(&RestoreRequest { leader: Some(1), ..request() }, |_| {});
    assert!(
        wanted.contains("not db-1: its volume and the volume of backups can be mounted on no common node"),
        "{wanted}"
    );
    let none = refused(&RestoreRequest { leader: Some(7), ..request() }, |_| {});
    assert!(none.contains("there is no replica with ordinal 7"), "{none}");
    let pending = refused(&request(), |observed| {
        observed.workload.replicas[2].1.as_mut().unwrap().phase = "Pending".to_owned();
    });
    assert!(pending.contains("claim data-db-2 is Pending, so db-2 could not join"), "{pending}");
}

#[test]
fn everything_that_stands_in_the_way_is_said_at_once_and_before_anything_is_touched() {
    let world = RestoreWorld::new(3).with(|state| drop(state.settings.remove("MARIADB_BACKUP_BOOTSTRAP")));
    let error = planned(&world, &request(), |observed| {
        observed.workload.deletes_claims = true;
        observed.workload.autoscalers = vec!["grow".to_owned()];
        observed.workload.controller =
            Some(Keeper { name: "the operator of MariaDB m".to_owned(), pause: "suspend it".to_owned() });
        let claim = observed.workload.replicas[1].1.as_mut().unwrap();
        claim.access_modes = vec!["ReadWriteOncePod".to_owned()];
    });
    let error = error.unwrap_err();
    assert_eq!(error.code(), ExitCode::Refused);
    for wanted in [
        "whenScaled: Delete",
        "HorizontalPodAutoscaler grow",
        "MariaDB m",
        "--operator-suspended",
        "--bootstrap",
        "ReadWriteOncePod",
    ] {
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
}

#[test]
fn a_statefulset_that_a_gitops_tool_keeps_is_not_stopped_before_somebody_paused_that() {
    let world = RestoreWorld::new(3);
    let keep = |observed: &mut Observed<'_>| {
        let (name, pause) = ("Flux HelmRelease db/m".to_owned(), "flux suspend helmrelease m -n db".to_owned());
        observed.workload.keepers = vec![Keeper { name, pause }];
    };
    let error = planned(&world, &request(), keep).unwrap_err();
    assert_eq!(error.code(), ExitCode::Refused);
    for wanted in ["Flux HelmRelease db/m", "flux suspend helmrelease m -n db", "--gitops-paused"] {
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
    planned(&world, &RestoreRequest { gitops_paused: true, ..request() }, keep).unwrap();
}

#[test]
fn a_statefulset_of_an_operator_is_restored_once_somebody_says_that_it_is_suspended() {
    let world = RestoreWorld::new(3);
    let own = |observed: &mut Observed<'_>| {
        let (name, pause) = ("the operator of MariaDB m".to_owned(), "kubectl patch mariadb m".to_owned());
        observed.workload.controller = Some(Keeper { name, pause });
    };
    let error = planned(&world, &request(), own).unwrap_err();
    assert_eq!(error.code(), ExitCode::Refused);
    for wanted in ["the operator of MariaDB m", "kubectl patch mariadb m", "--operator-suspended"] {
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
    let suspended = RestoreRequest { operator_suspended: true, ..request() };
    let (settings, cluster) = (world.settings(), world.cluster());
    let mut observed = world.observed(&settings, &cluster, "job");
    own(&mut observed);
    let plan = restore::plan(&observed, &suspended).unwrap();
    let told = restore::preview(&plan, &observed).remarks.join("\n");
    let resume = "the operator of MariaDB m is said to be paused; resume it when the restore is done";
    assert!(told.contains(resume), "{told}");
    // In the way in which that operator's own servers start, nobody could be brought up, nor back.
    let error = planned(&world, &suspended, |observed| {
        own(observed);
        observed.workload.flavour = Flavour::MariadbOperator;
    });
    let error = error.unwrap_err();
    assert!(error.to_string().contains("--flavour plain --bootstrap grastate"), "{error}");
}

#[test]
fn a_data_directory_at_the_root_of_its_volume_is_restored_by_copy_from_the_volume_of_backups() {
    let world = RestoreWorld::new(3).with(|state| state.has_siblings = false);
    let plan = planned(&world, &request(), |_| {}).unwrap();
    assert_eq!(plan.debt.scratch, ScratchPlace::Store(".restore_job".to_owned()));
    assert_eq!(plan.proofs[0].data, None, "the live data directory is not even mounted");
}

#[test]
fn a_claim_that_is_not_bound_stands_in_the_way_whoever_leads() {
    let world = RestoreWorld::new(3);
    let error = planned(&world, &request(), |observed| {
        observed.workload.replicas[1].1.as_mut().unwrap().phase = "Lost".to_owned();
    });
    let error = error.unwrap_err();
    assert_eq!(error.code(), ExitCode::Refused);
    assert!(error.to_string().contains("claim data-db-1 is Lost, so db-1 could not join"), "{error}");
}

#[test]
fn a_volume_that_is_smaller_than_the_full_backup_and_a_claim_that_waits_for_its_pod_are_told_beforehand() {
    let world = RestoreWorld::new(3).with(|state| state.has_siblings = true);
    let (settings, cluster) = (world.settings(), world.cluster());
    let mut observed = world.observed(&settings, &cluster, "job");
    observed.workload.replicas[2].1.as_mut().unwrap().capacity_bytes = Some(1);
    let waiting = observed.workload.replicas[1].1.as_mut().unwrap();
    (waiting.phase, waiting.waits_for_consumer) = ("Pending".to_owned(), true);
    let told = |observed: &Observed<'_>| {
        let plan = restore::plan(observed, &request()).unwrap();
        restore::preview(&plan, observed).remarks.join("\n")
    };
    let small = "the volume of db-2 (claim data-db-2) takes 1B, and the full backup alone";
    assert!(told(&observed).contains(small), "{}", told(&observed));
    // What was seen of it counts more than what its claim asks for.
    let roomy = VolumeReport { free_bytes: 1 << 40, total_bytes: 2 << 40, ..VolumeReport::default() };
    observed.looks.insert("db-2".to_owned(), Some(roomy));
    let told = told(&observed);
    assert!(!told.contains(small), "{told}");
    assert!(told.contains("claim data-db-1 is Pending until its first pod; db-1 joins once it is bound"), "{told}");
}

#[test]
fn a_replica_whose_volume_was_seen_to_be_smaller_than_the_full_backup_is_refused_for_it_could_never_join() {
    let world = RestoreWorld::new(3);
    let small = VolumeReport { has_data: true, total_bytes: 1 << 19, ..VolumeReport::default() };
    let seen = |observed: &mut Observed<'_>| drop(observed.looks.insert("db-2".to_owned(), Some(small)));
    let refused = settled(&world, &request(), seen).unwrap_err();
    assert_eq!(refused.code(), ExitCode::Refused);
    let why = "the volume of db-2 has 512KiB in all, and the full backup alone is 1MiB, so db-2 could not have it; make claim data-db-2 larger";
    assert!(refused.to_string().contains(why), "{refused}");
}

#[test]
fn where_nodes_may_not_be_looked_at_the_plan_says_what_is_not_seen() {
    let world = RestoreWorld::new(3);
    let plan = planned(&world, &request(), |observed| observed.workload.sees_nodes = false).unwrap();
    let remarks = |observed: &mut Observed<'_>| restore::preview(&plan, observed).remarks.join("\n");
    let told = with(&world, |_| {}, remarks);
    assert!(told.contains("nodes and VolumeAttachments may not be looked at here"), "{told}");
}

#[test]
fn that_the_cluster_has_another_history_since_a_restore_is_said_in_the_next_plan() {
    let world = RestoreWorld::new(3);
    let told = || world.preview(&request()).unwrap().remarks.join("\n");
    assert!(!told().contains("history"), "{}", told());
    world.restore("job").unwrap().unwrap();
    let wanted = format!("its history is that of the restore of {} at 2026-", request().backup);
    assert!(told().contains(&wanted), "{}", told());
}

#[test]
fn of_a_backup_of_the_original_it_is_said_what_is_not_known() {
    let world = RestoreWorld::new(3).with(|state| {
        let entry = state.catalogue.known(&request().backup).unwrap();
        (entry.stream_bytes, entry.position) = (None, None);
    });
    let preview = world.preview(&request()).unwrap();
    assert_eq!((preview.scratch_bytes, preview.backup_position), (None, None));
    let remarks = preview.remarks.join("\n");
    assert!(remarks.contains("how large the backup is when it is unpacked is not recorded"), "{remarks}");
}

#[test]
fn without_room_for_old_data_a_way_back_is_promised_only_from_replicas_that_say_that_they_have_them() {
    let world = RestoreWorld::new(3).with(|state| state.has_siblings = false);
    let silent = |observed: &mut Observed<'_>| {
        observed.members.iter_mut().skip(1).for_each(|(_, member)| *member = Err("no answer".to_owned()));
    };
    let error = planned(&world, &request(), silent).unwrap_err();
    assert_eq!(error.code(), ExitCode::Refused);
    assert!(error.to_string().contains("no other replica answers that would still have them"), "{error}");
    assert!(error.hint().unwrap().contains("--no-rollback"));
    planned(&world, &RestoreRequest { no_rollback: true, ..request() }, silent).unwrap();
    planned(&world, &request(), |_| {}).unwrap();
}

/// Plans as a conductor does, with what the volumes look like.
fn settled(
    world: &RestoreWorld,
    request: &RestoreRequest,
    change: impl FnOnce(&mut Observed<'_>),
) -> Result<RestorePlan, RestoreError> {
    with(world, change, |observed| world.settled(observed, request))
}

#[test]
fn a_backup_is_unpacked_on_the_volume_of_backups_where_there_is_no_room_beside_the_data() {
    let on_store = ScratchPlace::Store(".restore_job".to_owned());
    let plan = |free_bytes| {
        let world = RestoreWorld::new(3).with(|state| state.free_bytes = free_bytes);
        settled(&world, &request(), |_| {}).unwrap()
    };
    let roomy = plan(10 << 30);
    assert_eq!((roomy.debt.scratch, roomy.debt.place.has_room_beside()), (ScratchPlace::Beside, true));
    let full = plan(1 << 20);
    assert_eq!((&full.debt.scratch, full.debt.place.has_room_beside()), (&on_store, false));
    assert_eq!(full.proofs[0].data, None, "it is unpacked away from the data");
}

#[test]
fn the_volume_of_every_replica_that_answers_is_looked_at_and_its_room_is_told() {
    let world = RestoreWorld::new(3).with(|state| state.free_bytes = 10 << 30);
    with(
        &world,
        |_| {},
        |observed| {
            let plan = world.settled(observed, &request()).unwrap();
            let volumes = restore::preview(&plan, observed).volumes;
            let free: Vec<_> = volumes.iter().map(|volume| volume.free_bytes).collect();
            assert_eq!(free, [Some(10 << 30); 3]);
        },
    );
}

#[test]
fn a_replica_that_can_keep_its_old_data_leads_before_one_that_cannot() {
    let world = RestoreWorld::new(3).with(|state| state.free_bytes = 1 << 20);
    let roomy = VolumeReport { has_data: true, free_bytes: 10 << 30, total_bytes: 20 << 30, ..VolumeReport::default() };
    let plan =
        settled(&world, &request(), |observed| drop(observed.looks.insert("db-1".to_owned(), Some(roomy)))).unwrap();
    assert_eq!((plan.leader.replica.ordinal, plan.debt.scratch), (1, ScratchPlace::Beside));
}

#[test]
fn what_was_shown_to_be_set_aside_is_not_given_up_when_the_room_is_gone_by_then() {
    let world = RestoreWorld::new(3).with(|state| state.free_bytes = 1 << 20);
    let shown = |sets_aside| RestoreRequest { sets_aside: Some(sets_aside), ..request() };
    let less = settled(&world, &shown(true), |_| {}).unwrap_err();
    assert_eq!(less.code(), ExitCode::Refused);
    assert!(less.to_string().contains("has less room than when the plan was shown"), "{less}");
    settled(&world, &shown(false), |_| {}).unwrap();
}

#[test]
fn a_volume_that_is_smaller_than_what_is_unpacked_on_it_is_refused() {
    let world = RestoreWorld::new(3).with(|state| state.has_siblings = false);
    let small = |observed: &mut Observed<'_>| observed.store.as_mut().unwrap().capacity_bytes = Some(10 << 20);
    let refused = settled(&world, &request(), small).unwrap_err();
    assert!(refused.to_string().contains("has 10MiB, and it takes 65MiB unpacked"), "{refused}");
}

#[test]
fn a_volume_without_room_for_both_is_written_only_with_another_way_back_and_never_when_the_old_data_are_to_be_kept() {
    let full = |replicas| RestoreWorld::new(replicas).with(|state| state.free_bytes = 1 << 20);
    let alone = settled(&full(1), &request(), |_| {}).unwrap_err();
    assert_eq!((alone.code(), alone.hint().unwrap().contains("--no-rollback")), (ExitCode::Refused, true));
    assert!(alone.to_string().contains("its volume has no room for them beside the restored ones"), "{alone}");
    let kept = RestoreRequest { keep_old_data: true, ..request() };
    let kept = settled(&full(3), &kept, |_| {}).unwrap_err();
    assert!(kept.to_string().contains("--keep-old-data asks for the old data"), "{kept}");
    let none = RestoreWorld::new(3).with(|state| (state.free_bytes, state.data_bytes) = (1 << 20, 1 << 20));
    let none = settled(&none, &request(), |_| {}).unwrap_err();
    assert_eq!(none.code(), ExitCode::Refused);
    assert!(none.to_string().contains("not db-1: 2026"), "each was looked at: {none}");
    let told = "takes 65MiB unpacked, and its volume would have 2MiB without its old data (with 256MiB kept free";
    assert!(none.to_string().contains(told), "{none}");
}

#[test]
fn without_a_place_to_unpack_a_claim_of_that_size_can_be_named_which_is_not_one_with_data() {
    for make in [
        || RestoreWorld::new(3).with(|state| state.has_siblings = false),
        || RestoreWorld::new(3).with(|state| state.free_bytes = 1 << 20),
    ] {
        let world =
            make().with(|state| drop(state.settings.insert("MARIADB_BACKUP_STORE".to_owned(), "s3".to_owned())));
        let refused = settled(&world, &request(), |_| {}).unwrap_err();
        assert_eq!(refused.code(), ExitCode::Refused);
        assert!(refused.to_string().contains("no volume of backups is used here"), "{refused}");
        let hint = refused.hint().unwrap();
        assert!(hint.contains("make a claim of 78MiB or more") && hint.contains("--scratch-claim NAME"), "{hint}");
        let named = RestoreRequest { scratch_claim: Some("spare".to_owned()), ..request() };
        let plan = settled(&world, &named, |observed| observed.store = Some(spare())).unwrap();
        assert!(matches!(plan.debt.scratch, ScratchPlace::Store(_)));
        assert_eq!(plan.debt.store_claim.as_deref(), Some("spare"));
        let proof = &plan.proofs[0];
        assert_eq!(proof.store_claim.as_deref(), Some("spare"));
        assert_eq!((proof.near.as_deref(), &proof.data), (Some("db-0"), &None), "it is mounted where the data are");
        let own = RestoreRequest { scratch_claim: Some("data-db-1".to_owned()), ..request() };
        let own = settled(&world, &own, |observed| observed.store = Some(spare())).unwrap_err();
        assert!(own.to_string().contains("claim data-db-1 holds data of the cluster"), "{own}");
    }
}

/// A claim somebody made to unpack on; its first pod binds it.
fn spare() -> ClaimView {
    ClaimView { phase: "Pending".to_owned(), ..crate::world::claim("spare") }
}

#[test]
fn the_accounts_of_the_servers_own_pods_are_tried_and_only_by_wish_may_one_be_refused() {
    let world = RestoreWorld::new(3);
    let may_fail = |request: &RestoreRequest| match &planned(&world, request, |_| {}).unwrap().proofs[0].order.task {
        RunnerTask::Prove(order) => order.server_logins_may_fail,
        other => panic!("{other:?} proves nothing"),
    };
    assert!(!may_fail(&request()));
    assert!(may_fail(&RestoreRequest { ignore_logins: true, ..request() }));
}

#[test]
fn all_replicas_get_what_was_proven_where_the_volume_of_backups_can_be_mounted_beside_each() {
    let world = RestoreWorld::new(3);
    let lent = |request: &RestoreRequest, change: fn(&mut Observed<'_>)| {
        planned(&world, request, |observed| {
            local_volumes(observed, "n2");
            change(observed);
        })
    };
    let shared = |observed: &mut Observed<'_>| {
        let store = observed.store.as_mut().unwrap();
        store.access_modes = vec!["ReadWriteMany".to_owned()];
        store.nodes = None;
    };
    let all = RestoreRequest { refill: Some(Refill::All), ..request() };
    let leader = RestoreRequest { refill: Some(Refill::Leader), ..request() };
    assert_eq!(lent(&request(), shared).unwrap().debt.lent.as_deref(), Some(".restore_job"));
    assert_eq!(lent(&leader, shared).unwrap().debt.lent, None);
    assert_eq!(lent(&request(), |_| {}).unwrap().debt.lent, None);
    let error = lent(&all, |_| {}).unwrap_err();
    assert_eq!(error.code(), ExitCode::Refused);
    assert!(error.to_string().contains("mounted on one node at a time"), "{error}");
    let single_node = |observed: &mut Observed<'_>| {
        observed.workload.replicas.iter_mut().for_each(|(_, claim)| on(claim.as_mut().unwrap(), "n2"));
    };
    assert!(lent(&all, single_node).unwrap().debt.lent.is_some());
    let without = lent(&all, |observed| observed.store = None).unwrap_err().to_string();
    assert!(without.contains("can be mounted") || without.contains("no volume of backups"), "{without}");
}

#[test]
fn only_for_a_cluster_that_is_scaled_to_0_it_is_said_how_many_replicas_shall_run() {
    let world = RestoreWorld::new(3);
    let two = RestoreRequest { replicas: Some(2), ..request() };
    let error = planned(&world, &two, |_| {}).unwrap_err();
    assert!(error.to_string().contains("runs 3 replicas; --replicas is for one that is scaled to 0"), "{error}");
    let stopped = |observed: &mut Observed<'_>| {
        observed.workload.scale.replicas = 0;
        observed.workload.replicas.truncate(2);
    };
    let plan = planned(&world, &two, stopped).unwrap();
    assert_eq!((plan.debt.saved.replicas, plan.debt.asked().replicas, plan.debt.others.len()), (2, 0, 1));
    let none = planned(&world, &request(), |observed| {
        observed.workload.scale.replicas = 0;
        observed.workload.replicas.clear();
    });
    assert!(none.unwrap_err().to_string().contains("has no claim left"));
    let gap = |request: &RestoreRequest| {
        planned(&world, request, |observed| {
            observed.workload.scale.replicas = 0;
            observed.workload.replicas[1].1 = None;
        })
    };
    let error = gap(&request()).unwrap_err().to_string();
    assert!(error.contains("claim data-db-1 is not there, so nobody knows how many replicas it had"), "{error}");
    let three = RestoreRequest { replicas: Some(3), ..request() };
    assert_eq!(gap(&three).unwrap().debt.saved.replicas, 3);
}

#[test]
fn a_restore_that_could_not_be_undone_has_to_be_allowed() {
    let world = RestoreWorld::new(1).with(|state| state.has_siblings = false);
    let error = planned(&world, &request(), |_| {}).unwrap_err();
    assert_eq!((error.code(), error.hint().unwrap().contains("--no-rollback")), (ExitCode::Refused, true));
    let allowed = RestoreRequest { no_rollback: true, ..request() };
    assert!(planned(&world, &allowed, |_| {}).is_ok());
}

#[test]
fn what_was_not_made_by_the_catalogue_is_not_found() {
    let world = RestoreWorld::new(3);
    let other = RestoreRequest { backup: "base/2026-02-01_00-00-00".parse().unwrap(), ..request() };
    assert_eq!(planned(&world, &other, |_| {}).unwrap_err().code(), ExitCode::NotFound);
}

#[test]
fn a_preview_says_what_is_lost_what_is_done_and_how_it_is_undone_and_changes_nothing() {
    let world = RestoreWorld::new(3);
    let preview = world.preview(&request()).unwrap();
    assert_eq!(preview.present_position.as_ref().map(|at| at.seqno), Some(500));
    assert_eq!(preview.backup_position.as_ref().map(|at| at.seqno), Some(100));
    assert_eq!((preview.leader.as_str(), preview.volumes.len()), ("db-0", 3));
    insta::assert_snapshot!(preview.steps.join("\n"), @r"
    read every byte of the backup from local and compare it, unpack and prepare it on the volume of db-0, beside its data
    boot a server on it without network, log in with today's Secrets, also with those of the servers' own pods, open every table
    stop all 3 replicas; wait until no pod holds any of their volumes
    put the restored data into place on the volume of db-0, by its name alone
    start db-0 alone, in a new history, and look at it
    empty the volumes of db-1, db-2, start them, and wait until each is Synced
    remove the scratch and the old data
    ");
    insta::assert_snapshot!(preview.way_back.unwrap(), @"when db-0 does not serve within 600 s, the old cluster is started again from the old data set aside, or the replica that is furthest");
    assert!(world.lock().journal.iter().all(|effect| effect.contains("look")), "{:#?}", world.lock().journal);
}
