//! Looking at everything a backup's plan needs. Changes nothing.

use futures::future::join_all;

use super::Observed;
use crate::model::cluster::ClusterView;
use crate::model::galera::Member;
use crate::model::order::ServerAddress;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::ports::conductor::{ConductorPorts, Galera};
use crate::ports::{PortError, Reason};

/// Looks at the cluster, its members, the local store's claim and the catalogue; all servers are asked at once.
///
/// # Errors
/// Kubernetes cannot be asked, or the account is not accepted. A server that does not answer is no
/// error but a finding.
pub async fn observe(settings: &Settings, ports: &ConductorPorts<'_>) -> Result<Observed, PortError> {
    let store =
        if settings.stores.local() { Some(ports.cluster.settled_claim(&settings.store_claim).await?) } else { None };
    let (catalogue, _) = ports.catalogue.read().await?;
    let cluster = ports.cluster.view().await?;
    let members = ask_all(&cluster, ports.galera).await?;
    Ok(Observed { cluster, members, store, catalogue })
}

/// Asks every server for its state, all at once; the error's text where one does not answer.
///
/// # Errors
/// The account is not accepted.
pub async fn ask_all(
    cluster: &ClusterView,
    galera: &dyn Galera,
) -> Result<Vec<(String, Result<Member, String>)>, PortError> {
    let asked = cluster.pods.iter().filter_map(|pod| {
        let server = ServerAddress { host: pod.ip.clone()?, port: cluster.server.port };
        Some(async move { (pod.name.clone(), galera.member(&server).await) })
    });
    let mut members = Vec::new();
    for (pod, answer) in join_all(asked).await {
        let member = match answer {
            // A wrong password is the same for every replica, and no verdict about any of them.
            Err(error) if error.reason == Reason::Credentials => return Err(error),
            Err(error) => Err(Failure::of(&error).causes.pop().unwrap_or_else(|| error.to_string())),
            Ok(member) => Ok(member),
        };
        members.push((pod, member));
    }
    Ok(members)
}
