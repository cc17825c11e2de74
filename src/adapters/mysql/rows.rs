//! Counting rows on a server that clients use: no statement of it may hold anybody up for long.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;

use super::session::SqlSession;
use crate::model::rows::Table;
use crate::ports::PortError;

/// Before counting: what the group has committed is waited for, so that two servers asked one after the other
/// can be compared; and neither a table that somebody alters nor one that takes long is waited for.
const CAREFULLY: &str =
    "SET SESSION wsrep_sync_wait = 1, SESSION lock_wait_timeout = 5, SESSION max_statement_time = 10";

const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES \
                      WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE = 'InnoDB' \
                      AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')";

impl SqlSession {
    /// The replicated tables that the account may see, but for the server's own.
    ///
    /// # Errors
    /// Says what the server said.
    pub async fn tables(&mut self) -> Result<Vec<Table>, PortError> {
        let query = self.connection.query::<(String, String, u64), _>(TABLES);
        let rows = Self::within(&self.server, "list the tables", super::session::STATEMENT_LIMIT, query).await?;
        Ok(rows.into_iter().map(|(schema, name, about_rows)| Table { schema, name, about_rows }).collect())
    }

    /// Counts the rows of each table; `None` for those that cannot be read, or not in time.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn count_rows(&mut self, tables: &[Table], limit: Duration) -> Result<Vec<Option<u64>>, PortError> {
        let (server, until) = (self.server.clone(), Instant::now() + limit);
        let within = super::session::STATEMENT_LIMIT;
        Self::within(&server, "set the session up", within, self.connection.query_drop(CAREFULLY)).await?;
        let mut counts = Vec::with_capacity(tables.len());
        for table in tables {
            if Instant::now() >= until {
                counts.push(None);
                continue;
            }
            let statement = format!("SELECT COUNT(*) FROM {}.{}", quoted(&table.schema), quoted(&table.name));
            let query = async {
                match self.connection.query_first::<u64, _>(statement).await {
                    // Not allowed, gone, locked, too slow, or pushed aside by the cluster: it is not counted.
                    Err(mysql_async::Error::Server(error)) => {
                        tracing::debug!(%table, %error, "rows are not counted");
                        Ok(None)
                    }
                    counted => counted,
                }
            };
            counts.push(Self::within(&server, "count rows", within, query).await?);
        }
        Ok(counts)
    }
}

/// A name as SQL takes it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_own_quotes() {
        assert_eq!(quoted("a`b"), "`a``b`");
    }
}
