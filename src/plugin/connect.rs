//! A command's connection, and its errors in the words of the person who typed the command.
//!
//! Nothing is read or sent before a command asks for it: `--help` and client dry runs work anywhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, OnceLock};

use super::cli::ConnectionFlags;
use super::rights;
use crate::adapters::kubernetes::client::{Connection, connect};
use crate::adapters::kubernetes::kubeconfig::{Names, Wishes, names};
use crate::model::command;
use crate::model::outcome::{Explain, Failure};
use crate::ports::{PortError, Reason};
use crate::render::screen::Screen;

/// One command's way to the cluster.
pub(crate) struct Session {
    flags: ConnectionFlags,
    variables: BTreeMap<String, String>,
    connection: OnceLock<Connection>,
    /// The command that is carried out, as those who grant its rights call it.
    command: Option<&'static str>,
    /// The cluster that its flags name.
    cluster: Option<String>,
    /// Whether an order is under way, whose answer is told also after Ctrl-C.
    is_ordering: Arc<AtomicBool>,
}

/// As long as it is there, an order is under way.
pub(super) struct Ordering(Arc<AtomicBool>);

impl Drop for Ordering {
    fn drop(&mut self) {
        self.0.store(false, atomic::Ordering::Relaxed);
    }
}

impl Session {
    pub(crate) fn new(flags: ConnectionFlags, variables: BTreeMap<String, String>) -> Self {
        let is_ordering = Arc::new(AtomicBool::new(false));
        Self { flags, variables, connection: OnceLock::new(), command: None, cluster: None, is_ordering }
    }

    /// Notes that an order is under way.
    pub(super) fn begin_ordering(&self) -> Ordering {
        self.is_ordering.store(true, atomic::Ordering::Relaxed);
        Ordering(Arc::clone(&self.is_ordering))
    }

    /// Returns when somebody presses Ctrl-C; while an order is under way, when they do so again.
    pub(super) async fn interrupted(&self) {
        // Where it cannot be listened for, the system ends the program by itself.
        if tokio::signal::ctrl_c().await.is_ok() && self.is_ordering.load(atomic::Ordering::Relaxed) {
            drop(tokio::signal::ctrl_c().await);
        }
    }

    /// The same for that command.
    pub(crate) fn of_command(self, command: &'static str) -> Self {
        Self { command: Some(command), ..self }
    }

    /// The same for the cluster of that name, which is not the only one there may be.
    pub(crate) fn of_cluster(self, name: Option<&str>) -> Self {
        Self { cluster: name.map(str::to_owned), ..self }
    }

