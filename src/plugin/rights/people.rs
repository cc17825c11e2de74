//! What people need who type our commands: a Role for each command, and one for them all.
//!
//! The Roles in `docs/roles` are made of this table, and tests hold each to what its command really asks
//! of an API server. No command needs to read a Secret.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{conductor, rule};
use crate::model::right::MissingRight;
use crate::model::settings::Settings;

/// The Role with the rights of every command but `setup`, which setup makes and binds to nobody.
pub(crate) const PERSON_ROLE: &str = "mariadb-backup-user";

/// A resource and what is done to it: group, resource, verbs.
type Right = (&'static str, &'static str, &'static [&'static str]);

/// The order in which verbs are written.
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// To find the cluster, its settings and its catalogue.
const FIND: &[Right] = &[("apps", "statefulsets", &["get", "list"]), ("", "configmaps", &["get", "list"])];

/// To order a run and to follow it.
const ORDER: &[Right] = &[
    ("batch", "jobs", &["get", "create"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/log", &["get"]),
    // Why a run does not start.
    ("", "events", &["list"]),
    // Whether those a run works as are there.
    ("", "serviceaccounts", &["get"]),
];

/// To see whether the volume of backups is there, or a replica's.
const CLAIMS: &[Right] = &[("", "persistentvolumeclaims", &["get"])];

/// To see a run that was ordered before.
const SEE: &[Right] = &[
    ("batch", "jobs", &["get", "list"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/log", &["get"]),
    ("", "events", &["list"]),
];

/// For `create --from-schedule`.
const READ_SCHEDULE: &[Right] = &[("batch", "cronjobs", &["get"])];

/// What status shows beside the replicas.
const LOOK_AROUND: &[Right] = &[
    ("batch", "jobs", &["list"]),
    ("batch", "cronjobs", &["list"]),
    // Who is at work.
    ("coordination.k8s.io", "leases", &["get"]),
];

/// What goes into a report; what status shows is in it, too.
const GATHER: &[Right] = &[
    ("", "pods", &["list"]),
    ("", "pods/log", &["get"]),
    ("", "events", &["list"]),
    ("", "persistentvolumeclaims", &["get", "list"]),
];

/// For `list -w`; with labels, clusters may come and go.
const WATCH_BACKUPS: &[Right] = &[("", "configmaps", &["watch"]), ("apps", "statefulsets", &["watch"])];

/// For `schedule list -w`.
const WATCH_SCHEDULES: &[Right] = &[("batch", "cronjobs", &["watch"])];

/// For `status -w`.
const WATCH_AROUND: &[Right] = &[
    ("apps", "statefulsets", &["watch"]),
    ("batch", "jobs", &["watch"]),
    ("batch", "cronjobs", &["watch"]),
    // A single object is watched by listing those of its name.
    ("coordination.k8s.io", "leases", &["list", "watch"]),
];

/// What is done with what is looked at in all namespaces; `-w` watches it.
pub(crate) const LOOK: [&str; 3] = ["get", "list", "watch"];

/// What a command looks at with `-A`: as `kubectl create clusterrole` takes it, which knows no rule for each.
const EVERYWHERE: [(&str, &[&str]); 3] = [
    ("list", &["statefulsets.apps", "configmaps"]),
    ("schedule", &["cronjobs.batch", "statefulsets.apps"]),
    (
        "status",
        &[
            "statefulsets.apps",
            "configmaps",
            "pods",
            "pods/log",
            "jobs.batch",
            "cronjobs.batch",
            "leases.coordination.k8s.io",
        ],
    ),
];

const SCHEDULE: &[Right] =
    &[("batch", "cronjobs", &["get", "list", "create", "patch", "delete"]), ("", "serviceaccounts", &["get"])];

/// What setup makes.
const MAKE: &[Right] = &[
    ("", "serviceaccounts", &["get", "create", "patch"]),
    ("", "persistentvolumeclaims", &["get", "create", "patch"]),
    ("", "configmaps", &["get", "create", "patch"]),
    ("rbac.authorization.k8s.io", "roles", &["get", "create", "patch"]),
    ("rbac.authorization.k8s.io", "rolebindings", &["get", "create", "patch"]),
];

/// A command, and what a person needs for it.
pub(crate) struct CommandRights {
    /// The command, as it is typed.
    pub(crate) command: &'static str,
    parts: &'static [&'static [Right]],
    /// Whether it grants rights, which Kubernetes only lets those do who have them.
    grants: bool,
}

/// Every command.
pub(crate) const COMMANDS: [CommandRights; 17] = [
    of("create", &[FIND, ORDER, CLAIMS, READ_SCHEDULE]),
    of("list", &[FIND, WATCH_BACKUPS]),
    of("list --live", &[FIND, ORDER, CLAIMS]),
    of("verify", &[FIND, ORDER, CLAIMS]),
    of("drill", &[FIND, ORDER, CLAIMS]),
    of("restore", &[FIND, ORDER, CLAIMS]),
    of("sync", &[FIND, ORDER, CLAIMS]),
    of("delete", &[FIND, ORDER, CLAIMS]),
    of("prune", &[FIND, ORDER, CLAIMS]),
    of("schedule", &[FIND, SCHEDULE, CLAIMS, WATCH_SCHEDULES]),
    of("recover", &[FIND, ORDER]),
    of("status", &[FIND, ORDER, CLAIMS, LOOK_AROUND, WATCH_AROUND]),
    of("describe", &[FIND, ORDER, CLAIMS]),
    CommandRights { command: "setup", parts: &[FIND, MAKE], grants: true },
    of("logs", &[SEE]),
    of("report", &[FIND, LOOK_AROUND, GATHER]),
    of("version", &[FIND]),
];

const fn of(command: &'static str, parts: &'static [&'static [Right]]) -> CommandRights {
    CommandRights { command, parts, grants: false }
}

impl CommandRights {
    /// The name of its Role.
    pub(crate) fn role(&self) -> String {
        format!("mariadb-backup-{}", self.slug())
    }

    /// The command as part of a name.
    fn slug(&self) -> String {
        self.command.replace(" --", "-")
    }

    /// The rules of its Role.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let mut rights = merged(self.parts.iter().copied().flatten());
        if self.grants {
            for (group, resource, verbs) in granted() {
                add(&mut rights, &group, &resource, verbs.iter().map(String::as_str));
            }
        }
        rules(&rights)
    }
}

/// The rules of the Role with the rights of every command but `setup`.
pub(crate) fn all() -> Vec<Value> {
    rules(&merged(of_all()))
}

/// The smallest Role that holds the right: that of the command which lacks it, or else that of all commands.
pub(crate) fn role_with(missing: &MissingRight, command: Option<&str>) -> Option<Named> {
    let is_it = |(group, resource, verbs): &&Right| {
        *group == missing.group && *resource == missing.resource && verbs.contains(&missing.verb.as_str())
    };
    let own = COMMANDS.iter().find(|of| Some(of.command) == command);
    let own = own.filter(|of| of.parts.iter().copied().flatten().any(|right| is_it(&right)));
    match own {
        Some(of) => Some(Named { role: of.role(), page: Some(format!("docs/roles/{}.yaml", of.slug())) }),
        None => of_all().any(|right| is_it(&right)).then(|| Named { role: PERSON_ROLE.to_owned(), page: None }),
    }
}

/// The ClusterRole with which the command that lacks this right looks at all namespaces, and its resources.
pub(crate) fn everywhere(missing: &MissingRight, command: Option<&str>) -> Option<(String, &'static [&'static str])> {
    let (_, resources) = EVERYWHERE.iter().find(|(of, _)| Some(*of) == command)?;
    let is_looked_at = resources.contains(&missing.full_resource().as_str()) && LOOK.contains(&missing.verb.as_str());
    let own = COMMANDS.iter().find(|of| Some(of.command) == command).filter(|_| is_looked_at)?;
    Some((own.role(), resources))
}

/// A Role, and where it stands in the documentation.
pub(crate) struct Named {
    pub(crate) role: String,
    pub(crate) page: Option<String>,
}

fn of_all() -> impl Iterator<Item = &'static Right> {
    COMMANDS.iter().filter(|of| !of.grants).flat_map(|of| of.parts.iter().copied().flatten())
}

/// Rights put together: group, resource, verbs.
type Rights = Vec<(String, String, Vec<String>)>;

/// What setup grants to the conductor and to people: whoever grants it has to have it, under any name.
fn granted() -> Rights {
    let settings = Settings::read("", &BTreeMap::new(), &BTreeMap::new()).expect("all settings have defaults");
    let conductor = conductor::rules("", &settings, None);
    let mut rights = merged(of_all());
    for rule in &conductor {
        let texts = |field: &str| {
            let of = rule[field].as_array().cloned().unwrap_or_default();
            of.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        for resource in texts("resources") {
            let (groups, verbs) = (texts("apiGroups"), texts("verbs"));
            add(&mut rights, &groups[0], &resource, verbs.iter().map(String::as_str));
        }
    }
    rights
}

fn merged<'a>(rights: impl Iterator<Item = &'a Right>) -> Rights {
    let mut all = Rights::new();
    for (group, resource, verbs) in rights {
        add(&mut all, group, resource, verbs.iter().copied());
    }
    all
}

fn add<'a>(all: &mut Rights, group: &str, resource: &str, verbs: impl Iterator<Item = &'a str>) {
    let known = all.iter().position(|(of, name, _)| of == group && name == resource);
    let at = known.unwrap_or_else(|| {
        all.push((group.to_owned(), resource.to_owned(), Vec::new()));
        all.len() - 1
    });
    let there = &mut all[at].2;
    there.extend(verbs.map(str::to_owned));
    there.sort_by_key(|verb| VERBS.iter().position(|known| known == verb));
    there.dedup();
}

fn rules(rights: &Rights) -> Vec<Value> {
    let one = |(group, resource, verbs): &(String, String, Vec<String>)| {
        let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
        rule(group, &[resource], &verbs, &[])
    };
    rights.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
