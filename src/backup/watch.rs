//! How the cluster sees the desynced replica: each change is told once, and the copy of a primary is
//! held back until traffic has left it.
//!
//! Nothing here can fail a backup: a pod that stays Ready while desynced is no error, and traffic
//! that does not leave in time is a warning.

use std::convert::Infallible;
use std::time::Duration;

use super::BackupPlan;
use crate::model::event::{EventKind, Phase};
use crate::model::names::PRIMARY_ROLES;
use crate::model::outcome::in_full;
use crate::ports::conductor::{ConductorPorts, Gate, Sight};

/// How long the first look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Looks at the replica before it is desynced; `None` when that cannot be seen now.
pub(super) async fn first(pod: &str, ports: &ConductorPorts<'_>) -> Option<Sight> {
    tokio::select! {
        biased;
        sight = ports.cluster.next_sight(pod, None) => sight.ok(),
        () = ports.clock.sleep(LOOK_LIMIT) => None,
    }
}

/// Tells every change, and lets the runner copy once traffic has left. Never ends by itself.
pub(super) async fn target(
    plan: &BackupPlan,
    mut last: Option<Sight>,
    gate: &mut dyn Gate,
    ports: &ConductorPorts<'_>,
) -> Infallible {
    let pod = &plan.target.pod;
    if let Some(limit) = plan.drain {
        tokio::select! {
            biased;
            () = until_left(pod, &mut last, ports) => {}
            () = ports.clock.sleep(limit) => {
                let message = format!("traffic has not left {pod} within {} s; it is copied all the same", limit.as_secs());
                ports.events.send(Phase::Copy, EventKind::Warned { message });
            }
        }
        if let Err(error) = gate.drained().await {
            // The runner goes by a limit of its own.
            ports.events.send(Phase::Copy, EventKind::Warned { message: in_full(&error) });
        }
    }
    while see(pod, &mut last, ports).await.is_some() {}
    std::future::pending().await
}

/// Returns when the replica is no primary any more, or no Service sends to it, or nothing can be seen.
async fn until_left(pod: &str, last: &mut Option<Sight>, ports: &ConductorPorts<'_>) {
    while let Some(left) = see(pod, last, ports).await {
        if left {
            ports.events.step(Phase::Copy, format!("traffic has left {pod}"));
            return;
        }
    }
}

/// Waits for the next change, tells it, and says whether traffic has left; `None` when nothing can be seen.
async fn see(pod: &str, last: &mut Option<Sight>, ports: &ConductorPorts<'_>) -> Option<bool> {
    match ports.cluster.next_sight(pod, last.as_ref()).await {
        Ok(sight) => {
            for change in last.iter().flat_map(|before| changes(pod, before, &sight)) {
                ports.events.step(Phase::Copy, change);
            }
            let left = has_left(&sight);
            *last = Some(sight);
            Some(left)
        }
        Err(error) => {
            let message = format!("how the cluster sees {pod} is not told any more: {}", in_full(&error));
            ports.events.send(Phase::Copy, EventKind::Warned { message });
            None
        }
    }
}

fn has_left(sight: &Sight) -> bool {
    let is_primary = sight.role.as_deref().is_some_and(|role| PRIMARY_ROLES.contains(&role));
    !is_primary || sight.services.is_empty()
}

/// Says what differs between two sights, in sentences.
fn changes(pod: &str, before: &Sight, after: &Sight) -> Vec<String> {
    let mut said = Vec::new();
    match (before.ready, after.ready) {
        (true, false) => said.push(format!("{pod} is not Ready any more, as is usual for a desynced replica")),
        (false, true) => said.push(format!("{pod} is Ready again")),
        _ => {}
    }
    if before.role != after.role {
        let word = |role: &Option<String>| role.clone().unwrap_or_else(|| "<none>".to_owned());
        said.push(format!("the role label of {pod} went from {} to {}", word(&before.role), word(&after.role)));
    }
    let without = |of: &Sight, other: &Sight| -> Vec<String> {
        of.services.iter().filter(|name| !other.services.contains(name)).cloned().collect()
    };
    let (gone, come) = (without(before, after), without(after, before));
    if !gone.is_empty() {
        said.push(format!("no traffic is sent to {pod} any more by {}", services(&gone)));
    }
    if !come.is_empty() {
        said.push(format!("traffic is sent to {pod} again by {}", services(&come)));
    }
    said
}

fn services(names: &[String]) -> String {
    let word = if names.len() == 1 { "Service" } else { "Services" };
    format!("{word} {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(ready: bool, role: &str, services: &[&str]) -> Sight {
        Sight {
            ready,
            role: Some(role.to_owned()).filter(|role| !role.is_empty()),
            services: services.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn each_change_is_told_in_a_sentence_of_its_own() {
        let before = sight(true, "primary", &["db", "db-primary"]);
        assert_eq!(
            changes("db-2", &before, &sight(false, "backup", &["db"])),
            [
                "db-2 is not Ready any more, as is usual for a desynced replica",
                "the role label of db-2 went from primary to backup",
                "no traffic is sent to db-2 any more by Service db-primary",
            ]
        );
        assert_eq!(changes("db-2", &before, &before), [""; 0]);
    }

    #[test]
    fn traffic_has_left_when_the_role_moved_or_no_service_sends() {
        assert!(!has_left(&sight(false, "master", &["db"])));
        assert!(has_left(&sight(true, "backup", &["db"])));
        assert!(has_left(&sight(true, "", &["db"])));
        assert!(has_left(&sight(true, "primary", &[])));
    }
}