    /// What those who grant rights call the command that is carried out.
    pub(super) fn command_word(&self) -> Option<&'static str> {
        self.command
    }

    /// The connection, made on first use.
    pub(crate) fn connection(&self) -> Result<&Connection, Failure> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let made = connect(&self.wishes()).map_err(Explain::into_failure)?;
        Ok(self.connection.get_or_init(|| made))
    }

    /// The names in the kubeconfig that the connection's flags may choose from.
    pub(crate) fn kubeconfig_names(&self) -> Result<Names, Failure> {
        names(&self.wishes()).map_err(Explain::into_failure)
    }

    /// A variable of the environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    fn wishes(&self) -> Wishes {
        let flags = self.flags.clone();
        Wishes {
            environment: self.variables.clone(),
            kubeconfig: flags.kubeconfig,
            context: flags.context,
            cluster: flags.cluster,
            user: flags.user,
            namespace: flags.namespace,
            server: flags.server,
            tls_server_name: flags.tls_server_name,
            insecure_skip_tls_verify: flags.insecure_skip_tls_verify,
            certificate_authority: flags.certificate_authority,
            client_certificate: flags.client_certificate,
            client_key: flags.client_key,
            token: flags.token,
            as_user: flags.as_user,
            as_groups: flags.as_group,
            as_uid: flags.as_uid,
            request_timeout: Some(flags.request_timeout).filter(|limit| !limit.is_zero()),
        }
    }

    /// The namespace meant; where a flag says it, no kubeconfig is needed.
    pub(crate) fn namespace(&self) -> Result<String, Failure> {
        match &self.flags.namespace {
            Some(name) if !name.is_empty() => Ok(name.clone()),
            _ => Ok(self.connection()?.target.namespace.clone()),
        }
    }

    /// The same connection to another namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        let flags = ConnectionFlags { namespace: Some(namespace.to_owned()), ..self.flags.clone() };
        let same = Self::new(flags, self.variables.clone()).of_cluster(self.cluster.as_deref());
        Self { command: self.command, is_ordering: Arc::clone(&self.is_ordering), ..same }
    }

    /// Turns an error of the cluster into a failure that says where that was and what to do.
    pub(crate) fn failure(&self, error: &PortError) -> Failure {
        let failure = self.reachable(Failure::of(error));
        let Some(connection) = self.connection.get() else { return failure };
        let target = &connection.target;
        let place = match &target.context {
            Some(context) => format!("{} (context {context} of {})", target.server, target.source),
            None => format!("{} ({})", target.server, target.source),
        };
        let has_hint = failure.hint.is_some();
        match error.reason {
            Reason::Unreachable => failure
                .with_cause(format!("the API server is {place}"))
                .with_hint(format!("kubectl cluster-info{}", self.connection_flags())),
            Reason::Credentials => failure.with_cause(format!("the API server is {place}")),
            Reason::Forbidden if !has_hint => failure.with_hint(rights::way_to(error, self)),
            _ => failure,
        }
    }

    /// The failure with the commands of its hint as they lead to the same cluster from here.
    pub(crate) fn reachable(&self, failure: Failure) -> Failure {
        match &failure.hint {
            Some(hint) => Failure { hint: Some(self.reached(hint)), ..failure },
            None => failure,
        }
    }

    /// Shows what the server warned of since the last time.
    pub(crate) fn show_warnings(&self, screen: &mut Screen) {
        for warning in self.connection.get().map(Connection::new_warnings).unwrap_or_default() {
            screen.warn(&warning);
        }
    }

    /// A command of ours that leads to the same cluster and namespace, to be typed as it stands.
    pub(crate) fn command(&self, words: &str) -> String {
        self.placed(&self.of_this_cluster(words))
    }

    /// The command that shows a run, which needs no cluster to be found.
    pub(crate) fn logs_of(&self, job: &str) -> String {
        self.placed(&format!("logs {job}"))
    }

    fn placed(&self, words: &str) -> String {
        match self.known_namespace() {
            Some(namespace) => self.command_in(&namespace, words),
            None => format!("kubectl mariadb-backup {words}{}", self.connection_flags()),
        }
    }

    /// A command of ours that somebody else may have to type, with other rights.
    pub(crate) fn command_of_others(&self, words: &str) -> String {
        let namespace = self.known_namespace().map(|name| format!(" -n {}", quoted(&name))).unwrap_or_default();
        format!("kubectl mariadb-backup {}{namespace}{}", self.of_this_cluster(words), self.flags_of_others())
    }

    /// The words with the cluster that was named, where they do not name it themselves.
    fn of_this_cluster(&self, words: &str) -> String {
        match &self.cluster {
            Some(name) if !words.split(' ').any(|word| word == name) => {
                format!("{words} --statefulset {}", quoted(name))
            }
            _ => words.to_owned(),
        }
    }

    fn known_namespace(&self) -> Option<String> {
        let connected = self.connection.get().map(|connection| connection.target.namespace.clone());
        connected.or_else(|| self.flags.namespace.clone())
    }

    /// The same that leads to another namespace.
    pub(crate) fn command_in(&self, namespace: &str, words: &str) -> String {
        format!("kubectl mariadb-backup {words} -n {}{}", quoted(namespace), self.connection_flags())
    }

    /// A text with the commands in it as they lead to the same cluster from here.
    pub(crate) fn reached(&self, text: &str) -> String {
        command::reached(text, &self.connection_flags())
    }

    /// The flags of the connection, as given; never those that hold a secret.
    fn connection_flags(&self) -> String {
        let flags = &self.flags;
        let own = [
            ("--kubeconfig", path(flags.kubeconfig.as_deref())),
            ("--context", flags.context.clone()),
            ("--cluster", flags.cluster.clone()),
        ];
        let who = [
            ("--user", flags.user.clone()),
            ("--client-certificate", path(flags.client_certificate.as_deref())),
            ("--client-key", path(flags.client_key.as_deref())),
            ("--as", flags.as_user.clone()),
            ("--as-uid", flags.as_uid.clone()),
        ];
        let groups = flags.as_group.iter().map(|group| ("--as-group", Some(group.clone())));
        written(own.into_iter()) + &self.server_flags() + &written(who.into_iter().chain(groups))
    }

    /// Those of them by which somebody else reaches the same server: not those that say who asks it, nor files
    /// of this user's own, nor names that mean something in their kubeconfig only. Nor is anybody told to trust a
    /// server unseen because this user does.
    pub(crate) fn flags_of_others(&self) -> String {
        let flags = &self.flags;
        let is_own = flags.kubeconfig.is_some();
        let shared = [("--context", flags.context.clone()), ("--cluster", flags.cluster.clone())];
        written(shared.into_iter().filter(|_| !is_own).chain(self.server_names()))
    }

    /// The server, where the flags for others do not lead there by themselves.
    pub(crate) fn server_for_others(&self) -> Option<&str> {
        let flags = &self.flags;
        let is_hidden = flags.kubeconfig.is_some() && flags.server.is_none();
        self.connection.get().filter(|_| is_hidden).map(|connection| connection.target.server.as_str())
    }

    /// The server's names, where flags say them.
    fn server_names(&self) -> [(&'static str, Option<String>); 2] {
        [("--server", self.flags.server.clone()), ("--tls-server-name", self.flags.tls_server_name.clone())]
    }

    /// The server, where flags say it, and how far it is trusted.
    fn server_flags(&self) -> String {
        let flags = &self.flags;
        let trusted = ("--certificate-authority", path(flags.certificate_authority.as_deref()));
        let text = written(self.server_names().into_iter().chain([trusted]));
        if flags.insecure_skip_tls_verify { format!("{text} --insecure-skip-tls-verify") } else { text }
    }
}

