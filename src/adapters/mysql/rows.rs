//! Counting rows, on a server that clients use too: no statement of it may hold anybody up for long.

use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::session::{STATEMENT_LIMIT, SqlSession};
use crate::model::rows::Table;
use crate::ports::{PortError, Reason};

/// Neither a table that somebody alters nor one that takes long is waited for.
pub(super) const QUICKLY: &str = "SET SESSION lock_wait_timeout = 5, SESSION max_statement_time = 10";

/// What the group has committed is waited for, so that two servers asked one after the other can be compared.
const IN_STEP: &str = "SET SESSION wsrep_sync_wait = 1";

const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES \
                      WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE = 'InnoDB' \
                      AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')";

/// Returns the replicated tables that the account may see, but for the server's own.
pub(super) async fn list(connection: &mut Conn) -> Result<Vec<Table>, mysql_async::Error> {
    let rows = connection.query::<(String, String, u64), _>(TABLES).await?;
    Ok(rows.into_iter().map(|(schema, name, about_rows)| Table { schema, name, about_rows }).collect())
}

/// What a server says of a table whose files are not as they should be: the storage engine fails, a key file or an index
/// is broken, the tablespace is missing or cannot be read, the engine does not know it.
const BROKEN: [u16; 9] = [1030, 1034, 1035, 1712, 1812, 1814, 1877, 1932, 1939];

/// What counting the rows of a table came to.
pub(super) enum Count {
    /// So many.
    Rows(u64),
    /// It cannot be read now: not allowed, gone, locked, too slow, or pushed aside by the cluster.
    NotNow,
    /// Its files are not as they should be.
    Broken(String),
}

/// Counts the rows of a table.
pub(super) async fn count(connection: &mut Conn, schema: &str, name: &str) -> Result<Count, mysql_async::Error> {
    let statement = format!("SELECT COUNT(*) FROM {}.{}", quoted(schema), quoted(name));
    match connection.query_first::<u64, _>(statement).await {
        Err(mysql_async::Error::Server(error)) if BROKEN.contains(&error.code) => {
            Ok(Count::Broken(format!("{schema}.{name}: ERROR {}: {}", error.code, error.message)))
        }
        Err(mysql_async::Error::Server(error)) => {
            tracing::debug!(schema, name, %error, "rows are not counted");
            Ok(Count::NotNow)
        }
        counted => Ok(counted?.map_or(Count::NotNow, Count::Rows)),
    }
}

/// A name as SQL takes it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl SqlSession {
    /// The replicated tables that the account may see, but for the server's own.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn tables(&mut self) -> Result<Vec<Table>, PortError> {
        Self::within(&self.server, "list the tables", STATEMENT_LIMIT, list(&mut self.connection)).await
    }

    /// Counts the rows of each table; `None` for those that cannot be read, or not in time.
    ///
    /// # Errors
    /// The connection is lost; or a table is broken: [`Reason::Malformed`].
    pub async fn count_rows(&mut self, tables: &[Table], limit: Duration) -> Result<Vec<Option<u64>>, PortError> {
        let (server, until) = (self.server.clone(), Instant::now() + limit);
        for setting in [QUICKLY, IN_STEP] {
            let set = self.connection.query_drop(setting);
            Self::within(&server, "set the session up", STATEMENT_LIMIT, set).await?;
        }
        let mut counts = Vec::with_capacity(tables.len());
        for Table { schema, name, .. } in tables {
            if Instant::now() >= until {
                counts.push(None);
                continue;
            }
            let count = count(&mut self.connection, schema, name);
            counts.push(match Self::within(&server, "count rows", STATEMENT_LIMIT, count).await? {
                Count::Rows(rows) => Some(rows),
                Count::NotNow => None,
                Count::Broken(why) => return Err(PortError::new(Reason::Malformed, "a table is broken").caused_by(why)),
            });
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_own_quotes() {
        assert_eq!(quoted("a`b"), "`a``b`");
    }
}
