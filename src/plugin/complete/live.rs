//! Candidates that only a cluster or a kubeconfig knows, within a moment or not at all.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::line::Line;
use super::things::{self, Thing};
use super::{Answer, Candidate, KEEP_ORDER, NO_FILES};
use crate::adapters::kubernetes::kubeconfig::Names;
use crate::plugin::cli::ConnectionFlags;
use crate::plugin::connect::Session;

/// How long whoever types is kept waiting at most, unless the line has a `--request-timeout`. Together with
/// kubectl's own start it stays below a second.
const LIMIT: Duration = Duration::from_millis(700);

/// What a value names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Something in the cluster.
    Known(Thing),
    /// A context of the kubeconfig.
    Context,
    /// A cluster of the kubeconfig.
    KubeconfigCluster,
    /// A user of the kubeconfig.
    KubeconfigUser,
}

impl Subject {
    /// What the value of that flag or positional names; `None` where it can be anything.
    pub(super) fn of(command: &str, arg: &str) -> Option<Self> {
        match (command, arg) {
            // A new one.
            ("create", "name") => None,
            (_, "cluster_name" | "statefulset") | ("restore", "to") => Some(Self::Known(Thing::Cluster)),
            (_, "replica") => Some(Self::Known(Thing::Replica)),
            (_, "backup" | "backups") => Some(Self::Known(Thing::Backup)),
            (_, "name" | "from_schedule") => Some(Self::Known(Thing::Schedule)),
            (_, "job") => Some(Self::Known(Thing::Run)),
            (_, "namespace") => Some(Self::Known(Thing::Namespace)),
            (_, "context") => Some(Self::Context),
            (_, "cluster") => Some(Self::KubeconfigCluster),
            (_, "user") => Some(Self::KubeconfigUser),
            _ => None,
        }
    }
}

/// The line's own flags for the connection, without anything else.
#[derive(Parser)]
struct Connection {
    #[command(flatten)]
    flags: ConnectionFlags,
}

/// Looks the candidates up.
pub(super) fn answer(subject: Subject, line: &Line<'_>, variables: BTreeMap<String, String>) -> Answer {
    let flags = connection(line);
    let limit = Some(flags.request_timeout).filter(|limit| !limit.is_zero()).unwrap_or(LIMIT);
    let session = Session::new(flags, variables);
    let statefulset = line.given_as(&["cluster_name", "statefulset"]).map(str::to_owned);
    let look = move || look(subject, statefulset.as_deref(), &session);
    let mut candidates = within(limit, look).unwrap_or_default();
    candidates.retain(|candidate| !line.given.iter().any(|(_, value)| *value == candidate.word));
    Answer { candidates, directive: NO_FILES | KEEP_ORDER }
}

fn connection(line: &Line<'_>) -> ConnectionFlags {
    let known = Connection::command();
    let is_known = |id| known.get_arguments().any(|arg| arg.get_id() == id && arg.get_long().is_some());
    let words = line.given.iter().filter(|(arg, _)| is_known(arg.get_id())).filter_map(|(arg, value)| {
        let long = arg.get_long()?;
        Some(if arg.get_action().takes_values() { format!("--{long}={value}") } else { format!("--{long}") })
    });
    let words = std::iter::once("kubectl".to_owned()).chain(words);
    Connection::try_parse_from(words).map(|connection| connection.flags).unwrap_or_default()
}

/// What a function returns within a limit; it is left alone after that, to end with the process.
///
/// A thread, and not a future: a program that a kubeconfig names for signing in is waited for without one.
fn within<T: Send + 'static>(limit: Duration, look: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(look()));
    receiver.recv_timeout(limit).ok().flatten()
}

fn look(subject: Subject, statefulset: Option<&str>, session: &Session) -> Option<Vec<Candidate>> {
    let plain = |names: Vec<String>| names.into_iter().map(|name| Candidate::new(name, "")).collect();
    let names = || session.kubeconfig_names().ok();
    match subject {
        Subject::Known(thing) => things::look(thing, statefulset, session),
        Subject::Context => Some(contexts(&names()?)),
        Subject::KubeconfigCluster => Some(plain(names()?.clusters)),
        Subject::KubeconfigUser => Some(plain(names()?.users)),
    }
}

fn contexts(names: &Names) -> Vec<Candidate> {
    let description = |name: &str| if names.current.as_deref() == Some(name) { "current" } else { "" };
    names.contexts.iter().map(|name| Candidate::new(name, description(name))).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;
    use crate::plugin::cli::Cli;

    /// Positionals that name nothing that could be looked up.
    const FREE: [(&str, &str); 1] = [("create", "name")];

    fn positionals_without_candidates(command: &Command) -> Vec<(String, String)> {
        let has = |arg: &Arg| {
            !arg.get_possible_values().is_empty() || Subject::of(command.get_name(), arg.get_id().as_str()).is_some()
        };
        let own = command.get_positionals().filter(|arg| !has(arg));
        let own = own.map(|arg| (command.get_name().to_owned(), arg.get_id().to_string()));
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        own.chain(below.flat_map(positionals_without_candidates)).collect()
    }

    #[test]
    fn every_positional_has_candidates() {
        let without = positionals_without_candidates(&Cli::command());
        assert_eq!(without, FREE.map(|(command, arg)| (command.to_owned(), arg.to_owned())));
    }

    fn subjects(command: &Command) -> Vec<Subject> {
        let own = command.get_arguments().filter_map(|arg| Subject::of(command.get_name(), arg.get_id().as_str()));
        own.chain(command.get_subcommands().flat_map(subjects)).collect()
    }

    #[test]
    fn everything_that_can_be_looked_up_is_named_by_some_flag_or_positional() {
        let named = subjects(&Cli::command());
        let things = [Thing::Cluster, Thing::Replica, Thing::Backup, Thing::Schedule, Thing::Run, Thing::Namespace];
        let in_kubeconfig = [Subject::Context, Subject::KubeconfigCluster, Subject::KubeconfigUser];
        for subject in things.map(Subject::Known).into_iter().chain(in_kubeconfig) {
            assert!(named.contains(&subject), "{subject:?}");
        }
    }

    #[test]
    fn whoever_types_is_not_kept_waiting() {
        let (sender, receiver) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(1), move || receiver.recv().ok()), None);
        drop(sender);
        assert_eq!(within(Duration::MAX, || Some(1)), Some(1));
    }
}