fn path(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.to_string_lossy().into_owned())
}

/// Flags with their values, each with a space before it.
fn written(flags: impl Iterator<Item = (&'static str, Option<String>)>) -> String {
    flags.filter_map(|(flag, value)| Some(format!(" {flag} {}", quoted(&value?)))).collect()
}

/// Quotes a word for a shell where it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_type_holds_no_name_out_of_a_kubeconfig_that_is_this_user_s_own() {
        let flags = ConnectionFlags {
            context: Some("far".to_owned()),
            server: Some("https://s".to_owned()),
            as_user: Some("alice".to_owned()),
            certificate_authority: Some("mine.crt".into()),
            insecure_skip_tls_verify: true,
            ..ConnectionFlags::default()
        };
        let shared = Session::new(flags.clone(), BTreeMap::new());
        assert_eq!(shared.flags_of_others(), " --context far --server https://s");
        let own = ConnectionFlags { kubeconfig: Some("mine".into()), ..flags };
        let own = Session::new(own, BTreeMap::new());
        assert_eq!(own.flags_of_others(), " --server https://s");
        assert_eq!(
            own.reached("kubectl x"),
            "kubectl --kubeconfig mine --context far --server https://s --certificate-authority mine.crt \
             --insecure-skip-tls-verify --as alice x"
        );
    }

    #[test]
    fn a_command_to_type_leads_to_the_same_cluster_and_shows_no_token() {
        let flags = ConnectionFlags {
            namespace: Some("db".to_owned()),
            context: Some("my cluster".to_owned()),
            token: Some("secret".to_owned()),
            ..ConnectionFlags::default()
        };
        let session = Session::new(flags, BTreeMap::new());
        assert_eq!(session.logs_of("x"), "kubectl mariadb-backup logs x -n db --context 'my cluster'");
        let session = session.of_cluster(Some("one"));
        let list = "kubectl mariadb-backup list --statefulset one -n db --context 'my cluster'";
        assert_eq!(session.command("list"), list);
        let setup = "kubectl mariadb-backup setup one --roles -n db --context 'my cluster'";
        assert_eq!(session.command("setup one --roles"), setup, "a cluster is named once");
        assert_eq!(session.logs_of("x"), "kubectl mariadb-backup logs x -n db --context 'my cluster'");
    }
}
