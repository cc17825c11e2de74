//! One run on the ground, seen from outside: its Job, its pods, what they say, and how to end them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::ground::{Cluster, Ran, Started, ground, run, until};

/// A run that was ordered and is followed by the plugin.
pub(crate) struct Run<'a> {
    cluster: &'a Cluster,
    plugin: Started,
    /// Its Job.
    pub(crate) job: String,
}

/// Which of a run's two processes is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Conductor,
    Runner,
    Both,
}

/// Signals the ground can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Kill,
    Term,
    Stop,
    Continue,
}

impl Signal {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Term => "TERM",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

impl<'a> Run<'a> {
    /// Orders a run and returns as soon as its Job is there.
    #[track_caller]
    pub(crate) fn order(cluster: &'a Cluster, arguments: &[&str]) -> Self {
        let before = jobs(cluster);
        let plugin = cluster.start_plugin(arguments);
        let job = until("the Job is ordered", || jobs(cluster).difference(&before).next().cloned());
        Self { cluster, plugin, job }
    }

    /// Follows another Job of the same command from now on: that of the restore, after that of its plan.
    pub(crate) fn with_job(self, job: String) -> Self {
        Self { job, ..self }
    }

    /// The conductor's pod, once it runs.
    #[track_caller]
    pub(crate) fn conductor(&self) -> String {
        until("the conductor runs", || {
            let pods = self.pods(&format!("batch.kubernetes.io/job-name={}", self.job));
            pods.iter().find(|pod| pod["status"]["phase"] == "Running").map(name_of)
        })
    }

    /// The pod of the runner with that task (`copy`, `check`, `keep`), once there is one.
    #[track_caller]
    pub(crate) fn runner(&self, task: &str) -> String {
        until(&format!("a runner does {task}"), || self.runner_now(task))
    }

    /// The same, or `None` while there is none.
    pub(crate) fn runner_now(&self, task: &str) -> Option<String> {
        let pods = self.pods("app.kubernetes.io/component=runner");
        let mine = pods.iter().filter(|pod| name_of(pod).starts_with(&self.job));
        mine.filter(|pod| task_of(pod).as_deref() == Some(task)).map(name_of).next_back()
    }

    /// The runner of a restore that does that to a volume (`switch`, `empty`), once there is one.
    #[track_caller]
    pub(crate) fn refiller(&self, act: &str) -> String {
        let begins = format!("{}-{act}-", self.job);
        until(&format!("a runner does {act}"), || {
            let pods = self.pods("app.kubernetes.io/component=runner");
            pods.iter().map(name_of).find(|name| name.starts_with(&begins))
        })
    }

