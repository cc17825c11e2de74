//! The accounts of a server's own pods, read from the Secrets that a runner mounts for them.

use std::fs;
use std::path::Path;

use super::mysql::session::Credentials;
use crate::model::accounts::{self, AccountSource, SecretKey, Username};

/// An option file is small; what is larger is something else.
const LARGEST_BYTES: u64 = 1 << 20;

/// An account, and where its password stands.
#[derive(Debug)]
pub struct ServerLogin {
    /// Where, in words.
    pub from: String,
    /// Whether probes or state transfers log in with it for sure.
    pub is_needed: bool,
    /// It.
    pub credentials: Credentials,
}

/// Reads them below `root`, where each Secret has a directory of its name. What is not there or cannot be read
/// is left out: the server's container may do without it, too.
#[must_use]
pub fn read(sources: &[AccountSource], root: &Path) -> Vec<ServerLogin> {
    let mut logins: Vec<ServerLogin> = Vec::new();
    // Of the same account under two names, the one that counts for more.
    let (needed, others): (Vec<_>, Vec<_>) = sources.iter().partition(|source| source.is_needed());
    for login in needed.into_iter().chain(others).flat_map(|source| of(source, root)) {
        let is_same = |other: &ServerLogin| {
            other.credentials.username == login.credentials.username
                && other.credentials.password() == login.credentials.password()
        };
        if !logins.iter().any(is_same) {
            logins.push(login);
        }
    }
    logins
}

fn of(source: &AccountSource, root: &Path) -> Vec<ServerLogin> {
    match source {
        AccountSource::OptionFiles { secret, keys } => {
            let directory = root.join(secret);
            let keys = if keys.is_empty() { names(&directory) } else { keys.clone() };
            keys.iter().flat_map(|key| in_file(&directory, secret, key)).collect()
        }
        AccountSource::Variable { name, username, password } => {
            let username = match username {
                Username::Known(name) => Some(name.clone()),
                Username::Key(key) => value(root, key),
            };
            let login = username.zip(value(root, password)).map(|(username, text)| ServerLogin {
                from: format!("{name}, from key {} of Secret {}", password.key, password.secret),
                is_needed: source.is_needed(),
                credentials: Credentials::new(&username, &text),
            });
            login.into_iter().collect()
        }
    }
}

/// The keys of a mounted Secret; what Kubernetes itself keeps there begins with two dots.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("..")).collect();
    names.sort();
    names
}

fn in_file(directory: &Path, secret: &str, key: &str) -> Vec<ServerLogin> {
    let path = directory.join(key);
    let is_small = fs::metadata(&path).is_ok_and(|of| of.len() <= LARGEST_BYTES);
    let text = if is_small { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
    let login = |login: accounts::Login| ServerLogin {
        from: format!("key {key} of Secret {secret}"),
        is_needed: true,
        credentials: Credentials::new(&login.username, &login.password),
    };
    accounts::in_option_file(&text).into_iter().map(login).collect()
}

fn value(root: &Path, key: &SecretKey) -> Option<String> {
    fs::read_to_string(root.join(&key.secret).join(&key.key)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_option_files_and_variables_each_once_and_missing_ones_left_out() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("config/server.cnf", "[mariadbd]\nwsrep_sst_auth=sst:one\n");
        write("config/..data/server.cnf", "[client]\nuser=hidden\npassword=x\n");
        write("root/client.cnf", "[client]\nuser=root\npassword=two\n");
        write("root/unmounted.cnf", "[client]\nuser=nobody\npassword=x\n");
        write("env/password", "two");
        write("env/name", "root");
        let key = |key: &str| SecretKey { secret: "env".to_owned(), key: key.to_owned() };
        let variable = |username, password: &str| AccountSource::Variable {
            name: "V_PASSWORD".to_owned(),
            username,
            password: key(password),
        };
        let files = |secret: &str, keys: &[&str]| AccountSource::OptionFiles {
            secret: secret.to_owned(),
            keys: keys.iter().map(ToString::to_string).collect(),
        };
        let sources = [
            files("config", &[]),
            files("root", &["client.cnf"]),
            files("gone", &[]),
            variable(Username::Key(key("name")), "password"),
            variable(Username::Known("shop".to_owned()), "password"),
            variable(Username::Known("shop".to_owned()), "gone"),
        ];
        let said: Vec<_> = read(&sources, root.path())
            .iter()
            .map(|login| format!("{}:{} ({})", login.credentials.username, login.credentials.password(), login.from))
            .collect();
        assert_eq!(
            said,
            [
                "sst:one (key server.cnf of Secret config)",
                "root:two (key client.cnf of Secret root)",
                "shop:two (V_PASSWORD, from key password of Secret env)",
            ]
        );
    }
}
