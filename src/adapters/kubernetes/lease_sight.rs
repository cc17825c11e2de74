//! A look at a cluster's Lease by somebody who does not want it.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;

use super::error::port_error;
use crate::ports::PortError;

/// Who holds a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSight {
    /// The run: the name of its Job.
    pub run: String,
    /// When it took it.
    pub since: Option<Timestamp>,
    /// When it last renewed it; clocks may disagree by a little.
    pub renewed: Option<Timestamp>,
}

/// Looks at the Lease of that name; `None` when nobody holds it.
pub async fn look(client: Client, namespace: &str, name: &str) -> Result<Option<LeaseSight>, PortError> {
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    let what = format!("cannot read Lease {namespace}/{name}");
    let found = leases.get_opt(name).await.map_err(|error| port_error(what, error))?;
    let Some(spec) = found.and_then(|lease| lease.spec) else { return Ok(None) };
    Ok(spec.holder_identity.filter(|holder| !holder.is_empty()).map(|holder| LeaseSight {
        // The holder is a Job and its pod's UID; people know the Job.
        run: holder.split_once('/').map_or(holder.as_str(), |(job, _)| job).to_owned(),
        since: spec.acquire_time.map(|time| time.0),
        renewed: spec.renew_time.map(|time| time.0),
    }))
}