    fn pods(&self, selector: &str) -> Vec<Value> {
        let list = run("kubectl", &["get", "pods", "-n", &self.cluster.namespace, "-l", selector, "-o", "json"]);
        let list: Value = serde_json::from_str(&list.stdout).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until that pod has reported something.
    #[track_caller]
    pub(crate) fn until_reported(&self, pod: &str, what: &str, is_it: impl Fn(&Value) -> bool) {
        until(what, || events(self.cluster, pod).iter().any(&is_it).then_some(()));
    }

    /// Waits until the copy is going on, and returns the runner.
    #[track_caller]
    pub(crate) fn copying(&self) -> String {
        let runner = self.runner("copy");
        self.data_is_read_only(&runner);
        self.until_reported(&runner, "bytes are copied", |event| event["doneBytes"].as_u64() > Some(0));
        runner
    }

    /// No runner of a backup may ever write where a server keeps its data.
    #[track_caller]
    fn data_is_read_only(&self, runner: &str) {
        let pod = self.cluster.kubectl_json(&["get", "pod", runner]);
        let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap().clone();
        let data = mounts.iter().find(|mount| mount["name"] == "data").unwrap();
        assert_eq!(data["readOnly"], true, "{runner} could write the data directory");
    }

    /// Sends a signal to the first process of the pods meant; one that is gone already is no error.
    pub(crate) fn signal(&self, who: Who, runner: &str, signal: Signal) {
        let conductor = self.pods(&format!("batch.kubernetes.io/job-name={}", self.job)).first().map(name_of);
        let both = [(conductor.as_deref(), "conductor", Who::Conductor), (Some(runner), "runner", Who::Runner)];
        for (pod, container, is) in both {
            if let Some(pod) = pod.filter(|_| who == is || who == Who::Both) {
                signal_container(self.cluster, pod, container, signal);
            }
        }
    }

    /// Kills the plugin that follows it.
    pub(crate) fn kill_the_plugin(self) {
        self.plugin.kill();
    }

    /// Waits for the plugin's end, whichever of its Jobs ended it.
    pub(crate) fn end_of_any(self) -> Ran {
        self.plugin.end()
    }

    /// Waits for the plugin's end; what it tells must be what the run's own last word tells.
    #[track_caller]
    pub(crate) fn end(self) -> Ran {
        let Self { cluster, plugin, job } = self;
        let ran = plugin.end();
        told_the_truth(cluster, &job, &ran);
        ran
    }
}

/// Sends a signal to the first process of a container.
pub(crate) fn signal_container(cluster: &Cluster, pod: &str, container: &str, signal: Signal) {
    let arguments = ["fault", "kill-container", "--namespace", &cluster.namespace, "--signal", signal.word()];
    run("ground", &[&arguments[..], &[pod, container]].concat());
}

/// Sends a signal to all processes of a name in a container, at least one.
#[track_caller]
pub(crate) fn signal_process(cluster: &Cluster, pod: &str, container: &str, process: &str, signal: Signal) {
    let arguments = ["fault", "kill-container", "--namespace", &cluster.namespace, "--signal", signal.word()];
    ground(&[&arguments[..], &["--process", process, pod, container]].concat());
}

/// What a pod has reported so far.
pub(crate) fn events(cluster: &Cluster, pod: &str) -> Vec<Value> {
    let log = run("kubectl", &["logs", pod, "-n", &cluster.namespace]).stdout;
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Fails the test unless an exit code is the one the run's last word stands for.
///
/// A run that was killed has no last word: then only "failed in the cluster" is true.
#[track_caller]
fn told_the_truth(cluster: &Cluster, job: &str, ran: &Ran) {
    let selector = format!("batch.kubernetes.io/job-name={job}");
    let pods = run("kubectl", &["get", "pods", "-n", &cluster.namespace, "-l", &selector, "-o", "json"]);
    let pods: Value = serde_json::from_str(&pods.stdout).unwrap_or_default();
    let message = pods["items"][0]["status"]["containerStatuses"][0]["state"]["terminated"]["message"].as_str();
    let Some(outcome) = message.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        assert!(ran.code != 0 && ran.code != 3, "exit code {} without a last word:\n{}", ran.code, ran.stderr);
        return;
    };
    let warned = outcome["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
    let succeeded = outcome.get("done").is_some();
    let fits = match (succeeded, warned) {
        (true, false) => ran.code == 0,
        (true, true) => ran.code == 3,
        (false, _) => ran.code != 0 && ran.code != 3,
    };
    assert!(fits, "exit code {} is not the truth about {outcome}", ran.code);
}

fn jobs(cluster: &Cluster) -> BTreeSet<String> {
    let names = run("kubectl", &["get", "jobs", "-n", &cluster.namespace, "-o", "name"]).stdout;
    names.lines().map(|line| line.trim_start_matches("job.batch/").to_owned()).collect()
}

fn name_of(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The task in a runner's order.
fn task_of(pod: &Value) -> Option<String> {
    let arguments = pod["spec"]["containers"][0]["args"].as_array()?;
    let order: Value = serde_json::from_str(arguments.last()?.as_str()?).ok()?;
    order["task"].as_object()?.keys().next().cloned()
}
