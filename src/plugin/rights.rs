//! The rights of everybody, in one place: the conductor's, and those of people at the command line.
//!
//! Runners have no rights at all. What somebody lacks is told with the way to it.

use std::error::Error;

use serde_json::{Value, json};

use crate::model::right::MissingRight;
use crate::plugin::connect::{Session, quoted};
use crate::ports::PortError;
use people::Named;

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
pub(crate) fn way_to(refusal: &PortError, session: &Session) -> String {
    let cause = refusal.source();
    let Some(missing) = cause.and_then(|cause| cause.downcast_ref::<MissingRight>()) else {
        return if cause.is_some_and(|cause| cause.to_string().contains("grant RBAC permissions not currently held")) {
            "Kubernetes lets nobody grant what they lack: have an admin of the namespace type this command".to_owned()
        } else {
            all_rights(session)
        };
    };
    match &missing.namespace {
        Some(namespace) => way_within(namespace, missing, session),
        None => way_everywhere(missing, session),
    }
}

/// The way to a right in one namespace: the Role, where it may be missing, and who has it.
fn way_within(namespace: &str, missing: &MissingRight, session: &Session) -> String {
    let admin = admin_of(&format!("namespace {namespace}"), session);
    let Some(Named { role, page }) = people::role_with(missing, session.command_word()) else {
        return format!("{admin} can grant that\n{}", all_rights(session));
    };
    let (from, make) = match page {
        Some(page) => (format!(" ({page})"), "setup --roles"),
        None => (String::new(), "setup"),
    };
    format!(
        "{admin} grants it by Role {role}{from}\n\
         to make the Role, where it is not there: {}\n\
         to grant it: kubectl create rolebinding {} --role={role} {} -n {namespace}{}",
        session.command_of_others(make),
        binding(&role, &missing.user),
        subject(missing),
        session.flags_of_others()
    )
}

/// The way to a right in all namespaces, for which nothing is made by setup.
fn way_everywhere(missing: &MissingRight, session: &Session) -> String {
    let admin = admin_of("the whole cluster", session);
    let Some((role, resources)) = people::everywhere(missing, session.command_word()) else {
        return format!("{admin} can grant that");
    };
    let flags = session.flags_of_others();
    format!(
        "{admin} grants it by ClusterRole {role}\n\
         to make it, where it is not there: kubectl create clusterrole {role} --verb={} --resource={}{flags}\n\
         to grant it: kubectl create clusterrolebinding {} --clusterrole={role} {}{flags}",
        people::LOOK.join(","),
        resources.join(","),
        binding(&role, &missing.user),
        subject(missing)
    )
}

fn admin_of(place: &str, session: &Session) -> String {
    match session.server_for_others() {
        Some(server) if place.starts_with("namespace") => format!("an admin of {place} in the cluster of {server}"),
        Some(server) => format!("an admin of {place} of {server}"),
        None => format!("an admin of {place}"),
    }
}

fn all_rights(session: &Session) -> String {
    let roles = session.command_of_others("setup --roles --dry-run=client -o yaml");
    format!("to see the rights that every command needs: {roles}")
}

/// The flag of `kubectl create rolebinding` that means who was refused.
fn subject(missing: &MissingRight) -> String {
    match missing.service_account() {
        Some((namespace, name)) => format!("--serviceaccount={namespace}:{name}"),
        None => format!("--user={}", quoted(&missing.user)),
    }
}

/// A name for the binding that tells whose it is.
fn binding(role: &str, user: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c.to_ascii_lowercase() } else { '-' };
    format!("{role}-{}", user.chars().map(plain).collect::<String>().trim_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plugin::cli::ConnectionFlags;
    use crate::ports::Reason;

    fn way(command: Option<&'static str>, user: &str, verb: &str, resource: &str, namespace: Option<&str>) -> String {
        let missing = MissingRight {
            user: user.to_owned(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
        };
        way_to(&PortError::new(Reason::Forbidden, "cannot").caused_by(missing), &session(command))
    }

    /// Somebody's who acts as another, in a context of theirs, on one of several clusters.
    fn session(command: Option<&'static str>) -> Session {
        let flags = ConnectionFlags {
            namespace: Some("db".to_owned()),
            context: Some("far".to_owned()),
            as_user: Some("alice".to_owned()),
            ..ConnectionFlags::default()
        };
        let session = Session::new(flags, BTreeMap::new()).of_cluster(Some("one"));
        match command {
            Some(command) => session.of_command(command),
            None => session,
        }
    }

    #[test]
    fn who_is_refused_learns_who_can_grant_it_by_the_command_s_own_role_and_how() {
        let known = way(Some("create"), "alice@example.com", "list", "pods", Some("db"));
        assert_eq!(
            known,
            "an admin of namespace db grants it by Role mariadb-backup-create (docs/roles/create.yaml)\n\
             to make the Role, where it is not there: \
             kubectl mariadb-backup setup --roles --statefulset one -n db --context far\n\
             to grant it: kubectl create rolebinding mariadb-backup-create-alice-example.com \
             --role=mariadb-backup-create --user=alice@example.com -n db --context far"
        );
        let live = way(Some("list --live"), "alice", "list", "pods", Some("db"));
        assert!(live.contains("Role mariadb-backup-list-live (docs/roles/list-live.yaml"), "{live}");
    }

    #[test]
    fn a_right_that_the_command_s_own_role_does_not_have_is_in_the_one_for_all_or_in_none() {
        let account = way(Some("version"), "system:serviceaccount:ci:robot", "watch", "configmaps", Some("db"));
        assert_eq!(
            account,
            "an admin of namespace db grants it by Role mariadb-backup-user\n\
             to make the Role, where it is not there: \
             kubectl mariadb-backup setup --statefulset one -n db --context far\n\
             to grant it: kubectl create rolebinding mariadb-backup-user-system-serviceaccount-ci-robot \
             --role=mariadb-backup-user --serviceaccount=ci:robot -n db --context far"
        );
        let none = way(Some("list"), "alice", "delete", "pods", Some("db"));
        assert!(none.starts_with("an admin of namespace db can grant that\nto see the rights "), "{none}");
    }

    #[test]
    fn a_right_in_all_namespaces_is_granted_by_a_cluster_role_for_which_the_command_is_given() {
        assert_eq!(
            way(Some("list"), "alice", "list", "configmaps", None),
            "an admin of the whole cluster grants it by ClusterRole mariadb-backup-list\n\
             to make it, where it is not there: kubectl create clusterrole mariadb-backup-list \
             --verb=get,list,watch --resource=statefulsets.apps,configmaps --context far\n\
             to grant it: kubectl create clusterrolebinding mariadb-backup-list-alice \
             --clusterrole=mariadb-backup-list --user=alice --context far"
        );
        assert_eq!(way(None, "alice", "get", "nodes", None), "an admin of the whole cluster can grant that");
    }

    #[test]
    fn a_refusal_that_is_not_understood_leads_to_all_rights() {
        let refusal = PortError::new(Reason::Forbidden, "cannot").caused_by("no");
        assert_eq!(
            way_to(&refusal, &session(None)),
            "to see the rights that every command needs: \
             kubectl mariadb-backup setup --roles --dry-run=client -o yaml --statefulset one -n db --context far"
        );
        let granting = "user \"u\" is attempting to grant RBAC permissions not currently held: {}";
        let refusal = PortError::new(Reason::Forbidden, "cannot").caused_by(granting);
        assert!(way_to(&refusal, &session(None)).starts_with("Kubernetes lets nobody grant what they lack"));
    }
}
