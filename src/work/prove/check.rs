//! What the throwaway server is asked: whether today's accounts are let in, and whether its tables open.
//!
//! A table counts as opened when one row of it could be read, or when it has none: that finds files that
//! are missing, of another table, unreadable, or encrypted with a key that is not there, and costs a few
//! pages of each, whatever its size. CHECK TABLE would read all of the data again, hours of it, to prove
//! what the sums have proven already: that they are the bytes the server had.

use std::time::Duration;

use super::error::ProveError;
use super::{Work, boot, plan};
use crate::model::event::{EventKind, Phase};
use crate::model::outcome::in_full;
use crate::model::report::{ProvenLogins, QueryResult};
use crate::ports::prove::{KnownAccount, LogIn, ProofSql, ServerLogIn, ThrowawayRun};
use crate::ports::runner::Account;

/// How long rows are counted: the cluster still serves, and somebody waits for it to be restored.
const COUNT_LIMIT: Duration = Duration::from_secs(30);

/// So many tables are told in one event.
const IN_ONE_EVENT: usize = 20;

/// So many tables that do not open are named; all are counted.
const NAMED: usize = 5;

/// What was found.
#[derive(Default)]
pub(super) struct Checked {
    /// Tables that were opened.
    pub tables: u32,
    /// Schemas.
    pub schemas: u32,
    /// The accounts that were let in.
    pub logins: ProvenLogins,
    /// The rows of the query.
    pub query_result: Option<QueryResult>,
}

/// Asks everything, as long as the server runs.
pub(super) async fn check(
    work: &mut Work<'_>,
    run: &mut dyn ThrowawayRun,
    warnings: &mut Vec<String>,
) -> Result<Checked, ProveError> {
    let work = &*work;
    boot::beside(work, run, ask(work, warnings)).await
}

async fn ask(work: &Work<'_>, warnings: &mut Vec<String>) -> Result<Checked, ProveError> {
    let (order, sql) = (work.order, work.ports.sql.as_ref());
    let mut checked = Checked::default();
    if order.operator_credentials.is_some() {
        checked.logins.operator = log_in(work, Account::Operator, warnings).await?;
    }
    if order.backup_credentials.is_some() {
        checked.logins.backup = log_in(work, Account::Backup, warnings).await?;
    }
    for tried in sql.log_in_as_servers().await {
        judge_server(work, tried, warnings)?;
    }
    open_tables(sql, &mut checked).await?;
    let (tables, schemas) = (checked.tables, checked.schemas);
    work.ports.stores.events.step(Phase::Prove, format!("opened tables: {tables}, in schemas: {schemas}"));
    if order.count_rows {
        count_rows(work).await;
    }
    if let Some(statement) = &order.query {
        let rows = sql.query(statement, plan::MOST).await.map_err(ProveError::Query)?;
        checked.query_result = Some(plan::bounded(rows));
    }
    Ok(checked)
}

/// Tries one account; `None` with a warning where a socket cannot tell.
async fn log_in(work: &Work<'_>, account: Account, warnings: &mut Vec<String>) -> Result<Option<String>, ProveError> {
    let LogIn { username, refused } = work.ports.sql.log_in(account).await.map_err(ProveError::Sql)?;
    let which = match account {
        Account::Operator => "operator",
        Account::Backup => "backup",
    };
    let Some(known) = refused else { return Ok(Some(plan::short(&username))) };
    match judge(&known) {
        Denial::Unreachable(why) => {
            warn(work, format!("the login of the {which} account {username} was not tried: {why}"), warnings);
            Ok(None)
        }
        Denial::Unknown => Err(ProveError::NoAccount { account: which, username }),
        Denial::WrongPassword => Err(ProveError::WrongPassword { account: which, username }),
    }
}

/// Takes an account that the servers' own pods use for proven or not: without one that they need, a probe never lets
/// them be Ready, or a state transfer never gets through.
fn judge_server(work: &Work<'_>, tried: ServerLogIn, warnings: &mut Vec<String>) -> Result<(), ProveError> {
    let ServerLogIn { username, from, is_needed, refused } = tried;
    let denial = match refused {
        Ok(None) => None,
        Ok(Some(known)) => Some(judge(&known)),
        Err(error) => Some(Denial::Unreachable(in_full(&error))),
    };
    let say = |message: String| work.ports.stores.events.step(Phase::Prove, message);
    let is_known = match denial {
        None => {
            say(format!("let in: {username} ({from})"));
            return Ok(());
        }
        Some(Denial::Unreachable(why)) => {
            say(format!("the login of {username} ({from}) was not tried: {why}"));
            return Ok(());
        }
        Some(denial) => denial == Denial::WrongPassword,
    };
    let error = ProveError::ServerAccount { username, from, is_known };
    match (is_needed, work.order.server_logins_may_fail) {
        (true, false) => return Err(error),
        (true, true) => warn(work, error.to_string(), warnings),
        (false, _) => say(error.to_string()),
    }
    Ok(())
}

fn warn(work: &Work<'_>, message: String, warnings: &mut Vec<String>) {
    work.ports.stores.events.send(Phase::Prove, EventKind::Warned { message: message.clone() });
    warnings.push(message);
}

/// What it means that an account was not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The backup has no account of that name.
    Unknown,
    /// The backup has it, with another password.
    WrongPassword,
    /// Nobody gets in by a socket with it.
    Unreachable(String),
}

pub(super) fn judge(known: &[KnownAccount]) -> Denial {
    let is_local = |account: &&KnownAccount| ["localhost", "%", ""].contains(&account.host.as_str());
    if known.is_empty() {
        return Denial::Unknown;
    }
    match known.iter().find(is_local) {
        None => Denial::Unreachable(format!("it may only come from {}, and this was tried by a socket", known[0].host)),
        Some(account) if account.has_no_password => {
            Denial::Unreachable("it is let in as the system user of its name, and by no password".to_owned())
        }
        Some(account) if account.needs_tls => {
            Denial::Unreachable("it has to speak TLS, which a socket does not".to_owned())
        }
        Some(_) => Denial::WrongPassword,
    }
}

/// Tells how many rows there are, for whoever serves the backup; that they cannot be counted is no flaw of it.
async fn count_rows(work: &Work<'_>) {
    let events = &work.ports.stores.events;
    match work.ports.sql.count_rows(COUNT_LIMIT).await {
        Ok(counted) => {
            events.step(Phase::Prove, format!("counted the rows of tables: {}", counted.len()));
            for tables in counted.chunks(IN_ONE_EVENT) {
                events.send(Phase::Prove, EventKind::Counted { tables: tables.to_vec() });
            }
        }
        Err(error) => events.step(Phase::Prove, format!("the rows are not counted: {}", in_full(&error))),
    }
}

async fn open_tables(sql: &dyn ProofSql, checked: &mut Checked) -> Result<(), ProveError> {
    let (mut named, mut count, mut cause) = (Vec::new(), 0_u32, None);
    for schema in sql.schemas().await.map_err(ProveError::Sql)? {
        checked.schemas += 1;
        for table in sql.tables(&schema).await.map_err(ProveError::Sql)? {
            match sql.open(&schema, &table).await {
                Ok(()) => checked.tables += 1,
                Err(error) => {
                    count += 1;
                    if named.len() < NAMED {
                        named.push(plan::short(&format!("{schema}.{table}")));
                    }
                    cause.get_or_insert(error);
                }
            }
        }
    }
    match cause {
        None => Ok(()),
        Some(source) => Err(ProveError::Tables { named, count, source }),
    }
}
