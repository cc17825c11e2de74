//! Accounts that a server's own pods log in with, for probes, state transfers and their start: where their
//! passwords stand, and how option files name them.

use serde::{Deserialize, Serialize};

/// Where the password of such an account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum AccountSource {
    /// In option files among what a Secret has, which the server's container mounts.
    OptionFiles {
        /// The Secret.
        secret: String,
        /// The keys that are mounted; all when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<String>,
    },
    /// In a variable that the server's container gets from a Secret.
    Variable {
        /// The variable.
        name: String,
        /// The account's name.
        username: Username,
        /// Its password.
        password: SecretKey,
    },
}

/// One key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// The Secret.
    pub secret: String,
    /// The key.
    pub key: String,
}

/// An account's name, or where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Username {
    /// It.
    Known(String),
    /// In a Secret.
    Key(SecretKey),
}

/// What names of variables have in them whose accounts state transfers log in with.
const OF_TRANSFERS: [&str; 2] = ["SST", "MARIABACKUP"];

impl AccountSource {
    /// Whether probes or state transfers log in with it for sure. Other variables may only have been read when the
    /// first data were made, and say nothing about today.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        match self {
            Self::OptionFiles { .. } => true,
            Self::Variable { name, .. } => OF_TRANSFERS.iter().any(|word| name.contains(word)),
        }
    }

    /// The Secrets it is read from.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::OptionFiles { secret, .. } => (secret, None),
            Self::Variable { username: Username::Key(of), password, .. } => (&password.secret, Some(&of.secret)),
            Self::Variable { password, .. } => (&password.secret, None),
        };
        std::iter::once(first).chain(second).map(String::as_str)
    }
}

/// An account with its password, as an option file names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account's name.
    pub username: String,
    /// Its password.
    pub password: String,
}

/// Finds the accounts of this host's server that an option file names: those of its clients, and the one of
/// the state transfer where its method logs in at all.
///
/// What a start script still has to fill in is none.
#[must_use]
pub fn in_option_file(text: &str) -> Vec<Login> {
    let groups = groups(text);
    let of = |group: &[(String, String)], key: &str| {
        group.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let method = groups.iter().find_map(|group| of(group, "wsrep_sst_method")).unwrap_or_default();
    let mut logins = Vec::new();
    for group in &groups {
        let is_here = of(group, "host").is_none_or(|host| host == "localhost");
        if let (true, Some(username), Some(password)) = (is_here, of(group, "user"), of(group, "password")) {
            logins.push(Login { username, password });
        }
        let transfer = of(group, "wsrep_sst_auth").filter(|_| !method.starts_with("rsync"));
        if let Some((username, password)) = transfer.as_ref().and_then(|auth| auth.split_once(':')) {
            logins.push(Login { username: username.to_owned(), password: password.to_owned() });
        }
    }
    let is_filled = |text: &str| !text.is_empty() && !text.contains("{{") && !text.contains("${");
    logins.retain(|login| is_filled(&login.username) && is_filled(&login.password));
    logins
}

/// The options of each group, in the file's order, their names with underscores.
fn groups(text: &str) -> Vec<Vec<(String, String)>> {
    let mut groups = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            groups.push(Vec::new());
        // What stands before the first of them is no option of anybody.
        } else if let (Some((name, value)), Some(group)) = (line.split_once('='), groups.last_mut()) {
            let name = name.trim().trim_start_matches("loose").trim_start_matches(['-', '_']).replace('-', "_");
            group.push((name, unquoted(value.trim())));
        }
    }
    groups
}

/// A value without its quotes, and without a comment behind it.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.rsplit_once(quote)) {
            return inner.to_owned();
        }
    }
    value.split('#').next().unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        in_option_file(text).into_iter().map(|login| (login.username, login.password)).collect()
    }

    fn pair(username: &str, password: &str) -> (String, String) {
        (username.to_owned(), password.to_owned())
    }

    #[test]
    fn the_accounts_of_clients_and_of_the_state_transfer_are_found() {
        assert_eq!(found("[client]\nuser=root\npassword=a=b\nsocket=/s\n"), [pair("root", "a=b")]);
        assert_eq!(found("[mysqld]\nuser = mysql\nwsrep-sst-auth = \"sst:p#:w\"  # comment\n"), [pair("sst", "p#:w")]);
        let both = "# passwords\n[client]\nuser=a\npassword='b'\n[mariadb-backup]\nuser=c\npassword=d # new\n";
        assert_eq!(found(both), [pair("a", "b"), pair("c", "d")]);
    }

    #[test]
    fn what_nobody_logs_in_with_here_is_none() {
        for text in [
            "",
            "[mysqld]\nuser=mysql\n",
            "[client]\nuser=a\n[dump]\npassword=b\n",
            "[dump]\nhost=elsewhere\nuser=a\npassword=b\n",
            "[mysqld]\nwsrep_sst_method=rsync\nwsrep_sst_auth=sst:pw\n",
            "[mysqld]\nwsrep_sst_auth=${USER}:${PASSWORD}\n",
            "[client]\nuser=a\npassword={{ .Values.password }}\n",
            "[client]\nuser=a\npassword=\n",
            "user=a\npassword=b\n",
            "-----BEGIN CERTIFICATE-----\nMII=\n",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
