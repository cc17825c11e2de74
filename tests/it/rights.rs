//! The published Roles: each command works with its own, uses all of it, and names what is missing.
//!
//! The API server here judges every request as Kubernetes' RBAC does, by the Role in `docs/roles`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::loopback_api::plugin;
use crate::rights_world::{Guarded, World, everywhere, rights_in, rights_of};

/// A command line for each of the ways a command takes, and the Role it has.
const COMMANDS: [(&str, &[&[&str]]); 17] = [
    ("create", &[&["create"], &["create", "one"], &["create", "--from-schedule", "nightly"]]),
    ("list", &[&["list"], &["list", "one"]]),
    ("list-live", &[&["list", "--live"], &["list", "one", "--live"]]),
    ("verify", &[&["verify"], &["verify", "--statefulset", "one"]]),
    ("drill", &[&["drill"], &["drill", "--statefulset", "one"]]),
    ("restore", &[&["restore", BACKUP, "--dry-run"]]),
    ("sync", &[&["sync"], &["sync", "--statefulset", "one"]]),
    ("delete", &[&["delete", BACKUP, "--yes"], &["delete", BACKUP, "--yes", "--statefulset", "one"]]),
    ("prune", &[&["prune", "--yes"], &["prune", "--yes", "--statefulset", "one"]]),
    (
        "schedule",
        &[
            &["schedule", "create", "weekly", "--schedule", "@weekly"],
            &["schedule", "create", "weekly", "--schedule", "@weekly", "--statefulset", "one"],
            &["schedule", "list"],
            &["schedule", "suspend", "nightly"],
            &["schedule", "delete", "nightly"],
        ],
    ),
    ("recover", &[&["recover"], &["recover", "--statefulset", "one"]]),
    ("status", &[&["status"], &["status", "one"]]),
    ("describe", &[&["describe", BACKUP], &["describe", BACKUP, "--statefulset", "one"]]),
    ("setup", &[&["setup"], &["setup", "one", "--store-claim", "new"]]),
    ("logs", &[&["logs"]]),
    ("report", &[&["report", "--file", "-"], &["report", "one", "--file", "-"]]),
    ("version", &[&["version"], &["version", "one"]]),
];

const BACKUP: &str = "2000-01-01_00-00-00";

/// Rights that are not missed in the usual world: where they are, and what for.
const EDGES: [(&str, World, &str); 6] = [
    ("list configmaps", World::TwoClusters, "the one that was set up is meant"),
    ("get statefulsets.apps", World::NotSetUp, "the cluster that is named is there"),
    ("get persistentvolumeclaims", World::NoClaim, "a claim that is missing is said before a run is ordered"),
    ("get serviceaccounts", World::NoAccounts, "an account that is missing is said before a run is ordered"),
    ("list events", World::NoPods, "why a run does not start"),
    ("list cronjobs.batch", World::Usual, "a schedule that keeps what it was made with is named"),
];

/// What setup may grant although it does not do it itself; Kubernetes would refuse it to grant what it lacks.
const ONLY_GRANTED: [&str; 31] = [
    "patch statefulsets.apps",
    "get jobs.batch",
    "list jobs.batch",
    "create jobs.batch",
    "get pods",
    "list pods",
    "watch pods",
    "create pods",
    "delete pods",
    "get pods/log",
    "list events",
    "create events",
    "list persistentvolumeclaims",
    "watch persistentvolumeclaims",
    "get cronjobs.batch",
    "create cronjobs.batch",
    "patch cronjobs.batch",
    "delete cronjobs.batch",
    "get leases.coordination.k8s.io",
    "create leases.coordination.k8s.io",
    "update leases.coordination.k8s.io",
    "list horizontalpodautoscalers.autoscaling",
    "list endpointslices.discovery.k8s.io",
    "watch endpointslices.discovery.k8s.io",
    "list configmaps",
    "watch configmaps",
    "watch statefulsets.apps",
    "watch jobs.batch",
    "watch cronjobs.batch",
    "list leases.coordination.k8s.io",
    "watch leases.coordination.k8s.io",
];

/// Whether a command uses this right of its Role by itself: not only to watch, and not only to grant it.
fn is_used_at_once(role: &str, right: &str) -> bool {
    !watched_by(role).contains(right) && (role != "setup" || !ONLY_GRANTED.contains(&right))
}

/// How a run of that command ends.
fn outcome(role: &str) -> Value {
    let done = match role {
        "status" => json!({"status": {"replicas": [], "findings": []}}),
        "list-live" | "describe" => json!({"inventory": {"localCount": 0, "s3Count": 0}}),
        _ => json!({"recover": {"run": null, "what": null}}),
    };
    json!({"schema": 1, "done": done})
}

