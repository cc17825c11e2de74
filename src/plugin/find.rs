//! Which cluster is meant: the one named, or the only one there.
//!
//! Guessing between two is never right for a backup tool, so two are an error that names both.

use super::backups::nearest;
use super::cli::{ClusterFlags, ScopeFlags};
use super::connect::Session;
use crate::adapters::kubernetes::finder::{self, Finder, Found, Place, Sets};
use crate::adapters::kubernetes::preflight::Preflight;
use crate::exit_code::ExitCode;
use crate::model::outcome::{Failure, in_full};

/// Finds the cluster's StatefulSet, which exists.
pub(crate) async fn cluster(session: &Session, wanted: Option<&str>) -> Result<String, Failure> {
    let connection = session.connection()?;
    let namespace = &connection.target.namespace;
    let finder = Finder::new(connection.client.clone(), namespace);
    let failed = |error| session.failure(&error);
    if let Some(name) = wanted
        && finder.exists(name).await.map_err(failed)?
    {
        return Ok(name.to_owned());
    }
    let Sets { all, gap } = finder.all().await.map_err(failed)?;
    match choose(&all, wanted, namespace) {
        Ok(name) => Ok(name),
        Err(_) if all.is_empty() && finder.namespace_exists().await.map_err(failed)? == Some(false) => {
            Err(session.reachable(no_namespace(namespace)))
        }
        // With it, one of several might have been meant by itself.
        Err(failure) if failure.code == ExitCode::Usage => {
            let gap = gap.map(|error| format!("which of them is set up is not known: {}", in_full(&error)));
            Err(gap.into_iter().fold(failure, Failure::with_cause))
        }
        Err(failure) => Err(session.reachable(failure)),
    }
}

/// Finds the cluster's name, also where only its backups are left.
pub(crate) async fn cluster_or_remains(session: &Session, wanted: Option<&str>) -> Result<String, Failure> {
    let failure = match cluster(session, wanted).await {
        Ok(name) => return Ok(name),
        Err(failure) => failure,
    };
    let (Some(name), Ok(connection)) = (wanted, session.connection()) else { return Err(failure) };
    let preflight = Preflight::new(connection.client.clone(), &connection.target.namespace);
    match preflight.settings(name).await {
        Ok(settings) if !settings.is_empty() => Ok(name.to_owned()),
        _ => Err(failure),
    }
}

/// The clusters that are meant.
pub(crate) struct Clusters {
    /// Those that are there, then those of which only the backups are left.
    pub(crate) places: Vec<Place>,
    /// Why the latter could not be looked for.
    pub(crate) gap: Option<String>,
}

/// Finds every cluster that is meant, where that may be several; none is no error then.
///
/// Without its StatefulSet a cluster has no labels to choose it by, so only who asks for all sees it.
pub(crate) async fn clusters(
    session: &Session,
    wanted: &ClusterFlags,
    scope: &ScopeFlags,
) -> Result<Clusters, Failure> {
    let connection = session.connection()?;
    let namespace = connection.target.namespace.clone();
    if !scope.is_given() {
        let statefulset = cluster_or_remains(session, wanted.wanted()).await?;
        return Ok(Clusters { places: vec![Place::new(namespace, statefulset)], gap: None });
    }
    let within = Some(namespace.as_str()).filter(|_| !scope.all_namespaces);
    let found = finder::clusters(connection.client.clone(), within, scope.selector.as_deref()).await;
    let mut found = Clusters { places: found.map_err(|error| session.failure(&error))?, gap: None };
    if found.places.is_empty()
        && within.is_some()
        && let Some(failure) = named_in_vain(session, None).await
    {
        return Err(failure);
    }
    if scope.all_namespaces && scope.selector.is_none() {
        match finder::remains(connection.client.clone()).await {
            Ok(gone) => found.places.extend(gone),
            Err(error) => {
                let what = "clusters of which only the backups are left are not shown";
                found.gap = Some(format!("{what}: {}", in_full(&error)));
            }
        }
    }
    Ok(found)
}

