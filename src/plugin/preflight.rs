//! What is worth checking before a run is ordered.
//!
//! Only what is cheap and certain is checked here, so that a person learns of a missing Secret in a
//! second and not from a pod that never starts. Everything else is the conductor's.

use super::connect::Session;
use super::overrides;
use crate::adapters::kubernetes::preflight::{ClaimAnswer, Preflight};
use crate::exit_code::ExitCode;
use crate::model::names::{CONDUCTOR_ACCOUNT, RUNNER_ACCOUNT};
use crate::model::order::{DrillRequest, Order, RestoreRequest, StoreName, Task, VerifyRequest};
use crate::model::outcome::Failure;
use crate::model::settings::Settings;

/// Settings that name what has to be there, of those that an order may have of its own.
const NAMED: [&str; 3] = ["MARIADB_BACKUP_PVC", "MARIADB_BACKUP_OPERATOR_SECRET", "MARIADB_BACKUP_SECRET"];

/// Refuses an order that cannot be carried out.
pub(crate) async fn check(session: &Session, order: &Order, settings: &Settings) -> Result<(), Failure> {
    let connection = session.connection()?;
    let look = Look {
        session,
        namespace: &connection.target.namespace,
        server: Preflight::new(connection.client.clone(), &connection.target.namespace),
        setup: session.command(&format!("setup {}{}", order.statefulset, flags(order))),
    };
    let stores = stores(&order.task, settings).map_err(|failure| match failure.hint {
        None => failure.with_hint(format!("to turn both on: {} --store both --s3-bucket NAME", look.setup)),
        Some(_) => failure,
    })?;
    if stores.contains(&StoreName::Local) {
        look.claim(settings).await?;
    }
    if stores.contains(&StoreName::S3) {
        look.s3(settings).await?;
    }
    look.database_account(&settings.operator_secret).await?;
    if matches!(order.task, Task::Backup(_) | Task::Restore(_)) {
        look.database_account(&settings.backup_secret).await?;
    }
    for name in [CONDUCTOR_ACCOUNT, RUNNER_ACCOUNT] {
        if look.server.has_account(name).await.map_err(|error| session.failure(&error))? == Some(false) {
            let what = format!("there is no ServiceAccount {}/{name}", look.namespace);
            return Err(Failure::new(ExitCode::Refused, what).with_hint(format!("to make it: {}", look.setup)));
        }
    }
    Ok(())
}

/// The flags of setup that name what this order alone names: without them it would make something else.
fn flags(order: &Order) -> String {
    let named = order.settings.iter().filter(|(key, _)| NAMED.contains(&key.as_str()));
    overrides::as_flags(&named.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The stores that a task works on.
fn stores(task: &Task, settings: &Settings) -> Result<Vec<StoreName>, Failure> {
    let is_used = |store: &StoreName| settings.stores.uses(*store);
    let used: Vec<StoreName> = [StoreName::Local, StoreName::S3].into_iter().filter(is_used).collect();
    let unused = |what: String| Err(Failure::new(ExitCode::NotFound, what));
    match task {
        Task::Recover(_) | Task::Status(_) => Ok(vec![]),
        Task::Verify(VerifyRequest { store, .. })
        | Task::Drill(DrillRequest { store, .. })
        | Task::Restore(RestoreRequest { store, .. }) => match *store {
            Some(store) if !used.contains(&store) => {
                unused(format!("store {} is not used by this cluster (setting MARIADB_BACKUP_STORE)", store.word()))
            }
            Some(store) => Ok(vec![store]),
            None => Ok(used),
        },
        Task::Sync(_) if used.len() < 2 => {
            unused("sync needs two stores, and this cluster uses one (setting MARIADB_BACKUP_STORE)".to_owned())
        }
        Task::Sync(_) | Task::Backup(_) | Task::Delete(_) | Task::Prune(_) | Task::Inventory(_) => Ok(used),
    }
}

/// One look around in the cluster's namespace.
struct Look<'a> {
    session: &'a Session,
    namespace: &'a str,
    server: Preflight,
    /// The command that makes what is missing.
    setup: String,
}

impl Look<'_> {
    async fn claim(&self, settings: &Settings) -> Result<(), Failure> {
        let claim = self.server.claim(&settings.store_claim).await.map_err(|error| self.session.failure(&error))?;
        let name = format!("{}/{}", self.namespace, settings.store_claim);
        judge_claim(claim, &name, || self.setup.clone()).map_err(|failure| self.session.reachable(failure))
    }

    async fn s3(&self, settings: &Settings) -> Result<(), Failure> {
        let failed = |error| self.session.failure(&error);
        if settings.s3.bucket.is_empty() {
            return Err(Failure::new(ExitCode::Refused, "S3 is used, but no bucket is set (MARIADB_BACKUP_S3_BUCKET)")
                .with_hint(format!("{} --s3-bucket NAME", self.setup)));
        }
        if let Some(name) = &settings.s3.secret
            && self.server.has_secret(name).await.map_err(failed)? == Some(false)
        {
            let what = format!("there is no Secret {}/{name}", self.namespace);
            return Err(Failure::new(ExitCode::Credentials, what)
                .with_cause("it has to hold AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3")
                .with_hint(format!("to see the command that makes it: {}", self.setup)));
        }
        if let Some(name) = &settings.s3.ca_config_map
            && self.server.has_config_map(name).await.map_err(failed)? == Some(false)
        {
            let what = format!("there is no ConfigMap {}/{name}", self.namespace);
            let make = format!("kubectl create configmap {name} -n {} --from-file=ca.crt=FILE", self.namespace);
            let failure = Failure::new(ExitCode::Refused, what)
                .with_cause("it has to hold the authority of the S3 server's certificate, in ca.crt")
                .with_hint(make);
            return Err(self.session.reachable(failure));
        }
        Ok(())
    }

    async fn database_account(&self, secret: &str) -> Result<(), Failure> {
        if self.server.has_secret(secret).await.map_err(|error| self.session.failure(&error))? != Some(false) {
            return Ok(());
        }
        Err(Failure::new(ExitCode::Credentials, format!("there is no Secret {}/{secret}", self.namespace))
            .with_cause("it has to hold username and password of a database account")
            .with_hint(format!("to see the statements and the command that make it: {}", self.setup)))
    }
}

