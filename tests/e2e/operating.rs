//! Schedules, status, recovery by hand, and a look at the stores themselves.

use serde_json::Value;

use crate::ground::{Cluster, PATIENCE, must, scratch_file, until, until_within};
use crate::oracle::{Oracle, volume};
use crate::run::{Run, Signal, Who};

#[test]
fn a_schedule_makes_a_backup_by_itself_and_can_be_suspended_resumed_and_deleted() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["schedule", "create", "minutely", "--schedule", "* * * * *"]).ends_with(0);
    let made = until_within(2 * PATIENCE, "the schedule has made a backup", || oracle.new_backups().pop());
    assert!(cluster.listed().contains(&made));
    cluster.plugin(&["schedule", "suspend", "minutely"]).ends_with(0);
    let suspended = || {
        let crons = cluster.kubectl_json(&["get", "cronjobs"]);
        crons["items"][0]["spec"]["suspend"] == Value::Bool(true)
    };
    assert!(suspended());
    let listed = cluster.plugin(&["schedule", "list"]).ends_with(0).stdout;
    assert!(listed.contains("minutely"), "{listed}");
    cluster.plugin(&["schedule", "resume", "minutely"]).ends_with(0);
    assert!(!suspended());
    cluster.plugin(&["schedule", "delete", "minutely"]).ends_with(0);
    let left = cluster.kubectl_json(&["get", "cronjobs"]);
    assert_eq!(left["items"].as_array().unwrap().len(), 0, "the CronJob is left");
    nothing_runs(&cluster);
    oracle.all_is_well();
}

/// Waits for a run that the schedule began in its last moment.
fn nothing_runs(cluster: &Cluster) {
    until("no Job is active", || {
        let jobs = cluster.kubectl_json(&["get", "jobs"]);
        let jobs = jobs["items"].as_array()?.clone();
        jobs.iter().all(|job| job["status"]["active"].as_u64().unwrap_or(0) == 0).then_some(())
    });
}

#[test]
fn a_backup_by_hand_and_one_by_schedule_at_once_do_not_meet() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["schedule", "create", "meeting", "--schedule", "0 0 1 1 *"]).ends_with(0);
    cluster.copies_for_seconds();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    let from_schedule = cluster.plugin(&["create", "--from-schedule", "meeting"]);
    from_schedule.ends_with(11);
    run.end().ends_with(0);
    cluster.plugin(&["schedule", "delete", "meeting"]).ends_with(0);
    cluster.copies_fast();
    oracle.all_is_well();
}

/// The steps of a run that somebody was shown.
fn steps(shown: &str) -> Vec<&str> {
    let phases = ["isolate: ", "copy: ", "record: ", "store: "];
    let is_step = |line: &&str| phases.iter().any(|phase| line.starts_with(phase)) && !line.contains("iB/");
    shown.lines().filter(is_step).collect()
}

#[test]
fn a_run_that_is_joined_later_from_elsewhere_is_shown_from_its_start() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.copies_for_seconds();
    let run = Run::order(&cluster, &["create"]);
    run.copying();
    // Nothing is known here of who ordered it.
    let elsewhere = scratch_file("elsewhere", &cluster.kubectl(&["config", "view", "--raw", "--flatten"]));
    let joined = cluster.start_plugin(&["logs", &run.job, "--kubeconfig", elsewhere.to_str().unwrap()]);
    let (first, second) = (run.end().ends_with(0), joined.end().ends_with(0));
    let after = cluster.plugin(&["logs"]).ends_with(0);
    std::fs::remove_file(elsewhere).unwrap();
    let seen = steps(&first.stderr);
    assert!(seen.len() > 3, "{}", first.stderr);
    assert_eq!(steps(&second.stdout), seen);
    assert_eq!(steps(&after.stdout), seen);
    cluster.copies_fast();
    oracle.all_is_well();
}

