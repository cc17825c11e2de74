//! The throwaway server, by SQL over its socket.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::vec;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, Value};
use tokio::sync::Mutex;

use super::rows::{self, Count, quoted};
use super::session::{Credentials, sql_error};
use crate::adapters::server_logins::ServerLogin;
use crate::model::rows::{Counted, Table, countable};
use crate::ports::prove::{Answer, KnownAccount, LogIn, Most, ProofSql, Rows, ServerLogIn};
use crate::ports::runner::Account;
use crate::ports::{PortError, Reason};

/// How long a connection or a small statement may take: this server has nothing else to do.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// How long the statement that was asked for may take.
const QUERY_LIMIT: Duration = Duration::from_mins(10);

/// Server error of a statement that older series run but do not prepare.
const NOT_PREPARABLE: u16 = 1295;

/// The most that are counted at a time: the server lets in ten.
const MOST_LANES: usize = 4;

const NOT_COUNTED: &str = "cannot count rows of the throwaway server";

/// The server's own schemas.
const NOT_OF_USERS: &str = "('mysql', 'information_schema', 'performance_schema', 'sys')";

/// Engines whose rows are elsewhere, where this server must not go, or in memory.
const NOT_IN_BACKUP: &str = "('FEDERATED', 'CONNECT', 'SPIDER', 'S3', 'MEMORY', 'BLACKHOLE', 'OQGRAPH')";

/// The way into a throwaway server.
pub struct SocketSql {
    socket: PathBuf,
    own: Credentials,
    operator: Option<Credentials>,
    backup: Option<Credentials>,
    servers: Vec<ServerLogin>,
    connection: Mutex<Option<Conn>>,
}

impl SocketSql {
    /// Makes one that uses `own` for everything but the logins; nothing is connected yet.
    #[must_use]
    pub fn new(
        socket: impl Into<PathBuf>,
        own: Credentials,
        operator: Option<Credentials>,
        backup: Option<Credentials>,
        servers: Vec<ServerLogin>,
    ) -> Self {
        Self { socket: socket.into(), own, operator, backup, servers, connection: Mutex::default() }
    }

    async fn connect(&self, credentials: &Credentials) -> Result<Conn, PortError> {
        let options: Opts = OptsBuilder::default()
            .socket(Some(self.socket.display().to_string()))
            .user(Some(credentials.username.clone()))
            .pass(Some(credentials.password().to_owned()))
            .into();
        let what = format!("cannot log in to the throwaway server as {}", credentials.username);
        within(STATEMENT_LIMIT, &what, Conn::new(options)).await
    }

    /// Takes the connection out of its place, or makes a new one; it is put back only after an answer.
    async fn take(&self) -> Result<Conn, PortError> {
        match self.connection.lock().await.take() {
            Some(connection) => Ok(connection),
            None => self.connect(&self.own).await,
        }
    }

    async fn put_back(&self, connection: Conn) {
        *self.connection.lock().await = Some(connection);
    }

    async fn texts(
        &self,
        what: &str,
        statement: String,
        parameters: impl Into<Params> + Send,
    ) -> Result<Vec<String>, PortError> {
        let mut connection = self.take().await?;
        let query = connection.exec::<String, _, _>(statement, parameters.into());
        let texts = within(STATEMENT_LIMIT, what, query).await?;
        self.put_back(connection).await;
        Ok(texts)
    }

    /// Logs in with an account; of one that is refused, says under which hosts the data know it.
    async fn refused(&self, credentials: &Credentials) -> Result<Option<Vec<KnownAccount>>, PortError> {
        match self.connect(credentials).await {
            Ok(connection) => {
                // It was accepted; how it ends is of no interest.
                let _ended = connection.disconnect().await;
                Ok(None)
            }
            Err(error) if error.reason == Reason::Credentials => {
                self.known_accounts(&credentials.username).await.map(Some)
            }
            Err(error) => Err(error),
        }
    }

