//! Every command with exactly its published Role, on a real API server with real RBAC; and with less.

use crate::ground::{Cluster, run, scratch_file, until};
use crate::monitoring::Restricted;

/// A line of each command that has a Role, by that Role's name; how it ends. `BACKUP` stands for a full one,
/// `FILE` for a file that is not there.
const COMMANDS: [(&str, &[&str], i32); 17] = [
    ("create", &["create"], 0),
    ("list", &["list"], 0),
    ("list-live", &["list", "--live"], 0),
    ("verify", &["verify", "BACKUP"], 0),
    ("describe", &["describe", "BACKUP"], 0),
    ("drill", &["drill", "BACKUP"], 0),
    ("restore", &["restore", "BACKUP", "--yes"], 0),
    ("sync", &["sync"], 0),
    ("schedule", &["schedule", "create", "never", "--schedule", "@weekly", "--suspend"], 0),
    ("delete", &["delete", "BACKUP", "--yes"], 0),
    ("prune", &["prune", "--yes"], 0),
    ("recover", &["recover"], 0),
    ("status", &["status"], 0),
    ("logs", &["logs"], 0),
    ("report", &["report", "--file", "FILE"], 0),
    ("version", &["version"], 0),
    // Without the ClusterRole, which only an admin of the whole cluster can make.
    ("setup", &["setup"], 3),
];

/// What else is done with the Role for schedules.
const WITH_SCHEDULES: [&[&str]; 3] =
    [&["schedule", "list"], &["schedule", "suspend", "never"], &["schedule", "resume", "never"]];

/// What is watched with the Role of a command.
const WATCHED: [&str; 2] = ["list", "status"];

/// A person who has one of the published Roles and nothing else, until dropped.
struct Person<'a> {
    cluster: &'a Cluster,
    role: String,
}

impl<'a> Person<'a> {
    #[track_caller]
    fn with(cluster: &'a Cluster, command: &str) -> Self {
        let role = format!("mariadb-backup-{command}");
        let file = format!("{}/docs/roles/{command}.yaml", env!("CARGO_MANIFEST_DIR"));
        cluster.kubectl(&["apply", "-f", &file]);
        let person = Self { cluster, role };
        let (role, user) = (format!("--role={}", person.role), format!("--user={}", person.role));
        cluster.kubectl(&["create", "rolebinding", &person.role, &role, &user]);
        person.waits_until_it_may("yes");
        person
    }

    /// Takes the right to list what the first rule is about: StatefulSets, of `logs` Jobs.
    #[track_caller]
    fn loses_a_verb(&self) {
        let patch = r#"[{"op": "remove", "path": "/rules/0/verbs/1"}]"#;
        self.cluster.kubectl(&["patch", "role", &self.role, "--type", "json", "-p", patch]);
        self.waits_until_it_may("no");
    }

    /// What is lost and what names it.
    fn first(&self) -> &'static str {
        if self.role.ends_with("logs") { "jobs.batch" } else { "statefulsets.apps" }
    }

    /// An API server learns of a Role a moment after it is written.
    #[track_caller]
    fn waits_until_it_may(&self, answer: &str) {
        let ask = ["auth", "can-i", "list", self.first(), "--as", &self.role, "-n", &self.cluster.namespace];
        until(&format!("the answer is {answer}"), || run("kubectl", &ask).stdout.starts_with(answer).then_some(()));
    }
}

impl Drop for Person<'_> {
    fn drop(&mut self) {
        for kind in ["rolebinding", "role"] {
            run("kubectl", &["delete", kind, &self.role, "-n", &self.cluster.namespace]);
        }
    }
}

#[test]
fn every_command_works_with_its_own_role_and_names_the_right_it_lacks() {
    let cluster = Cluster::with_data();
    cluster.store_in("both");
    // The one to delete must not be the last good one.
    let backup = cluster.created(&["create"]);
    let file = scratch_file("report", "");
    std::fs::remove_file(&file).unwrap();
    for (command, line, code) in COMMANDS {
        let person = Person::with(&cluster, command);
        let word = |word: &&'static str| match *word {
            "BACKUP" => backup.clone(),
            "FILE" => file.to_str().unwrap().to_owned(),
            word => word.to_owned(),
        };
        let line: Vec<String> = line.iter().map(word).chain(["--as".to_owned(), person.role.clone()]).collect();
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let restricted = Restricted::enforced(&cluster);
        let ran = cluster.plugin(&line).ends_with(code);
        assert!(!ran.stderr.contains("error: "), "{command}: {}", ran.stderr);
        for more in WITH_SCHEDULES.iter().filter(|_| command == "schedule") {
            cluster.plugin(&[more, &["--as", &person.role][..]].concat()).ends_with(0);
        }
        if WATCHED.contains(&command) {
            is_watched(&cluster, &person, command);
        }
        drop(restricted);
        person.loses_a_verb();
        let ran = cluster.plugin(&line).ends_with(1);
        let (user, resource) = (&person.role, person.first());
        ran.says(&format!("forbidden: user \"{user}\" may not list {resource} in namespace demo"))
            .says("hint: an admin of namespace demo grants it")
            // Its user is called as its Role is.
            .says(&format!("kubectl create rolebinding {user}-{user} --role={user} --user={user} -n demo"));
    }
    std::fs::remove_file(file).unwrap();
    cluster.plugin(&["schedule", "delete", "never"]).ends_with(0);
}

/// What changes while it is watched is shown, by the same rights.
#[track_caller]
fn is_watched(cluster: &Cluster, person: &Person<'_>, command: &str) {
    let watching = cluster.start_plugin(&[command, "-w", "--as", &person.role]);
    let name = cluster.created(&["create"]);
    let ran = watching.killed();
    assert!(ran.stdout.contains(&name) && !ran.stderr.contains("orbidden"), "{command}: {}{}", ran.stdout, ran.stderr);
}
