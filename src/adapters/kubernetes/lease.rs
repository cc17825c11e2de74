//! The cluster's Lease: one run at a time, for backup and restore alike.
//!
//! Clocks of different nodes are not compared: a Lease that somebody holds counts as alive when it is
//! seen to be renewed, and as dead when a whole term passes without that. A holder that cannot renew
//! for a term has lost it, and says so before anybody else can take it over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::error::port_error;
use crate::ports::conductor::Lease;
use crate::ports::{PortError, Reason};

/// How long a Lease is good without being renewed.
const TERM: Duration = Duration::from_secs(15);

/// How often it is renewed: three times within its term.
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// How often a Lease held by another is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long before the term's end a holder that could not renew gives up.
const SAFETY: Duration = Duration::from_secs(2);

/// How long giving it back may wait for one answer; it ends by itself a term later.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// A Lease that is ours and is being renewed.
pub struct HeldLease {
    leases: Api<LeaseObject>,
    name: String,
    holder: String,
    renewing: JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

/// Takes the Lease of that name for `holder`.
///
/// # Errors
/// [`Reason::Conflict`] names the holder that was seen to renew it.
pub async fn take(client: Client, namespace: &str, name: &str, holder: &str) -> Result<HeldLease, PortError> {
    let leases: Api<LeaseObject> = Api::namespaced(client, namespace);
    let taking = Taking { leases: leases.clone(), namespace, name, holder };
    taking.take().await?;
    let (lost_sender, lost) = watch::channel(false);
    let renewing = tokio::spawn(keep(leases.clone(), name.to_owned(), holder.to_owned(), Arc::new(lost_sender)));
    Ok(HeldLease { leases, name: name.to_owned(), holder: holder.to_owned(), renewing, lost })
}

struct Taking<'a> {
    leases: Api<LeaseObject>,
    namespace: &'a str,
    name: &'a str,
    holder: &'a str,
}

impl Taking<'_> {
    fn failed(&self, error: kube::Error) -> PortError {
        port_error(format!("cannot take Lease {}/{}", self.namespace, self.name), error)
    }

    async fn take(&self) -> Result<(), PortError> {
        let mut seen: Option<(LeaseObject, Instant)> = None;
        loop {
            let Some(found) = self.leases.get_opt(self.name).await.map_err(|error| self.failed(error))? else {
                match self.leases.create(&PostParams::default(), &self.new_lease()).await {
                    Ok(_) => return Ok(()),
                    Err(error) if is_conflict(&error) => continue,
                    Err(error) => return Err(self.failed(error)),
                }
            };
            let other = holder_of(&found).filter(|other| *other != self.holder).map(str::to_owned);
            let free = match (&other, &seen) {
                (None, _) => true,
                (Some(other), Some((first, since))) => {
                    if renewal_of(first) != renewal_of(&found) {
                        return Err(self.held(other));
                    }
                    since.elapsed() > TERM
                }
                (Some(_), None) => false,
            };
            if free {
                match self.leases.replace(self.name, &PostParams::default(), &renewed(found, self.holder)).await {
                    Ok(_) => return Ok(()),
                    // Somebody else was faster: whoever it is is looked at anew.
                    Err(error) if is_conflict(&error) => seen = None,
                    Err(error) => return Err(self.failed(error)),
                }
            } else {
                seen = seen.or_else(|| Some((found, Instant::now())));
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// The holder is a Job and its pod's UID; people know the Job.
    fn held(&self, other: &str) -> PortError {
        let other = other.split_once('/').map_or(other, |(job, _)| job);
        let what = format!("Lease {}/{} is held by run {other}, which is at work", self.namespace, self.name);
        PortError::new(Reason::Conflict, what)
            .with_hint(format!("kubectl mariadb-backup logs {other} -n {}", self.namespace))
    }

    fn new_lease(&self) -> LeaseObject {
        let metadata = ObjectMeta { name: Some(self.name.to_owned()), ..ObjectMeta::default() };
        renewed(LeaseObject { metadata, spec: None }, self.holder)
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn holder_of(lease: &LeaseObject) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// What changes with every renewal, whoever's clock it was written by.
fn renewal_of(lease: &LeaseObject) -> (Option<&str>, Option<Timestamp>, Option<&str>) {
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    (holder_of(lease), renewed, lease.metadata.resource_version.as_deref())
}

fn renewed(mut lease: LeaseObject, holder: &str) -> LeaseObject {
    let now = MicroTime(Timestamp::now());
    let old = lease.spec.take().unwrap_or_default();
    let ours = old.holder_identity.as_deref() == Some(holder);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(TERM.as_secs()).ok(),
        acquire_time: if ours { old.acquire_time } else { Some(now.clone()) },
        lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!ours)),
        renew_time: Some(now),
        ..LeaseSpec::default()
    });
    lease
}