    async fn known_accounts(&self, username: &str) -> Result<Vec<KnownAccount>, PortError> {
        let statement = "SELECT Host, COALESCE(JSON_VALUE(Priv, '$.ssl_type'), '0'), COALESCE(JSON_VALUE(Priv, '$.plugin'), '') \
             FROM mysql.global_priv WHERE User = ?";
        let mut connection = self.take().await?;
        let query = connection.exec::<(String, String, String), _, _>(statement, (username,));
        let rows = within(STATEMENT_LIMIT, "cannot look at the accounts in the backup", query).await?;
        self.put_back(connection).await;
        let known = |(host, tls, plugin): (String, String, String)| KnownAccount {
            host,
            needs_tls: tls != "0",
            has_no_password: plugin == "unix_socket",
        };
        Ok(rows.into_iter().map(known).collect())
    }

    /// Counts the rows of one table after the other, on a connection of its own.
    async fn count_from(&self, queue: &Mutex<vec::IntoIter<Table>>, until: Instant) -> Result<Vec<Counted>, PortError> {
        let mut connection = self.connect(&self.own).await?;
        within(STATEMENT_LIMIT, NOT_COUNTED, connection.query_drop(rows::QUICKLY)).await?;
        let mut counted = Vec::new();
        while Instant::now() < until {
            let Some(Table { schema, name, .. }) = queue.lock().await.next() else { break };
            let count = rows::count(&mut connection, &schema, &name);
            if let Count::Rows(rows) = within(STATEMENT_LIMIT, NOT_COUNTED, count).await? {
                counted.push(Counted { schema, name, rows });
            }
        }
        Ok(counted)
    }
}

/// Runs something that has to answer within a limit.
async fn within<T>(
    limit: Duration,
    what: &str,
    query: impl Future<Output = Result<T, mysql_async::Error>>,
) -> Result<T, PortError> {
    match tokio::time::timeout(limit, query).await {
        Ok(answer) => answer.map_err(|error| sql_error(what.to_owned(), &error)),
        Err(_) => {
            Err(PortError::new(Reason::TimedOut, what).caused_by(format!("no answer within {} s", limit.as_secs())))
        }
    }
}

fn text_of(value: Value, most: usize) -> (String, bool) {
    let text = match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true),
    };
    let short: String = text.chars().take(most).collect();
    let is_cut = short.len() < text.len();
    (short, is_cut)
}

fn take_row(row: Row, most: Most, into: &mut Rows) {
    let mut texts = Vec::new();
    for value in row.unwrap() {
        let (text, is_cut) = text_of(value, most.chars);
        into.has_more |= is_cut;
        texts.push(text);
    }
    into.rows.push(texts);
}

/// Reads rows until there are enough; the rest is left where it is.
async fn first_rows(connection: &mut Conn, statement: &str, most: Most) -> Result<Rows, mysql_async::Error> {
    // A statement that would change what is proven is refused by the server.
    connection.query_drop("START TRANSACTION READ ONLY").await?;
    // One statement only: of several, what became of the later ones would be told to nobody.
    match connection.prep(statement).await {
        Ok(prepared) => connection.close(prepared).await?,
        Err(mysql_async::Error::Server(error)) if error.code == NOT_PREPARABLE => {}
        Err(error) => return Err(error),
    }
    let mut result = connection.query_iter(statement).await?;
    let columns = result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
    let mut rows = Rows { columns, ..Rows::default() };
    while let Some(row) = result.next().await? {
        if rows.rows.len() == most.rows {
            rows.has_more = true;
            break;
        }
        take_row(row, most, &mut rows);
    }
    Ok(rows)
}

