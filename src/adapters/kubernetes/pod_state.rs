//! What a pod's status says about one of its containers, as a judgement without effects.
//!
//! Kubernetes spreads the answer over the phase, conditions and several lists; this file is the one
//! place that knows how to read them. A pod's phase is used only where there is nothing better.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};

/// How far a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It does not run yet; waiting may help.
    Waiting(String),
    /// It does not run yet and most likely never will.
    Stuck(String),
    /// The pod is over and the container never ran.
    NeverRan(String),
    /// It runs.
    Running,
    /// It ran and ended.
    Ended(End),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Its termination message.
    pub(crate) last_word: Option<String>,
    /// Exit code, signal, OOM kill, lost pod: a phrase.
    pub(crate) how: String,
}

/// Reasons of a waiting container that time alone does not cure.
const STUCK: [&str; 9] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Judges one container of a pod.
pub(crate) fn stage(pod: &Pod, container: &str) -> Stage {
    let Some(status) = &pod.status else { return Stage::Waiting("the pod has no status yet".to_owned()) };
    let own = status.container_statuses.iter().flatten().find(|status| status.name == container);
    match own.and_then(|own| own.state.as_ref()) {
        Some(ContainerState { terminated: Some(ended), .. }) => return Stage::Ended(end(pod, ended)),
        // A pod whose node is lost or that was evicted can be over with its container still "running".
        Some(ContainerState { running: Some(_), .. }) if is_over(pod) => {
            return Stage::Ended(End { last_word: None, how: pod_reason(pod) });
        }
        Some(ContainerState { running: Some(_), .. }) => return Stage::Running,
        _ => {}
    }
    if let Some(failed) = status.init_container_statuses.iter().flatten().find_map(failed_init) {
        return Stage::NeverRan(failed);
    }
    if is_over(pod) {
        return Stage::NeverRan(pod_reason(pod));
    }
    let mut all = status.init_container_statuses.iter().flatten().chain(own);
    all.find_map(waiting).unwrap_or_else(|| Stage::Waiting(unscheduled(pod)))
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Why the pod as a whole is over, such as `Evicted: the node was low on resource: memory`.
fn pod_reason(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return "the pod is over".to_owned() };
    match (&status.reason, &status.message) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(reason), None) => reason.clone(),
        (None, Some(message)) => message.clone(),
        (None, None) => format!("the pod is {}", status.phase.as_deref().unwrap_or("over")),
    }
}

fn failed_init(status: &ContainerStatus) -> Option<String> {
    let ended = status.state.as_ref()?.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let message = ended.message.as_deref().map(|text| format!(": {}", text.trim())).unwrap_or_default();
    Some(format!("init container {} ended with {}{message}", status.name, exit_phrase(ended)))
}

fn waiting(status: &ContainerStatus) -> Option<Stage> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone().unwrap_or_default();
    // These two only say that another container, or the node, is busy with the pod.
    if reason == "PodInitializing" || reason == "ContainerCreating" {
        return Some(Stage::Waiting(format!("container {} is being created", status.name)))
            .filter(|_| reason == "ContainerCreating");
    }
    let message = waiting.message.as_deref().map(|text| format!(": {}", text.trim())).unwrap_or_default();
    let text = format!("container {}: {reason}{message}", status.name);
    Some(if STUCK.contains(&reason.as_str()) { Stage::Stuck(text) } else { Stage::Waiting(text) })
}

fn unscheduled(pod: &Pod) -> String {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let refused = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| {
            let reason = condition.reason.as_deref().unwrap_or("not scheduled");
            let message = condition.message.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            format!("{reason}{message}")
        });
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    refused.unwrap_or_else(|| match node {
        Some(node) => format!("node {node} has not started it yet"),
        None => "it has no node yet".to_owned(),
    })
}

fn end(pod: &Pod, ended: &ContainerStateTerminated) -> End {
    let last_word = ended.message.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let reason = match ended.reason.as_deref() {
        None | Some("Error" | "Completed") => String::new(),
        Some("OOMKilled") => " (OOMKilled: it used more memory than its limit)".to_owned(),
        Some(reason) => format!(" ({reason})"),
    };
    // What happened to the pod explains the signal its container got.
    let pod_reason = match pod.status.as_ref().and_then(|status| status.reason.as_ref()) {
        Some(_) => format!("; pod {}", pod_reason(pod)),
        None => String::new(),
    };
    End { last_word, how: format!("{}{reason}{pod_reason}", exit_phrase(ended)) }
}

fn exit_phrase(ended: &ContainerStateTerminated) -> String {
    match ended.exit_code {
        137 => "exit code 137 (SIGKILL)".to_owned(),
        143 => "exit code 143 (SIGTERM)".to_owned(),
        code => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: &serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"spec": {"containers": []}, "status": status})).unwrap()
    }

    fn judged(status: &serde_json::Value) -> Stage {
        stage(&pod(status), "agent")
    }

    #[test]
    fn a_pod_without_a_node_waits_and_says_why() {
        let refused = serde_json::json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]});
        assert_eq!(judged(&refused), Stage::Waiting("Unschedulable: 0/3 nodes are available".to_owned()));
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_stuck_also_in_an_init_container() {
        let status = serde_json::json!({"phase": "Pending",
            "initContainerStatuses": [{"name": "copy", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}}}],
            "containerStatuses": [{"name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "PodInitializing"}}}]});
        let text = "container copy: ImagePullBackOff: Back-off pulling image \"x\"";
        assert_eq!(judged(&status), Stage::Stuck(text.to_owned()));
    }

    #[test]
    fn a_failed_init_container_means_that_the_agent_never_ran() {
        let status = serde_json::json!({"phase": "Failed",
            "initContainerStatuses": [{"name": "copy", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 1, "message": "no space\n"}}}],
            "containerStatuses": [{"name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "PodInitializing"}}}]});
        let text = "init container copy ended with exit code 1: no space";
        assert_eq!(judged(&status), Stage::NeverRan(text.to_owned()));
    }

    #[test]
    fn an_end_keeps_the_last_word_and_says_how() {
        let ended = |exit_code: i32, reason: &str, message: &str| {
            serde_json::json!({"phase": "Failed", "containerStatuses": [{"name": "agent", "image": "", "imageID": "",
                "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}}]})
        };
        assert_eq!(
            judged(&ended(0, "Completed", "{}\n")),
            Stage::Ended(End { last_word: Some("{}".to_owned()), how: "exit code 0".to_owned() })
        );
        assert_eq!(
            judged(&ended(137, "OOMKilled", "")),
            Stage::Ended(End {
                last_word: None,
                how: "exit code 137 (SIGKILL) (OOMKilled: it used more memory than its limit)".to_owned()
            })
        );
    }

    #[test]
    fn an_evicted_pod_is_over_even_where_its_container_seems_to_run() {
        let status = serde_json::json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory",
            "containerStatuses": [{"name": "agent", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {}}}]});
        let how = "Evicted: The node was low on memory".to_owned();
        assert_eq!(judged(&status), Stage::Ended(End { last_word: None, how: how.clone() }));
        let refused =
            serde_json::json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"});
        assert_eq!(judged(&refused), Stage::NeverRan(how));
    }
}
