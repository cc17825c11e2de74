//! How every replica is, and what would keep a backup from being taken now.

use super::Context;
use crate::backup;
use crate::backup::findings;
use crate::model::cluster::{ClusterView, PodView};
use crate::model::galera::Member;
use crate::model::outcome::{Explain, Failure};
use crate::model::report::{MemberStatus, ReplicaStatus, RunReport, StatusReport};

/// Asks every replica, all at once.
pub(super) async fn ask(context: &Context<'_>) -> Result<RunReport, Failure> {
    let members = backup::ask_all(context.cluster, context.ports.galera).await;
    let members = members.map_err(Explain::into_failure)?;
    Ok(RunReport::Status(report(context.cluster, &members)))
}

fn report(cluster: &ClusterView, members: &[(String, Result<Member, String>)]) -> StatusReport {
    let said = |pod: &PodView| members.iter().find(|(name, _)| *name == pod.name).map(|(_, member)| member);
    StatusReport {
        replicas: cluster.pods.iter().map(|pod| replica(pod, said(pod))).collect(),
        findings: findings::among(cluster, members).iter().map(ToString::to_string).collect(),
    }
}

fn replica(pod: &PodView, said: Option<&Result<Member, String>>) -> ReplicaStatus {
    ReplicaStatus {
        pod: pod.name.clone(),
        node: pod.node.clone(),
        pod_ready: pod.ready,
        role: pod.role.clone(),
        member: said.and_then(|member| member.as_ref().ok()).map(member),
        no_answer: match said {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why.clone()),
            None => Some("it has no address".to_owned()),
        },
    }
}

fn member(member: &Member) -> MemberStatus {
    MemberStatus {
        ready: member.ready,
        state: member.state.clone(),
        cluster_status: member.cluster_status.clone(),
        size: member.cluster_size,
        queue: member.recv_queue,
        desync_count: member.desync_count,
        seqno: member.last_committed,
        version: member.version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::ServerSpec;

    fn pod(name: &str) -> PodView {
        PodView {
            name: name.to_owned(),
            ordinal: 0,
            uid: "uid".to_owned(),
            ip: None,
            node: Some("n1".to_owned()),
            ready: true,
            terminating: false,
            role: Some("primary".to_owned()),
            claim: None,
        }
    }

    #[test]
    fn every_replica_is_told_also_those_that_do_not_answer() {
        let cluster = ClusterView {
            namespace: "demo".to_owned(),
            statefulset: "db".to_owned(),
            uid: "uid".to_owned(),
            replicas: 3,
            pods: ["db-0", "db-1", "db-2"].map(pod).to_vec(),
            server: ServerSpec::default(),
            obligation: None,
            last_restore: None,
        };
        let good = Member { ready: true, state: "Synced".to_owned(), last_committed: 7, ..Member::default() };
        let members = [("db-0".to_owned(), Ok(good)), ("db-1".to_owned(), Err("connection refused".to_owned()))];
        let report = report(&cluster, &members);
        let said: Vec<_> =
            report.replicas.iter().map(|of| (of.member.as_ref().map(|of| of.seqno), of.no_answer.as_deref())).collect();
        assert_eq!(said, [(Some(7), None), (None, Some("connection refused")), (None, Some("it has no address"))]);
        assert!(report.findings.contains(&"db-1 does not answer SQL (connection refused)".to_owned()), "{report:?}");
    }
}