#[async_trait]
impl ProofSql for SocketSql {
    async fn answer(&self) -> Result<Answer, PortError> {
        let mut connection = self.take().await?;
        let what = "cannot ask the throwaway server how it is";
        let mut pairs = BTreeMap::new();
        for statement in ["SHOW GLOBAL VARIABLES LIKE 'version'", "SHOW GLOBAL STATUS LIKE 'wsrep\\_%'"] {
            pairs.extend(within(STATEMENT_LIMIT, what, connection.query::<(String, String), _>(statement)).await?);
        }
        self.put_back(connection).await;
        let is_ready = pairs.get("wsrep_ready").is_some_and(|ready| ready == "ON")
            && pairs.get("wsrep_local_state_comment").is_some_and(|state| state == crate::model::galera::SYNCED);
        let history_uuid = pairs.remove("wsrep_cluster_state_uuid").filter(|_| is_ready);
        Ok(Answer { version: pairs.remove("version").unwrap_or_default(), history_uuid })
    }

    async fn log_in(&self, account: Account) -> Result<LogIn, PortError> {
        let credentials = match account {
            Account::Operator => &self.operator,
            Account::Backup => &self.backup,
        };
        let missing = || PortError::new(Reason::Missing, "the account to try is not known");
        let credentials = credentials.as_ref().ok_or_else(missing)?;
        let refused = self.refused(credentials).await?;
        Ok(LogIn { username: credentials.username.clone(), refused })
    }

    async fn log_in_as_servers(&self) -> Vec<ServerLogIn> {
        let mut tried = Vec::new();
        for ServerLogin { from, credentials, is_needed } in &self.servers {
            let (username, from, is_needed) = (credentials.username.clone(), from.clone(), *is_needed);
            tried.push(ServerLogIn { username, from, is_needed, refused: self.refused(credentials).await });
        }
        tried
    }

    async fn schemas(&self) -> Result<Vec<String>, PortError> {
        let statement = format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN {NOT_OF_USERS} ORDER BY 1"
        );
        self.texts("cannot list the schemas in the backup", statement, ()).await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, PortError> {
        let statement = format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE NOT LIKE '%VIEW' \
             AND COALESCE(ENGINE, '') NOT IN {NOT_IN_BACKUP} ORDER BY 1"
        );
        self.texts(&format!("cannot list the tables of {schema} in the backup"), statement, (schema,)).await
    }

    async fn open(&self, schema: &str, table: &str) -> Result<(), PortError> {
        let mut connection = self.take().await?;
        let statement = format!("SELECT 1 FROM {}.{} LIMIT 1", quoted(schema), quoted(table));
        let query = connection.query_drop(statement);
        let opened = within(STATEMENT_LIMIT, &format!("cannot open {schema}.{table}"), query).await;
        // The server's own answer, good or bad, leaves the connection as it was.
        if opened.as_ref().map_or_else(|error| error.reason == Reason::Other, |()| true) {
            self.put_back(connection).await;
        }
        opened
    }

    async fn count_rows(&self, limit: Duration) -> Result<Vec<Counted>, PortError> {
        let until = Instant::now() + limit;
        let mut connection = self.take().await?;
        let tables = within(STATEMENT_LIMIT, NOT_COUNTED, rows::list(&mut connection)).await?;
        self.put_back(connection).await;
        let queue = Mutex::new(countable(tables).0.into_iter());
        let lanes = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_LANES);
        let lanes = (0..lanes).map(|_| self.count_from(&queue, until));
        let mut counted = futures::future::try_join_all(lanes).await?.concat();
        // Whoever counts them again may not come to the end of them.
        counted.sort_by_key(|table| table.rows);
        Ok(counted)
    }

    async fn query(&self, statement: &str, most: Most) -> Result<Rows, PortError> {
        // On a connection of its own, which ends with it: nothing of it is left for what comes next.
        let mut connection = self.connect(&self.own).await?;
        within(QUERY_LIMIT, "cannot run the query on the backup", first_rows(&mut connection, statement, most)).await
    }

    async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // The server ends right after.
            let _ended = connection.disconnect().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_as_text_and_cut_where_it_is_long() {
        assert_eq!(text_of(Value::NULL, 9), ("NULL".to_owned(), false));
        assert_eq!(text_of(Value::from("grüße"), 3), ("grü".to_owned(), true));
        assert_eq!(text_of(Value::from(7), 3), ("7".to_owned(), false));
    }
}
