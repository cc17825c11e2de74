//! One SQL connection to one server, with the few statements this product needs.
//!
//! Always to the server's own address, never through a Service, and never through a socket path the
//! server might name. Every statement has a limit on this side: a connection to a lost node answers
//! nothing at all.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::model::galera::Member;
use crate::model::order::ServerAddress;
use crate::ports::{PortError, Reason};

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a statement may take that waits for nothing.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// How often an idle connection is probed, so that a lost node shows.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Server errors that mean the account, not the network: 1044, 1045 and 1698 for the account itself,
/// 1227 and 1142 for a right it lacks.
const ACCESS_DENIED: [u16; 5] = [1044, 1045, 1698, 1227, 1142];

/// Those of them that mean a right it lacks.
const LACKS_RIGHT: [u16; 3] = [1044, 1142, 1227];

/// Server errors that tell of the statement, whatever it is asked of: it is no SQL, is empty, or would change something.
const NO_QUESTION: [u16; 4] = [1064, 1065, 1149, 1792];

/// Server error of a KILL that came too late.
const NO_SUCH_THREAD: u16 = 1094;

/// A user name and a password, which never show in a log.
#[derive(Clone)]
pub struct Credentials {
    /// The account's name.
    pub username: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, <hidden>)", self.username)
    }
}

impl Credentials {
    /// Reads the files `username` and `password` of a mounted Secret.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn read(directory: &Path) -> Result<Self, PortError> {
        let file = |name: &str| {
            let path = directory.join(name);
            let text = std::fs::read_to_string(&path).map_err(|error| {
                PortError::new(Reason::Credentials, format!("cannot read {}", path.display()))
                    .caused_by(error)
                    .with_hint("the Secret must have the keys username and password")
            })?;
            // Editors and shells like to end a file with a newline; a password does not.
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        };
        Ok(Self { username: file("username")?, password: file("password")? })
    }

    /// Makes them of what is known already.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: password.to_owned() }
    }

    /// The password, for a file that only its reader may see.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }
}

/// A connection.
pub struct SqlSession {
    pub(super) connection: Conn,
    pub(super) server: String,
}

impl SqlSession {
    /// Connects.
    ///
    /// # Errors
    /// [`Reason::Credentials`] when the account is not accepted, [`Reason::Unreachable`] when nobody answers.
    pub async fn connect(server: &ServerAddress, credentials: &Credentials) -> Result<Self, PortError> {
        let address = format!("{}:{}", server.host, server.port);
        let options: Opts = OptsBuilder::default()
            .ip_or_hostname(server.host.clone())
            .tcp_port(server.port)
            .user(Some(credentials.username.clone()))
            .pass(Some(credentials.password.clone()))
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            // A session that holds an advisory lock idles for as long as a backup takes.
            .init(vec!["SET SESSION wait_timeout = 2147483"])
            .into();
        let what = format!("cannot connect to MariaDB at {address} as {}", credentials.username);
        match tokio::time::timeout(CONNECT_LIMIT, Conn::new(options)).await {
            Ok(Ok(connection)) => Ok(Self { connection, server: address }),
            Ok(Err(error)) => Err(sql_error(what, &error)),
            Err(_) => Err(PortError::new(Reason::Unreachable, what).caused_by("no answer within 10 s")),
        }
    }

    fn failed(&self, what: &str, error: &mysql_async::Error) -> PortError {
        sql_error(format!("cannot {what} on MariaDB at {}", self.server), error)
    }

    /// Runs something on the connection that has to answer within `limit`.
    pub(super) async fn within<T>(
        server: &str,
        what: &str,
        limit: Duration,
        query: impl Future<Output = Result<T, mysql_async::Error>>,
    ) -> Result<T, PortError> {
        let tried = || format!("cannot {what} on MariaDB at {server}");
        match tokio::time::timeout(limit, query).await {
            Ok(answer) => answer.map_err(|error| sql_error(tried(), &error)),
            Err(_) => Err(PortError::new(Reason::Unreachable, tried())
                .caused_by(format!("no answer within {} s", limit.as_secs()))),
        }
    }

