//! Replicas that fell out of the group while they joined it, and do not come back by themselves.
//!
//! Under load, or over a bad network, a server can be put out of the group just when it has got its data.
//! It then stays up, disconnected for good, and no waiting helps; not every StatefulSet has a probe that
//! ends such a server. It is started again, as a person would.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use super::course::Course;
use super::phase3_start::{all, ask};
use crate::model::event::Phase;
use crate::patience::patiently;

/// How often it is looked for them.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a server may be disconnected: while it starts, it is so for a moment.
const DISCONNECTED_FOR: Duration = Duration::from_secs(30);

/// What a server calls itself that has closed its connection to the group.
const DISCONNECTED: &str = "Disconnected";

/// Starts every such replica again, for as long as it is polled.
pub(super) async fn restart(course: &Course<'_>) -> Infallible {
    let (conductor, workload) = (course.ports.conductor, course.ports.workload);
    let mut since = BTreeMap::new();
    loop {
        conductor.clock.sleep(LOOK_EVERY).await;
        for replica in all(course) {
            let said = ask(course, &replica).await;
            if !said.is_ok_and(|said| said.is_ok_and(|member| member.cluster_status == DISCONNECTED)) {
                since.remove(&replica.pod);
                continue;
            }
            let now = conductor.clock.elapsed();
            let first = *since.entry(replica.pod.clone()).or_insert(now);
            if now.saturating_sub(first) < DISCONNECTED_FOR {
                continue;
            }
            since.remove(&replica.pod);
            course.step(Phase::Start, format!("{} has left the group; starting it again", replica.pod));
            if let Err(error) = patiently(conductor, || workload.end_pod(&replica.pod)).await {
                tracing::debug!(pod = replica.pod, %error, "a replica that left the group cannot be started again");
            }
        }
    }
}