/// Renews the Lease until it is lost.
async fn keep(leases: Api<LeaseObject>, name: String, holder: String, lost: Arc<watch::Sender<bool>>) {
    let mut good_until = Instant::now() + TERM - SAFETY;
    while Instant::now() < good_until {
        sleep(RENEW_EVERY.min(good_until - Instant::now())).await;
        let asked = Instant::now();
        let left = good_until.saturating_duration_since(asked);
        match timeout(left, renew(&leases, &name, &holder)).await {
            Ok(Ok(true)) => good_until = asked + TERM - SAFETY,
            Ok(Ok(false)) => break,
            Ok(Err(error)) => tracing::warn!(lease = name, %error, "not renewed, trying again"),
            Err(_) => {}
        }
    }
    // Nobody may be listening any more, which is fine.
    lost.send_replace(true);
}

/// Renews once; `false` when somebody else holds it.
async fn renew(leases: &Api<LeaseObject>, name: &str, holder: &str) -> Result<bool, kube::Error> {
    let Some(found) = leases.get_opt(name).await? else { return Ok(false) };
    if holder_of(&found) != Some(holder) {
        return Ok(false);
    }
    leases.replace(name, &PostParams::default(), &renewed(found, holder)).await.map(|_| true)
}

#[async_trait]
impl Lease for HeldLease {
    async fn lost(&self) {
        let mut lost = self.lost.clone();
        // A sender that is gone has ended its loop, which it only does when the Lease is lost.
        let _ended = lost.wait_for(|lost| *lost).await;
    }

    async fn release(&self) -> Result<(), PortError> {
        self.renewing.abort();
        if *self.lost.borrow() {
            return Ok(());
        }
        let found = self.answered(self.leases.get_opt(&self.name)).await?;
        let Some(mut found) = found.filter(|found| holder_of(found) == Some(&self.holder)) else { return Ok(()) };
        if let Some(spec) = &mut found.spec {
            spec.holder_identity = None;
        }
        self.answered(self.leases.replace(&self.name, &PostParams::default(), &found)).await.map(drop)
    }
}

impl HeldLease {
    /// Waits for one answer while the Lease is given back, but not for long.
    async fn answered<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, PortError> {
        let what = || format!("cannot release Lease {}", self.name);
        match timeout(CALL_LIMIT, call).await {
            Ok(answer) => answer.map_err(|error| port_error(what(), error)),
            Err(_) => Err(PortError::new(Reason::TimedOut, what())
                .caused_by(format!("the API server did not answer within {} s", CALL_LIMIT.as_secs()))),
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::super::pod_follow::fake_api::{Answer, client};
    use super::*;

    fn leases(client: Client) -> Api<LeaseObject> {
        Api::namespaced(client, "db")
    }

    fn held(client: Client, lost: bool) -> HeldLease {
        HeldLease {
            leases: leases(client),
            name: "m-backup".to_owned(),
            holder: "job/uid".to_owned(),
            renewing: tokio::spawn(async {}),
            lost: watch::channel(lost).1,
        }
    }

    #[tokio::test]
    async fn giving_a_lease_back_ends_although_nobody_answers() {
        let lease = held(client(|_| Answer::Never), false);
        let released = timeout(CALL_LIMIT + Duration::from_secs(5), lease.release()).await;
        assert_eq!(released.expect("it ends").unwrap_err().reason, Reason::TimedOut);
    }

    #[tokio::test]
    async fn a_lost_lease_is_not_given_back() {
        let lease = held(client(|_| Answer::refused(500, "nobody may be asked")), true);
        assert!(lease.release().await.is_ok());
    }

    #[tokio::test]
    async fn a_holder_is_named_by_its_job() {
        let leases = leases(client(|_| Answer::Never));
        let taking = Taking { leases, namespace: "db", name: "m-backup", holder: "other/uid" };
        let failure = crate::model::outcome::Failure::of(&taking.held("mariadb-phy-backup-x/5b2c7e4c"));
        assert_eq!(failure.message, "Lease db/m-backup is held by run mariadb-phy-backup-x, which is at work");
        assert_eq!(failure.hint.as_deref(), Some("kubectl mariadb-backup logs mariadb-phy-backup-x -n db"));
    }
}