/// Does something for every item, some of them at once: most of the time is waiting.
fn at_once<I: Send + Sync, T: Send>(items: &[I], act: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some((at, item)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, items.get(at)?)))
                {
                    let result = act(item);
                    done.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn every_command_works_with_its_own_role_and_uses_all_of_it() {
    let wrong = at_once(&COMMANDS, |(role, lines)| {
        let mut rights = rights_of(role);
        let server = Guarded::start(rights.clone(), outcome(role));
        let mut wrong = Vec::new();
        for line in *lines {
            let (_, shown) = server.run(line);
            // Without a cluster admin's rights setup cannot make the ClusterRole, which is optional, and says so.
            let told = shown.lines().filter(|line| line.contains("may not") && !line.contains("cluster"));
            wrong.extend(told.map(|told| format!("{}: {told}", line.join(" "))));
            if shown.contains("error: ") {
                wrong.push(format!("{}: {shown}", line.join(" ")));
            }
        }
        rights.retain(|right| is_used_at_once(role, right));
        let used = server.used.lock().unwrap();
        wrong.extend(rights.difference(&used).map(|right| format!("{role}: nothing uses {right}")));
        wrong
    });
    assert_eq!(wrong.concat(), [""; 0]);
}

/// A line of a command, and how it ends with the whole Role.
type Line = (&'static [&'static str], String);

/// A right that is taken out of a Role.
struct Case<'a> {
    role: &'static str,
    lines: &'a [Line],
    missing: String,
}

impl Case<'_> {
    fn less(&self) -> BTreeSet<String> {
        rights_of(self.role).into_iter().filter(|right| *right != self.missing).collect()
    }

    fn is_named_in(&self, shown: &str) -> bool {
        shown.contains(&format!("may not {} in namespace db", self.missing))
    }

    /// What comes of it: how each line ends, where that is not as with the whole Role, or what names the right.
    fn told(&self) -> BTreeSet<String> {
        let Self { role, missing, .. } = self;
        let server = Guarded::start(self.less(), outcome(role));
        let way = format!(
            "grants it by Role mariadb-backup-{role} (docs/roles/{role}.yaml)\n    \
             to make the Role, where it is not there: kubectl mariadb-backup setup --roles"
        );
        let mut told = BTreeSet::new();
        for (line, code) in self.lines {
            let (less_code, shown) = server.run(line);
            if less_code != *code {
                let is_clear = self.is_named_in(&shown) && shown.contains(&way);
                assert!(is_clear, "{} without {missing}: {shown}", line.join(" "));
                told.insert(format!("{less_code}, named"));
            } else if self.is_named_in(&shown) {
                told.insert("goes on, named".to_owned());
            }
        }
        told
    }

    /// Where and for what the right is needed that is not missed in the usual world.
    fn edge(&self) -> Option<(usize, String)> {
        let at = EDGES.iter().position(|(right, ..)| *right == self.missing)?;
        let (_, world, why) = EDGES[at];
        let full = Guarded::start_in(world, rights_of(self.role), outcome(self.role));
        let less = Guarded::start_in(world, self.less(), outcome(self.role));
        // The last line names the cluster.
        let line = if world == World::NotSetUp { self.lines.last() } else { self.lines.first() };
        // A run that was ordered before is waited for longer than anybody waits for a test.
        let limit: &[&str] = if self.role == "logs" { &["--timeout", "14s"] } else { &[] };
        let line = [line?.0, limit].concat();
        let ((code, shown), (less_code, less_shown)) = (full.run(&line), less.run(&line));
        let named = if self.is_named_in(&less_shown) { ", named" } else { "" };
        let needed = format!("needed in {world:?}: {why} ({code}; without it {less_code}{named})");
        (shown != less_shown).then_some((at, needed))
    }
}

