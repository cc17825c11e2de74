//! The rights of everybody, in one place: the conductor's, and those of people at the command line.
//!
//! Runners have no rights at all. What somebody lacks is told with the way to it.

use std::error::Error;

use serde_json::{Value, json};

use crate::model::right::MissingRight;
use crate::ports::PortError;
use people::PERSON_ROLE;

pub(crate) mod conductor;
pub(crate) mod people;

/// A rule of a Role.
fn rule(group: &str, resources: &[&str], verbs: &[&str], names: &[String]) -> Value {
    let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

/// Says how somebody who was refused gets the right: who can grant it, and by what.
pub(crate) fn way_to(refusal: &PortError) -> String {
    let cause = refusal.source();
    let Some(missing) = cause.and_then(|cause| cause.downcast_ref::<MissingRight>()) else {
        return if cause.is_some_and(|cause| cause.to_string().contains("grant RBAC permissions not currently held")) {
            "Kubernetes lets nobody grant what they lack: have an admin of the namespace type this command".to_owned()
        } else {
            format!("{ROLES} prints the rights that every command needs")
        };
    };
    let Some(namespace) = &missing.namespace else {
        return "an admin of the whole cluster can grant that".to_owned();
    };
    if people::may(missing) {
        let (name, subject) = (binding(&missing.user), subject(missing));
        return format!(
            "an admin of namespace {namespace} grants it, once setup has made that Role, with: \
             kubectl create rolebinding {name} --role={PERSON_ROLE} {subject} -n {namespace}"
        );
    }
    format!("an admin of namespace {namespace} can grant that; {ROLES} prints the rights that every command needs")
}

/// The command that prints all Roles.
const ROLES: &str = "kubectl mariadb-backup setup --roles --dry-run=client -o yaml";

/// The flag of `kubectl create rolebinding` that means who was refused.
fn subject(missing: &MissingRight) -> String {
    match missing.service_account() {
        Some((namespace, name)) => format!("--serviceaccount={namespace}:{name}"),
        None => format!("--user={}", crate::plugin::connect::quoted(&missing.user)),
    }
}

/// A name for the binding that tells whose it is.
fn binding(user: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c.to_ascii_lowercase() } else { '-' };
    format!("{PERSON_ROLE}-{}", user.chars().map(plain).collect::<String>().trim_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Reason;

    fn way(user: &str, verb: &str, resource: &str, namespace: Option<&str>) -> String {
        let missing = MissingRight {
            user: user.to_owned(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
        };
        way_to(&PortError::new(Reason::Forbidden, "cannot").caused_by(missing))
    }

    #[test]
    fn who_is_refused_learns_who_can_grant_it_and_how() {
        let grant = |who: &str| {
            format!(
                "an admin of namespace db grants it, once setup has made that Role, with: kubectl create rolebinding \
                 mariadb-backup-user-{who} -n db"
            )
        };
        let known = way("alice@example.com", "list", "pods", Some("db"));
        let role = "--role=mariadb-backup-user";
        assert_eq!(known, grant(&format!("alice-example.com {role} --user=alice@example.com")));
        let account = way("system:serviceaccount:ci:robot", "watch", "pods", Some("db"));
        assert_eq!(account, grant(&format!("system-serviceaccount-ci-robot {role} --serviceaccount=ci:robot")));
        assert!(way("alice", "delete", "pods", Some("db")).starts_with("an admin of namespace db can grant that; "));
        assert_eq!(way("alice", "get", "nodes", None), "an admin of the whole cluster can grant that");
    }

    #[test]
    fn a_refusal_that_is_not_understood_leads_to_all_rights() {
        let refusal = PortError::new(Reason::Forbidden, "cannot").caused_by("no");
        assert_eq!(
            way_to(&refusal),
            "kubectl mariadb-backup setup --roles --dry-run=client -o yaml prints the rights that every command needs"
        );
        let granting = "user \"u\" is attempting to grant RBAC permissions not currently held: {}";
        let refusal = PortError::new(Reason::Forbidden, "cannot").caused_by(granting);
        assert!(way_to(&refusal).starts_with("Kubernetes lets nobody grant what they lack"));
    }
}
