//! How every replica is, and what would keep a backup from being taken now.

use super::Context;
use crate::backup;
use crate::backup::findings::{self, Finding};
use crate::model::cluster::{ClusterView, PodView};
use crate::model::galera::Member;
use crate::model::outcome::{Explain, Failure};
use crate::model::report::{DesyncSeen, MemberStatus, ReplicaStatus, RunReport, StatusReport};

/// Asks every replica, all at once.
pub(super) async fn ask(context: &Context<'_>) -> Result<RunReport, Failure> {
    let members = backup::ask_all(context.cluster, context.ports.galera).await;
    let members = members.map_err(Explain::into_failure)?;
    Ok(RunReport::Status(report(context.cluster, &members)))
}

fn report(cluster: &ClusterView, members: &[(String, Result<Member, String>)]) -> StatusReport {
    let said = |pod: &PodView| members.iter().find(|(name, _)| *name == pod.name).map(|(_, member)| member);
    let found = findings::among(cluster, members);
    StatusReport {
        replicas: cluster.pods.iter().map(|pod| replica(pod, said(pod))).collect(),
        findings: found.iter().map(ToString::to_string).collect(),
        desynced: desynced(cluster, members, &found),
    }
}

/// The replica that a run has desynced, or is about to, and what is found only because of it.
fn desynced(
    cluster: &ClusterView,
    members: &[(String, Result<Member, String>)],
    found: &[Finding],
) -> Option<DesyncSeen> {
    let pod = &cluster.obligation.as_ref()?.debt.desync()?.pod;
    let is_other = |(name, member): &&(String, Result<Member, String>)| {
        name != pod && member.as_ref().is_ok_and(Member::is_synced)
    };
    let others_synced = members.iter().filter(is_other).count();
    let follow = found.iter().filter(|finding| finding.follows_from_desync_of(pod, others_synced));
    Some(DesyncSeen { pod: pod.clone(), findings: follow.map(ToString::to_string).collect() })
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
    use crate::model::obligation::{Debt, Desync, Obligation};

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

    fn cluster(pods: &[&str], obligation: Option<Obligation>) -> ClusterView {
        ClusterView {
            namespace: "demo".to_owned(),
            statefulset: "db".to_owned(),
            uid: "uid".to_owned(),
            replicas: i32::try_from(pods.len()).unwrap(),
            pods: pods.iter().map(|name| pod(name)).collect(),
            server: ServerSpec::default(),
            flavour: crate::model::workload::Flavour::Plain,
            obligation,
            last_restore: None,
        }
    }

    /// A server in good health, in a cluster of so many.
    fn synced(cluster_size: u32) -> Member {
        let (state, cluster_status) = ("Synced".to_owned(), "Primary".to_owned());
        Member { ready: true, connected: true, cluster_status, state, cluster_size, ..Member::default() }
    }

    fn desync_of(pod: &str) -> Obligation {
        let desync = Desync {
            pod: pod.to_owned(),
            pod_uid: "uid".to_owned(),
            gcomm_uuid: "g".to_owned(),
            runner: "r".to_owned(),
        };
        Obligation {
            schema: 1,
            debt: Debt::Desync(desync),
            run: "run".to_owned(),
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn what_is_found_only_because_of_a_copy_is_told_apart() {
        let members = |state: &str, size: u32, others: &[Result<Member, String>]| {
            let out = Member { state: state.to_owned(), desync_count: 1, ..synced(size) };
            let others = others.iter().cloned().enumerate().map(|(n, member)| (format!("db-{n}"), member));
            others.chain([(format!("db-{}", size - 1), Ok(out))]).collect::<Vec<_>>()
        };
        let told = |pods: &[&str], members: &[_]| {
            let last = *pods.last().unwrap();
            let mut cluster = cluster(pods, Some(desync_of(last)));
            cluster.pods.last_mut().unwrap().ready = false;
            let report = report(&cluster, members);
            let follows = report.desynced.unwrap().findings;
            let rest = report.findings.into_iter().filter(|finding| !follows.contains(finding)).collect::<Vec<_>>();
            (follows.len(), rest)
        };
        let three = ["db-0", "db-1", "db-2"];
        let well = [Ok(synced(3)), Ok(synced(3))];
        assert_eq!(told(&three, &members("Donor/Desynced", 3, &well)), (2, vec![]), "not Ready, and not Synced");
        assert_eq!(told(&three, &members("Synced", 3, &well)), (2, vec![]), "not Ready, and desynced");
        assert_eq!(
            told(&["db-0", "db-1"], &members("Donor/Desynced", 2, &[Ok(synced(2))])),
            (3, vec![]),
            "no donor left"
        );
        let joining = told(&three, &members("Joining: receiving State Transfer", 3, &well));
        assert_eq!(joining.1.len(), 1, "a state transfer does not come of a copy: {joining:?}");
        let (_, rest) = told(&three, &members("Donor/Desynced", 3, &[Ok(synced(3)), Err("refused".to_owned())]));
        assert_eq!(rest, ["db-1 does not answer SQL (refused)"], "another one's trouble stays");
        let neither = [Err("refused".to_owned()), Err("refused".to_owned())];
        assert_eq!(told(&three, &members("Donor/Desynced", 3, &neither)).1.len(), 3, "nor is that a donor is missing");
    }

    #[test]
    fn every_replica_is_told_also_those_that_do_not_answer() {
        let cluster = cluster(&["db-0", "db-1", "db-2"], None);
        let good = Member { ready: true, state: "Synced".to_owned(), last_committed: 7, ..Member::default() };
        let members = [("db-0".to_owned(), Ok(good)), ("db-1".to_owned(), Err("connection refused".to_owned()))];
        let report = report(&cluster, &members);
        let said: Vec<_> =
            report.replicas.iter().map(|of| (of.member.as_ref().map(|of| of.seqno), of.no_answer.as_deref())).collect();
        assert_eq!(said, [(Some(7), None), (None, Some("connection refused")), (None, Some("it has no address"))]);
        assert!(report.findings.contains(&"db-1 does not answer SQL (connection refused)".to_owned()), "{report:?}");
    }
}