#[test]
fn whatever_right_is_missing_is_named_or_needed_on_a_bad_day_only() {
    let whole: Vec<(&str, Vec<Line>)> = at_once(&COMMANDS, |(role, lines)| {
        let server = Guarded::start(rights_of(role), outcome(role));
        (*role, lines.iter().map(|line| (*line, server.run(line).0)).collect())
    });
    let cases = whole.iter().flat_map(|(role, lines)| {
        let rights = rights_of(role).into_iter();
        let done = rights.filter(|right| is_used_at_once(role, right));
        done.map(move |missing| Case { role, lines, missing })
    });
    let cases: Vec<Case> = cases.collect();
    let seen = at_once(&cases, |case| match case.told() {
        told if told.is_empty() => case.edge(),
        told => Some((EDGES.len(), told.into_iter().collect::<Vec<_>>().join("; "))),
    });
    let name = |case: &Case| format!("{} without {}", case.role, case.missing);
    let useless: Vec<String> =
        cases.iter().zip(&seen).filter(|(_, seen)| seen.is_none()).map(|(case, _)| name(case)).collect();
    assert_eq!(useless, [""; 0], "nothing needs these rights");
    for (at, (right, world, _)) in EDGES.iter().enumerate() {
        assert!(seen.iter().flatten().any(|(edge, _)| *edge == at), "{right} is not needed in {world:?} only");
    }
    let lines = cases.iter().zip(seen.iter().flatten()).map(|(case, (_, told))| format!("{}: {told}", name(case)));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

/// The Roles that setup makes, by name.
fn made_by_setup() -> BTreeMap<String, BTreeSet<String>> {
    let printed = plugin(&["setup", "one", "-n", "db", "--dry-run=client", "-o", "yaml"], "/nowhere");
    let documents = printed.split("--- stdout\n").nth(1).unwrap().split("--- stderr").next().unwrap().split("---\n");
    let documents = documents.map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    let roles = documents.filter(|object| object["kind"] == "Role");
    roles.map(|role| (role["metadata"]["name"].as_str().unwrap().to_owned(), rights_in(&role))).collect()
}

#[test]
fn what_setup_may_do_only_to_grant_it_is_what_it_grants_and_no_more() {
    let granted: BTreeSet<String> = made_by_setup().into_values().flatten().collect();
    let not_granted: Vec<&str> = ONLY_GRANTED.into_iter().filter(|right| !granted.contains(*right)).collect();
    assert_eq!(not_granted, [""; 0]);
    let own = rights_of("setup");
    let lacks: Vec<&String> = granted.difference(&own).collect();
    assert_eq!(lacks, [""; 0], "Kubernetes lets nobody grant what they lack");
}

/// A right that is needed to watch, with the command that has it in its Role and a line that needs it.
const WATCHED: [(&str, &str, &[&str]); 8] = [
    ("list", "watch configmaps", &["list", "one", "-w"]),
    ("list", "watch statefulsets.apps", &["list", "-l", "app=one", "-w"]),
    ("status", "watch statefulsets.apps", &["status", "one", "-w"]),
    ("status", "watch jobs.batch", &["status", "one", "-w"]),
    ("status", "watch cronjobs.batch", &["status", "one", "-w"]),
    ("status", "list leases.coordination.k8s.io", &["status", "one", "-w"]),
    ("status", "watch leases.coordination.k8s.io", &["status", "one", "-w"]),
    ("schedule", "watch cronjobs.batch", &["schedule", "list", "-w"]),
];

/// What the Role of that command has for watching alone.
fn watched_by(role: &str) -> BTreeSet<String> {
    WATCHED.iter().filter(|(of, ..)| *of == role).map(|(_, right, _)| (*right).to_owned()).collect()
}

#[test]
fn what_is_needed_to_watch_is_used_by_it_and_named_where_it_is_missing() {
    at_once(&WATCHED, |(role, missing, line)| {
        let whole = Guarded::start(rights_of(role), outcome(role));
        assert!(whole.watches(line, missing), "{} does not use {missing}", line.join(" "));
        let less = rights_of(role).into_iter().filter(|right| right != missing).collect();
        let (code, shown) = Guarded::start(less, outcome(role)).run(line);
        let way = format!("grants it by Role mariadb-backup-{role} (docs/roles/{role}.yaml)\n");
        let is_named = shown.contains(&format!("may not {missing} in namespace db")) && shown.contains(&way);
        assert!(is_named && code == "exit 1", "{} without {missing}: {shown}", line.join(" "));
    });
}

#[test]
fn the_role_for_all_commands_has_the_rights_of_each_and_no_more() {
    let all = made_by_setup().remove("mariadb-backup-user").unwrap();
    let of_commands = COMMANDS.iter().filter(|(role, _)| *role != "setup").flat_map(|(role, _)| rights_of(role));
    assert_eq!(all, of_commands.collect::<BTreeSet<String>>());
}

/// A line of each command that looks at all namespaces, and what it says once it may.
const EVERYWHERE: [(&[&str], &str); 4] = [
    (&["list", "-A"], "attic"),
    (&["status", "-A"], "attic"),
    (&["schedule", "list", "-A", "-l", "app=one"], "No schedules found"),
    (&["schedule", "list", "-A"], "No schedules found."),
];

/// The right that a hint grants by its ClusterRole, as `verb resource.group`.
fn granted_by_cluster_role(shown: &str) -> BTreeSet<String> {
    let line =
        shown.lines().find(|line| line.contains("kubectl create clusterrole ")).unwrap_or_else(|| panic!("{shown}"));
    let of = |flag: &str| line.split(flag).nth(1).unwrap().split(' ').next().unwrap().split(',').collect::<Vec<_>>();
    let (verbs, resources) = (of("--verb="), of("--resource="));
    verbs.iter().flat_map(|verb| resources.iter().map(move |resource| format!("{verb} {resource}"))).collect()
}

#[test]
fn who_may_not_look_at_all_namespaces_can_be_given_all_it_takes_by_the_commands_of_the_hint() {
    at_once(&EVERYWHERE, |(line, seen)| {
        let refused = everywhere(BTreeSet::new()).run(line).1;
        let granted = granted_by_cluster_role(&refused);
        let role = format!("--clusterrole=mariadb-backup-{} --user=alice", line[0]);
        assert!(refused.contains(&role), "{refused}");
        let shown = everywhere(granted).run(line).1;
        assert!(shown.contains(seen) && !shown.contains("may not"), "{}: {shown}", line.join(" "));
    });
}
