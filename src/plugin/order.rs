//! Placing an order: what is worth checking before, and the Job.
//!
//! Only what is cheap and certain is checked here, so that a person learns of a missing Secret in a
//! second and not from a pod that never starts. Everything else is the conductor's.

use k8s_openapi::api::batch::v1::Job;

use super::connect::Session;
use crate::adapters::kubernetes::orders::Orders;
use crate::adapters::kubernetes::preflight::{ClaimAnswer, Preflight};
use crate::exit_code::ExitCode;
use crate::model::names::{CONDUCTOR_ACCOUNT, RUNNER_ACCOUNT};
use crate::model::order::{Order, Task};
use crate::model::outcome::Failure;
use crate::model::settings::Settings;

/// Refuses an order that cannot be carried out.
pub(crate) async fn preflight(session: &Session, order: &Order, settings: &Settings) -> Result<(), Failure> {
    let connection = session.connection()?;
    let namespace = &connection.target.namespace;
    let preflight = Preflight::new(connection.client.clone(), namespace);
    let failed = |error| session.failure(&error);
    let setup = || session.command(&format!("setup {}", order.statefulset));
    let claim = preflight.claim(&settings.store_claim).await.map_err(failed)?;
    judge_claim(claim, &format!("{namespace}/{}", settings.store_claim), setup)?;
    let needs_backup_account = matches!(order.task, Task::Backup(_));
    let secrets = [(true, &settings.operator_secret), (needs_backup_account, &settings.backup_secret)];
    for (_, name) in secrets.into_iter().filter(|(needed, _)| *needed) {
        if preflight.has_secret(name).await.map_err(failed)? == Some(false) {
            return Err(Failure::new(ExitCode::Credentials, format!("there is no Secret {namespace}/{name}"))
                .with_cause("it has to hold username and password of a database account")
                .with_hint(format!("{} prints the statements and the command that make it", setup())));
        }
    }
    for name in [CONDUCTOR_ACCOUNT, RUNNER_ACCOUNT] {
        if preflight.has_account(name).await.map_err(failed)? == Some(false) {
            return Err(Failure::new(ExitCode::Refused, format!("there is no ServiceAccount {namespace}/{name}"))
                .with_hint(format!("{} makes it", setup())));
        }
    }
    Ok(())
}

/// Judges the store's claim.
fn judge_claim(claim: ClaimAnswer, name: &str, setup: impl Fn() -> String) -> Result<(), Failure> {
    let claim = match claim {
        ClaimAnswer::Unknown => return Ok(()),
        ClaimAnswer::There(claim) => claim,
        ClaimAnswer::Missing => {
            let what = format!("there is no PersistentVolumeClaim {name} to store backups in");
            return Err(Failure::new(ExitCode::NotFound, what).with_hint(format!("{} makes it", setup())));
        }
    };
    // A claim that waits for its first pod gets its volume from the run itself.
    if claim.phase == "Bound" || (claim.phase == "Pending" && claim.waits_for_consumer != Some(false)) {
        return Ok(());
    }
    let failure = Failure::new(ExitCode::Refused, format!("PersistentVolumeClaim {name} is {}", claim.phase));
    let (namespace, claim_name) = name.split_once('/').unwrap_or(("default", name));
    let hint = format!("kubectl describe persistentvolumeclaim {claim_name} -n {namespace}");
    let cause = claim.newest_event.unwrap_or_else(|| "it has no volume, and says no reason".to_owned());
    Err(failure.with_cause(cause).with_hint(hint))
}

/// Creates the Job, or only has the server check it.
pub(crate) async fn place(session: &Session, job: &Job, dry_run: bool) -> Result<Job, Failure> {
    let connection = session.connection()?;
    let orders = Orders::new(connection.client.clone(), &connection.target.namespace);
    orders.create(job, dry_run).await.map_err(|error| session.failure(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kubernetes::preflight::ClaimSight;

    fn judged(phase: &str, waits_for_consumer: Option<bool>) -> Result<(), Failure> {
        let newest_event = Some("ProvisioningFailed: no such class".to_owned());
        let sight = ClaimSight { phase: phase.to_owned(), waits_for_consumer, newest_event };
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
    fn a_missing_claim_names_the_command_that_makes_it() {
        let failure = judge_claim(ClaimAnswer::Missing, "db/store", || "setup-command".to_owned()).unwrap_err();
        assert_eq!((failure.code, failure.hint.as_deref()), (ExitCode::NotFound, Some("setup-command makes it")));
    }
}