/// Judges the store's claim.
fn judge_claim(claim: ClaimAnswer, name: &str, setup: impl Fn() -> String) -> Result<(), Failure> {
    let claim = match claim {
        ClaimAnswer::Unknown => return Ok(()),
        ClaimAnswer::There(claim) => claim,
        ClaimAnswer::Missing => {
            let what = format!("there is no PersistentVolumeClaim {name} to store backups in");
            return Err(Failure::new(ExitCode::NotFound, what).with_hint(format!("to make it: {}", setup())));
        }
    };
    // A claim that waits for its first pod gets its volume from the run itself; for one that was only just
    // made the run waits.
    let may_come = claim.waits_for_consumer != Some(false) || claim.is_new;
    if claim.phase == "Bound" || (claim.phase == "Pending" && may_come) {
        return Ok(());
    }
    let failure = Failure::new(ExitCode::Refused, format!("PersistentVolumeClaim {name} is {}", claim.phase));
    let (namespace, claim_name) = name.split_once('/').unwrap_or(("default", name));
    let hint = format!("kubectl describe persistentvolumeclaim {claim_name} -n {namespace}");
    let cause = claim.newest_event.unwrap_or_else(|| "it has no volume, and says no reason".to_owned());
    Err(failure.with_cause(cause).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::adapters::kubernetes::preflight::ClaimSight;
    use crate::model::order::StatusRequest;
    use crate::plugin::order::order;

    #[test]
    fn setup_is_told_the_names_that_an_order_has_of_its_own_and_nothing_else_of_it() {
        let given =
            [("MARIADB_BACKUP_PVC", "other"), ("MARIADB_BACKUP_SECRET", "account"), ("MARIADB_BACKUPS_TO_KEEP", "3")];
        let settings: BTreeMap<_, _> = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let named = flags(&order("db", Task::Status(StatusRequest {}), settings));
        assert_eq!(named, " --store-claim other --backup-secret account");
    }

    fn judged(phase: &str, waits_for_consumer: Option<bool>) -> Result<(), Failure> {
        judged_when(phase, waits_for_consumer, false)
    }

    fn judged_when(phase: &str, waits_for_consumer: Option<bool>, is_new: bool) -> Result<(), Failure> {
        let newest_event = Some("ProvisioningFailed: no such class".to_owned());
        let sight = ClaimSight { phase: phase.to_owned(), waits_for_consumer, is_new, newest_event };
        judge_claim(ClaimAnswer::There(sight), "db/store", String::new)
    }

    #[test]
    fn a_claim_that_will_never_be_bound_is_refused_with_its_event() {
        let failure = judged("Pending", Some(false)).unwrap_err();
        assert_eq!(
            (failure.code, failure.causes[0].as_str()),
            (ExitCode::Refused, "ProvisioningFailed: no such class")
        );
        assert!(judged("Lost", Some(true)).is_err());
    }

    #[test]
    fn a_claim_that_waits_for_its_first_pod_is_fine() {
        for (phase, waits) in [("Bound", None), ("Pending", Some(true)), ("Pending", None)] {
            assert_eq!(judged(phase, waits), Ok(()), "{phase} {waits:?}");
        }
        assert_eq!(judge_claim(ClaimAnswer::Unknown, "db/store", String::new), Ok(()));
    }

    #[test]
    fn a_claim_that_was_only_just_made_is_left_to_the_run_which_waits_for_it() {
        assert_eq!(judged_when("Pending", Some(false), true), Ok(()));
        assert!(judged_when("Lost", Some(false), true).is_err());
    }

    #[test]
    fn a_missing_claim_names_the_command_that_makes_it() {
        let failure = judge_claim(ClaimAnswer::Missing, "db/store", || "setup-command".to_owned()).unwrap_err();
        assert_eq!((failure.code, failure.hint.as_deref()), (ExitCode::NotFound, Some("to make it: setup-command")));
    }
}