/// The namespace, or the cluster in it, that was named and is not there, as far as that may be known.
///
/// Kubernetes answers a search there with nothing, as it does where there is nothing: who asks where something was
/// found asks for no purpose.
pub(crate) async fn named_in_vain(session: &Session, statefulset: Option<&str>) -> Option<Failure> {
    let connection = session.connection().ok()?;
    let namespace = &connection.target.namespace;
    let finder = Finder::new(connection.client.clone(), namespace);
    if let Ok(Some(false)) = finder.namespace_exists().await {
        return Some(session.reachable(no_namespace(namespace)));
    }
    let name = statefulset?;
    if finder.exists(name).await.ok()? {
        return None;
    }
    let there = finder.all().await.ok()?;
    choose(&there.all, Some(name), namespace).err().map(|failure| session.reachable(failure))
}

/// Says that a search for clusters has found none.
pub(crate) fn none_found(session: &Session, scope: &ScopeFlags) -> Result<String, Failure> {
    let place = if scope.all_namespaces { String::new() } else { format!(" in {} namespace", session.namespace()?) };
    let with = scope.selector.as_ref().map(|labels| format!(" with labels {labels}")).unwrap_or_default();
    Ok(format!("No Galera clusters found{place}{with}."))
}

fn no_namespace(namespace: &str) -> Failure {
    Failure::new(ExitCode::Error, format!("there is no namespace {namespace}"))
        .with_hint("to see which there are: kubectl get namespaces")
}

/// Chooses among the StatefulSets of a namespace.
fn choose(all: &[Found], wanted: Option<&str>, namespace: &str) -> Result<String, Failure> {
    if let Some(name) = wanted {
        let what = format!("there is no StatefulSet {name} in namespace {namespace}");
        let failure = Failure::new(ExitCode::Error, what).with_cause(those(all));
        let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
        return Err(match nearest(name, &names) {
            Some(near) => failure.with_hint(format!("did you mean {near}?")),
            None => failure.with_hint(format!("kubectl get statefulsets -n {namespace}")),
        });
    }
    let set_up: Vec<&Found> = all.iter().filter(|found| found.is_galera && found.is_set_up).collect();
    let galera: Vec<&Found> = all.iter().filter(|found| found.is_galera).collect();
    match (set_up.as_slice(), galera.as_slice()) {
        ([only], _) | ([], [only]) => Ok(only.name.clone()),
        (_, []) => {
            let what = format!("no Galera cluster found in namespace {namespace}");
            Err(Failure::new(ExitCode::Error, what)
                .with_cause(those(all))
                .with_hint("give -n NAMESPACE, or name the StatefulSet: --statefulset NAME"))
        }
        (_, several) => {
            let names: Vec<&str> = several.iter().map(|found| found.name.as_str()).collect();
            let what = format!("{} Galera clusters found in namespace {namespace}", names.len());
            Err(Failure::new(ExitCode::Usage, what)
                .with_cause(format!("they are {}", names.join(", ")))
                .with_hint(format!("name the one you mean: --statefulset {}", names[0])))
        }
    }
}

fn those(all: &[Found]) -> String {
    let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
    if names.is_empty() {
        "there are no StatefulSets in it".to_owned()
    } else {
        format!("StatefulSets there: {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, is_galera: bool, is_set_up: bool) -> Found {
        Found { name: name.to_owned(), is_galera, is_set_up }
    }

    #[test]
    fn the_only_cluster_is_meant_and_one_that_was_set_up_comes_first() {
        let redis = found("redis", false, false);
        assert_eq!(choose(&[found("db", true, false), redis.clone()], None, "ns").unwrap(), "db");
        assert_eq!(choose(&[found("a", true, false), found("b", true, true), redis], None, "ns").unwrap(), "b");
    }

    #[test]
    fn none_or_two_are_named_and_refused() {
        let none = choose(&[found("redis", false, false)], None, "ns").unwrap_err();
        assert_eq!((none.code, none.causes[0].as_str()), (ExitCode::Error, "StatefulSets there: redis"));
        let two = choose(&[found("a", true, true), found("b", true, true)], None, "ns").unwrap_err();
        assert_eq!((two.code, two.causes[0].as_str()), (ExitCode::Usage, "they are a, b"));
    }

    #[test]
    fn a_name_that_is_not_there_is_answered_with_those_that_are() {
        let failure = choose(&[found("db", true, false)], Some("bd"), "ns").unwrap_err();
        assert_eq!(failure.message, "there is no StatefulSet bd in namespace ns");
        assert_eq!(failure.causes, ["StatefulSets there: db"]);
    }
}