    /// Reads two columns of names and values into a map.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn pairs(&mut self, what: &str, statement: &str) -> Result<BTreeMap<String, String>, PortError> {
        let query = self.connection.query::<(String, String), _>(statement);
        Ok(Self::within(&self.server, what, STATEMENT_LIMIT, query).await?.into_iter().collect())
    }

    /// Reads one column of texts.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn texts(&mut self, what: &str, statement: &str) -> Result<Vec<String>, PortError> {
        let query = self.connection.query::<String, _>(statement);
        Self::within(&self.server, what, STATEMENT_LIMIT, query).await
    }

    /// Asks the member for its state.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn member(&mut self) -> Result<Member, PortError> {
        let mut status = self.pairs("read the wsrep status", "SHOW GLOBAL STATUS LIKE 'wsrep%'").await?;
        // By a pattern each: with WHERE the server would work out every status it has.
        status.extend(self.pairs("read the redo's end", "SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'").await?);
        let wanted = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
                      ('wsrep_provider_options', 'wsrep_mode', 'wsrep_sst_method', 'version', 'datadir')";
        let variables = self.pairs("read the variables", wanted).await?;
        Ok(Member::read(&status, &variables))
    }

    /// Sets `wsrep_desync`.
    ///
    /// # Errors
    /// Says what the server said; no answer within `limit` leaves open whether it was set.
    pub async fn set_desync(&mut self, on: bool, limit: Duration) -> Result<(), PortError> {
        let statement = if on { "SET GLOBAL wsrep_desync = ON" } else { "SET GLOBAL wsrep_desync = OFF" };
        let query = self.connection.query_drop(statement);
        Self::within(&self.server, "set wsrep_desync", limit, query).await
    }

    /// Returns the numbers of this account's other connections from this host.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn siblings(&mut self) -> Result<Vec<u32>, PortError> {
        // What stands behind the last colon is a port; what is before it may hold colons too.
        let statement = "SELECT ID FROM information_schema.PROCESSLIST \
                         WHERE USER = SUBSTRING_INDEX(SESSION_USER(), '@', 1) AND ID <> CONNECTION_ID() \
                         AND LEFT(HOST, LENGTH(HOST) - LOCATE(':', REVERSE(HOST))) \
                             = SUBSTRING_INDEX(SESSION_USER(), '@', -1)";
        let query = self.connection.query::<u32, _>(statement);
        Self::within(&self.server, "look for other connections", STATEMENT_LIMIT, query).await
    }

    /// The server's number for this connection.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.connection.id()
    }

    /// Ends another connection and the statement it runs; no error when it is gone already.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn kill(&mut self, id: u32) -> Result<(), PortError> {
        let query = self.connection.query_drop(format!("KILL {id}"));
        match tokio::time::timeout(STATEMENT_LIMIT, query).await {
            Ok(Err(mysql_async::Error::Server(error))) if error.code == NO_SUCH_THREAD => Ok(()),
            Ok(Err(error)) => Err(self.failed("end a connection", &error)),
            Ok(Ok(())) => Ok(()),
            Err(_) => Err(PortError::new(Reason::Unreachable, format!("no answer from MariaDB at {}", self.server))),
        }
    }

    /// Takes an advisory lock; `false` when it was not free within `wait`.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn take_lock(&mut self, name: &str, wait: Duration) -> Result<bool, PortError> {
        let query =
            self.connection.exec_first::<Option<i64>, _, _>("SELECT GET_LOCK(?, ?)", (name, wait.as_secs_f64()));
        let taken = Self::within(&self.server, "take the advisory lock", wait + STATEMENT_LIMIT, query).await?;
        Ok(taken.flatten() == Some(1))
    }

    /// Whether somebody holds an advisory lock.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn is_locked(&mut self, name: &str) -> Result<bool, PortError> {
        let query = self.connection.exec_first::<Option<i64>, _, _>("SELECT IS_USED_LOCK(?)", (name,));
        let owner = Self::within(&self.server, "look at the advisory lock", STATEMENT_LIMIT, query).await?;
        Ok(owner.flatten().is_some())
    }

    /// Gives an advisory lock back.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn release_lock(&mut self, name: &str) -> Result<(), PortError> {
        let query = self.connection.exec_drop("DO RELEASE_LOCK(?)", (name,));
        Self::within(&self.server, "release the advisory lock", STATEMENT_LIMIT, query).await
    }

    /// Ends the connection, and with it every lock it holds.
    pub async fn close(self) {
        if let Err(error) = self.connection.disconnect().await {
            tracing::debug!(server = self.server, %error, "connection did not end cleanly");
        }
    }

    /// Makes sure that the server still answers.
    ///
    /// # Errors
    /// Says what the connection said.
    pub async fn ping(&mut self) -> Result<(), PortError> {
        match tokio::time::timeout(STATEMENT_LIMIT, self.connection.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed("ping", &error)),
            Err(_) => Err(PortError::new(Reason::Unreachable, format!("no answer from MariaDB at {}", self.server))),
        }
    }
}

pub(super) fn sql_error(what: String, source: &mysql_async::Error) -> PortError {
    let reason = match source {
        mysql_async::Error::Server(server) if ACCESS_DENIED.contains(&server.code) => Reason::Credentials,
        mysql_async::Error::Server(server) if NO_QUESTION.contains(&server.code) => Reason::Malformed,
        mysql_async::Error::Server(_) => Reason::Other,
        _ => Reason::Unreachable,
    };
    let cause = match source {
        mysql_async::Error::Server(server) => format!("ERROR {} ({}): {}", server.code, server.state, server.message),
        other => other.to_string(),
    };
    let error = PortError::new(reason, what).caused_by(cause);
    match source {
        mysql_async::Error::Server(server) if LACKS_RIGHT.contains(&server.code) => {
            error.with_hint("grant the account what MariaDB names above")
        }
        mysql_async::Error::Server(server) if ACCESS_DENIED.contains(&server.code) => {
            error.with_hint(same_password(account(&server.message).unwrap_or("ACCOUNT")))
        }
        _ => error,
    }
}
/// The account that MariaDB names when it lets somebody not in.
fn account(message: &str) -> Option<&str> {
    message.split_once("for user '")?.1.split_once('\'').map(|(account, _)| account)
}

fn same_password(account: &str) -> String {
    format!(
        "the account and its Secret need the same password; in SQL: ALTER USER '{account}'@'%' IDENTIFIED BY 'PASSWORD'\n\
         or in the Secret, which MARIADB_BACKUP_OPERATOR_SECRET or MARIADB_BACKUP_SECRET of the settings names: kubectl patch secret SECRET -p '{{\"stringData\":{{\"password\":\"PASSWORD\"}}}}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_let_in_is_named_in_the_command_that_lets_them_in() {
        let message = "Access denied for user 'backup_operator'@'10.244.1.7' (using password: YES)";
        let hint = same_password(account(message).unwrap());
        assert!(hint.contains("ALTER USER 'backup_operator'@'%' IDENTIFIED BY 'PASSWORD'"), "{hint}");
        assert_eq!(account("Access denied"), None);
    }
}
