//! A right that somebody lacks, as Kubernetes names rights.

use std::fmt;

/// What was refused, to whom, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// The user or service account, as Kubernetes calls it.
    pub user: String,
    /// The verb, such as `list`.
    pub verb: String,
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource, with its subresource if it is one: `pods/log`.
    pub resource: String,
    /// The namespace; `None` for a right beyond namespaces.
    pub namespace: Option<String>,
}

impl MissingRight {
    /// The resource as kubectl writes it, with its group.
    #[must_use]
    pub fn full_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// Namespace and name of the service account, when it is one that lacks it.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        self.user.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forbidden: user \"{}\" may not {} {}", self.user, self.verb, self.full_resource())?;
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

impl std::error::Error for MissingRight {}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(user: &str, resource: &str, group: &str, namespace: Option<&str>) -> MissingRight {
        let (verb, namespace) = ("list".to_owned(), namespace.map(str::to_owned));
        MissingRight { user: user.to_owned(), verb, group: group.to_owned(), resource: resource.to_owned(), namespace }
    }

    #[test]
    fn who_may_not_do_what_and_where_is_one_sentence() {
        let in_namespace = missing("alice", "statefulsets", "apps", Some("db"));
        assert_eq!(
            in_namespace.to_string(),
            "forbidden: user \"alice\" may not list statefulsets.apps in namespace db"
        );
        let beyond = missing("alice", "nodes", "", None);
        assert_eq!(beyond.to_string(), "forbidden: user \"alice\" may not list nodes in the whole cluster");
    }

    #[test]
    fn a_service_account_is_told_from_a_person() {
        assert_eq!(missing("alice", "pods", "", None).service_account(), None);
        let account = missing("system:serviceaccount:db:conductor", "pods", "", None);
        assert_eq!(account.service_account(), Some(("db", "conductor")));
    }
}
