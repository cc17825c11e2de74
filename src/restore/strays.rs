//! Replicas that fell out of the group while they joined it, and do not come back by themselves.
//!
//! Under load, or over a bad network, a server can be put out of the group just when it has got its data.
//! It then stays up, disconnected for good, and no waiting helps; not every StatefulSet has a probe that
//! ends such a server. It is started again, as a person would.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use super::phase3_start::ask;
use crate::model::event::Phase;
use crate::model::galera::Member;
use crate::model::workload::Replica;
use crate::patience::patiently;
use crate::ports::restore::RestorePorts;

/// How often it is looked for them.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a server may be disconnected: while it starts, it is so for a moment.
const DISCONNECTED_FOR: Duration = Duration::from_secs(30);

/// How often one is started again: whoever falls out more often has a trouble that this does not cure.
const MOST_RESTARTS: u32 = 3;

/// What a server calls itself that has closed its connection to the group.
const DISCONNECTED: &str = "Disconnected";

/// Starts every such replica again, for as long as it is polled.
pub(super) async fn restart(ports: RestorePorts<'_>, replicas: Vec<Replica>) -> Infallible {
    let conductor = ports.conductor;
    let mut since = BTreeMap::new();
    let mut restarts: BTreeMap<&str, u32> = BTreeMap::new();
    loop {
        conductor.clock.sleep(LOOK_EVERY).await;
        for replica in &replicas {
            let pod = replica.pod.as_str();
            let said = ask(ports, replica).await;
            if !said.is_ok_and(|said| said.is_ok_and(|member| is_out(&member))) {
                since.remove(pod);
                continue;
            }
            let now = conductor.clock.elapsed();
            let waited = now.saturating_sub(*since.entry(pod).or_insert(now));
            let tried = restarts.entry(pod).or_default();
            if waited < DISCONNECTED_FOR || *tried >= MOST_RESTARTS {
                continue;
            }
            *tried += 1;
            since.remove(pod);
            conductor.events.step(Phase::Start, format!("{pod} has left the group; starting it again"));
            if let Err(error) = patiently(conductor, || ports.workload.end_pod(pod)).await {
                tracing::debug!(pod, %error, "a replica that left the group cannot be started again");
            }
        }
    }
}

fn is_out(member: &Member) -> bool {
    !member.connected && member.cluster_status == DISCONNECTED
}
