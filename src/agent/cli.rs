//! The agent's command line: read by Job manifests, not by people.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use serde::Serialize;

use super::{conduct, install, last_word, run as runner};
use crate::exit_code::ExitCode;
use crate::model::outcome::Outcome;

/// Where Kubernetes looks for a container's last word.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// The half of kubectl mariadb-backup that works inside the cluster.
#[derive(Debug, Parser)]
#[command(name = "mariadb-backup-agent", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry out an order from the plugin: the Job's pod
    Conduct {
        /// The order, a JSON document
        #[arg(long)]
        order: String,
        /// Namespace of this pod
        #[arg(long, env = "POD_NAMESPACE")]
        namespace: String,
        /// Name of this pod
        #[arg(long, env = "POD_NAME")]
        pod: String,
        /// UID of this pod
        #[arg(long, env = "POD_UID")]
        pod_uid: String,
        /// Address of this pod, where runners of its own find it
        #[arg(long, env = "POD_IP", default_value = "127.0.0.1")]
        pod_ip: IpAddr,
        /// Name of this pod's Job
        #[arg(long, env = "JOB_NAME")]
        job: String,
        /// Directory with the operator account's username and password
        #[arg(long, default_value = crate::model::names::CONDUCTOR_CREDENTIALS)]
        credentials: PathBuf,
        /// File for the outcome
        #[arg(long, default_value = TERMINATION_MESSAGE)]
        termination_message: PathBuf,
    },
    /// Carry out an order from the conductor: a runner's pod
    Run {
        /// The order, a JSON document
        #[arg(long)]
        order: String,
        /// File for the outcome
        #[arg(long, default_value = TERMINATION_MESSAGE)]
        termination_message: PathBuf,
    },
    /// Copy this program into a directory
    Install {
        /// The directory
        directory: PathBuf,
    },
}

/// Runs the command and returns the exit code.
pub async fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Conduct { order, namespace, pod, pod_uid, pod_ip, job, credentials, termination_message } => {
            let identity = conduct::Identity { namespace, pod, pod_uid, pod_ip, job, credentials };
            let outcome = Box::pin(conduct::conduct(&order, &identity, std::io::stdout())).await;
            as_answer(&order, last_word(&outcome, &termination_message))
        }
        Command::Run { order, termination_message } => {
            let outcome = runner::run(&order, std::io::stdout()).await;
            last_word(&outcome, &termination_message)
        }
        Command::Install { directory } => match install::install(&directory) {
            Ok(_) => ExitCode::Done,
            Err(failure) => {
                tracing::error!(causes = ?failure.causes, "{}", failure.message);
                failure.code
            }
        },
    }
}

/// Leaves the outcome where Kubernetes looks for it.
fn last_word<R: Serialize + Clone>(outcome: &Outcome<R>, path: &Path) -> ExitCode {
    if let Err(error) = last_word::write(outcome, path) {
        tracing::error!(%error, path = %path.display(), "outcome not written");
        return ExitCode::Error;
    }
    outcome.code()
}

/// A refusal is the answer to an order that only asks: its Job has not failed, and nobody is called for it.
fn as_answer(order: &str, said: ExitCode) -> ExitCode {
    if said == ExitCode::Refused && conduct::only_asks(order) { ExitCode::Done } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_that_is_refused_leaves_no_failed_job() {
        let order =
            |dry_run: bool| format!(r#"{{"version":1,"statefulset":"db","task":{{"prune":{{"dryRun":{dry_run}}}}}}}"#);
        assert_eq!(as_answer(&order(true), ExitCode::Refused), ExitCode::Done);
        assert_eq!(as_answer(&order(true), ExitCode::FailedInCluster), ExitCode::FailedInCluster);
        assert_eq!(as_answer(&order(false), ExitCode::Refused), ExitCode::Refused);
    }
}