#[test]
fn what_is_owed_is_shown_by_status_and_settled_by_recover() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    cluster.plugin(&["status"]).ends_with(0);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    let runner = run.copying();
    let job = run.job.clone();
    run.signal(Who::Conductor, &runner, Signal::Kill);
    run.signal(Who::Runner, &runner, Signal::Kill);
    run.end().ends_with(4);
    let owed = cluster.plugin(&["status"]).ends_with(6);
    let said = format!("{}{}", owed.stdout, owed.stderr);
    assert!(said.contains(&job) && said.contains(&cluster.target()), "{said}");
    cluster.copies_fast();
    cluster.plugin(&["recover"]).ends_with(0);
    assert_eq!(cluster.obligation(), None);
    cluster.healthy();
    // Nothing is owed, but the backup that was killed is missed until there is another.
    let missed = cluster.plugin(&["status"]).ends_with(6).stdout;
    assert!(missed.contains(&format!("logs {job}")), "{missed}");
    cluster.plugin(&["create"]).ends_with(0);
    cluster.plugin(&["status"]).ends_with(0);
    cluster.plugin(&["recover"]).ends_with(0);
    oracle.all_is_well();
}

#[test]
fn a_backup_that_goes_on_calls_nobody() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    // Else what a test before this one killed would be missed.
    cluster.created(&["create"]);
    cluster.copies_for_minutes();
    let run = Run::order(&cluster, &["create"]);
    let runner = run.copying();
    let target = cluster.target();
    until("the replica that is copied is desynced", || {
        (cluster.status(&target, "wsrep_desync_count") != "0").then_some(())
    });
    for line in [&["status"][..], &["status", "-A"]] {
        let shown = cluster.plugin(line).ends_with(0);
        assert!(shown.stdout.contains("desync"), "{line:?}: {}", shown.stdout);
        let said = format!("{}{}", shown.stdout, shown.stderr);
        let of_this = said.lines().filter(|line| line.contains(&cluster.namespace) && line.contains("needs a person"));
        assert_eq!(of_this.count(), 0, "{line:?}: {said}");
        assert!(!said.contains("A person should act"), "{line:?}: {said}");
    }
    run.signal(Who::Both, &runner, Signal::Kill);
    run.end().ends_with(4);
    cluster.plugin(&["status"]).ends_with(6);
    cluster.copies_fast();
    cluster.plugin(&["create"]).ends_with(0);
    cluster.plugin(&["status"]).ends_with(0);
    oracle.all_is_well();
}

#[test]
fn a_live_listing_shows_what_the_catalogue_does_not_know() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    let listed = cluster.plugin(&["list", "--live"]).ends_with(0).stdout;
    assert!(listed.contains(&name), "{listed}");
    let root = volume(&cluster).unwrap();
    std::fs::rename(root.join(format!("base/{name}")), root.join("elsewhere")).unwrap();
    let gone = cluster.plugin(&["list", "--live"]);
    std::fs::rename(root.join("elsewhere"), root.join(format!("base/{name}"))).unwrap();
    let line = gone.stdout.lines().find(|line| line.contains(&name)).unwrap_or_default().to_owned();
    assert!(line.contains("missing"), "{}{}", gone.stdout, gone.stderr);
    oracle.all_is_well();
}

#[test]
fn a_backup_is_described_from_its_manifest_and_a_report_holds_no_password() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let name = cluster.created(&["create"]);
    let described = cluster.plugin(&["describe", &name, "-o", "json"]).ends_with(0).stdout;
    let described: Value = serde_json::from_str(&described).unwrap();
    let manifest = volume(&cluster).unwrap().join(format!("base/{name}/manifest.json"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    for part in ["origin", "source", "files", "desync"] {
        assert_eq!(described["manifest"][part], manifest[part], "{part}");
    }
    let archive = std::env::temp_dir().join(format!("report-{name}.tar.gz"));
    cluster.plugin(&["report", "--file", archive.to_str().unwrap()]).ends_with(0);
    let packed = must("tar", &["-xzOf", archive.to_str().unwrap()]);
    std::fs::remove_file(&archive).unwrap();
    assert!(packed.contains(&name) && packed.contains("the replica is desynced; copying"), "{packed}");
    for secret in ["mariadb-root", "mariadb-backup", "mariadb-backup-operator", "mariadb-sst"] {
        let template = "go-template={{index .data \"password\" | base64decode}}";
        let password = cluster.kubectl(&["get", "secret", secret, "-o", template]);
        assert!(password.len() > 7 && !packed.contains(&password), "the password of {secret} is in the report");
    }
    oracle.all_is_well();
}
