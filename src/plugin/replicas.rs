//! Which replicas can be named: those that the cluster has, before anything is ordered.
//!
//! What else a replica has to be is the run's to judge; whether it is there is certain from here.

use super::connect::Session;
use crate::adapters::kubernetes::cluster::KubernetesCluster;
use crate::exit_code::ExitCode;
use crate::model::cluster::{ClusterView, PodView};
use crate::model::outcome::Failure;
use crate::ports::conductor::Cluster;

/// Finds the pod of the replica that was named, by its name or by its ordinal.
///
/// # Errors
/// It is not there; the command begins `again` and takes one that is.
pub(crate) async fn to_copy(
    wanted: &str,
    statefulset: &str,
    again: &str,
    session: &Session,
) -> Result<String, Failure> {
    let connection = session.connection()?;
    let cluster = KubernetesCluster::new(connection.client.clone(), &connection.target.namespace, statefulset);
    let view = cluster.view().await.map_err(|error| session.failure(&error))?;
    named(wanted, &view, again).map_err(|failure| session.reachable(failure))
}

fn named(wanted: &str, view: &ClusterView, again: &str) -> Result<String, Failure> {
    let is_meant = |pod: &&PodView| pod.name == wanted || wanted.parse() == Ok(pod.ordinal);
    if let Some(pod) = view.pods.iter().find(is_meant) {
        return Ok(pod.name.clone());
    }
    let failure = Failure::new(ExitCode::Refused, format!("there is no replica {wanted} of {}", view.statefulset));
    Err(match view.pods.last() {
        Some(last) => failure
            .with_cause(format!("its replicas are {}", names(view)))
            .with_hint(format!("leave --replica out to have one chosen, or name one: {again} --replica {}", last.name)),
        None => failure
            .with_cause("none of its pods exists")
            .with_hint(format!("kubectl get statefulset {} -n {}", view.statefulset, view.namespace)),
    })
}

/// Refuses to start a replica first that is not there. Of a cluster whose pods are not all there, as one that
/// is stopped, the claims tell, which the run sees.
pub(crate) fn check_leader(wanted: i32, view: &ClusterView, again: &str) -> Result<(), Failure> {
    let is_there = view.pods.iter().any(|pod| u32::try_from(wanted) == Ok(pod.ordinal));
    let are_all_there = usize::try_from(view.replicas).is_ok_and(|replicas| view.pods.len() >= replicas);
    let Some(first) = view.pods.first().filter(|_| are_all_there && !is_there) else { return Ok(()) };
    let what = format!("there is no replica with ordinal {wanted} of {}", view.statefulset);
    Err(Failure::new(ExitCode::Refused, what)
        .with_cause(format!("its replicas are {}", names(view)))
        .with_hint(format!("leave --leader out to have one chosen, or name one: {again} --leader {}", first.ordinal)))
}

fn names(view: &ClusterView) -> String {
    view.pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::ServerSpec;

    fn cluster(replicas: i32, ordinals: &[u32]) -> ClusterView {
        let pod = |ordinal: &u32| PodView {
            name: format!("db-{ordinal}"),
            ordinal: *ordinal,
            uid: String::new(),
            ip: None,
            node: None,
            ready: true,
            terminating: false,
            role: None,
            claim: None,
        };
        ClusterView {
            namespace: "shop".to_owned(),
            statefulset: "db".to_owned(),
            uid: "uid".to_owned(),
            replicas,
            pods: ordinals.iter().map(pod).collect(),
            server: ServerSpec::default(),
            flavour: crate::model::workload::Flavour::Plain,
            obligation: None,
            last_restore: None,
        }
    }

    #[test]
    fn a_replica_is_named_by_its_pod_or_by_its_ordinal() {
        let cluster = cluster(3, &[0, 1, 2]);
        assert_eq!(named("db-1", &cluster, "create db").unwrap(), "db-1");
        assert_eq!(named("2", &cluster, "create db").unwrap(), "db-2");
    }

    #[test]
    fn a_replica_that_is_not_there_is_refused_with_those_that_are_and_a_command_that_works() {
        let failure = named("db-7", &cluster(2, &[0, 1]), "create db").unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (ExitCode::Refused, "there is no replica db-7 of db"));
        assert_eq!(failure.causes, ["its replicas are db-0, db-1"]);
        assert_eq!(
            failure.hint.as_deref(),
            Some("leave --replica out to have one chosen, or name one: create db --replica db-1")
        );
        let stopped = named("db-0", &cluster(0, &[]), "create db").unwrap_err();
        assert_eq!(stopped.hint.as_deref(), Some("kubectl get statefulset db -n shop"));
    }

    #[test]
    fn a_leader_that_is_not_there_is_refused_where_that_can_be_seen() {
        let all = cluster(2, &[0, 1]);
        assert_eq!(check_leader(1, &all, "restore x db"), Ok(()));
        for absent in [7, -1] {
            let failure = check_leader(absent, &all, "restore x db").unwrap_err();
            assert_eq!(failure.code, ExitCode::Refused);
            let hint = "leave --leader out to have one chosen, or name one: restore x db --leader 0";
            assert_eq!(failure.hint.as_deref(), Some(hint));
        }
        for unsure in [cluster(0, &[]), cluster(3, &[0, 1])] {
            assert_eq!(check_leader(2, &unsure, "restore x db"), Ok(()), "its claims tell: {unsure:?}");
        }
    }
}
