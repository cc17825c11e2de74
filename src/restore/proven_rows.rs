//! Whether the leader serves the rows that were counted when the backup was proven.
//!
//! It is asked while it is alone. Its write-sets tell whether any client has written since the data were put into place;
//! when none has, a single row more or less is a flaw of what is there.

use super::course::{Course, StepError};
use super::rows::{NO_TABLE, ROUND_LIMIT, server};
use crate::model::event::Phase;
use crate::model::galera::Member;
use crate::model::outcome::in_full;
use crate::model::rows::{Counted, Table};
use crate::ports::{PortError, Reason};

/// Write-sets of a server that starts the cluster: the view of its members.
const FOUNDING: i64 = 1;

/// So many tables are named that have other rows than were proven.
const NAMED: usize = 5;

/// Compares the rows that the leader serves, alone, with those that were proven.
///
/// # Errors
/// They are others. What cannot be compared is told, and the restore is none the worse for it.
pub(super) async fn are_as_proven(course: &Course<'_>) -> Result<(), StepError> {
    if course.proven_rows.is_empty() {
        return Ok(());
    }
    let pod = &course.debt.leader.pod;
    let said = match others_than_proven(course).await {
        Ok(Served::Written) => format!(
            "clients have written to {pod} since it started, so its rows are not compared with those that were proven"
        ),
        Ok(Served::Closed) => format!("the rows of {pod} are not compared with those that were proven: {NO_TABLE}"),
        Ok(Served::Rows { equal, others }) if others.is_empty() => {
            format!("tables with as many rows on {pod} as were proven: {equal}")
        }
        Ok(Served::Broken(why)) => {
            return Err(StepError::Failed(format!("{pod} cannot read what was read when it was proven: {why}")));
        }
        Ok(Served::Rows { others, .. }) => {
            return Err(StepError::Failed(format!(
                "{pod} does not serve the rows that were proven: {} (--ignore-rows goes on where somebody writes without replication)",
                others.join(", ")
            )));
        }
        Err(error) => format!("the rows of {pod} are not compared with those that were proven: {}", in_full(&error)),
    };
    course.step(Phase::Start, said);
    Ok(())
}

/// What the leader serves, beside what was proven.
enum Served {
    /// Clients have changed it since, or may have.
    Written,
    /// The account sees no table.
    Closed,
    /// A table that was counted cannot be read.
    Broken(String),
    /// It can be compared.
    Rows {
        /// Tables with as many rows.
        equal: usize,
        /// The first tables with others, in words.
        others: Vec<String>,
    },
}

async fn others_than_proven(course: &Course<'_>) -> Result<Served, PortError> {
    let galera = course.ports.conductor.galera;
    let leader = server(course, &course.debt.leader.pod).await?.address;
    let table = |of: &Counted| Table { schema: of.schema.clone(), name: of.name.clone(), about_rows: of.rows };
    let tables: Vec<Table> = course.proven_rows.iter().map(table).collect();
    let counts = galera.count_rows(&leader, &tables, ROUND_LIMIT).await;
    if is_written(&galera.member(&leader).await?, course.placed_at) {
        return Ok(Served::Written);
    }
    let counts = match counts {
        Err(error) if error.reason == Reason::Malformed => return Ok(Served::Broken(in_full(&error))),
        counts => counts?,
    };
    let gone = gone(&tables, &galera.tables(&leader).await?);
    if !gone.is_empty() {
        return Ok(Served::Broken(format!("{} is not there", gone.join(", "))));
    }
    let counted: Vec<_> = tables.iter().zip(counts).filter_map(|(table, rows)| Some((table, rows?))).collect();
    if counted.is_empty() {
        return Ok(Served::Closed);
    }
    let others = counted.iter().filter(|(table, rows)| *rows != table.about_rows);
    let others: Vec<_> =
        others.map(|(table, rows)| format!("{table} has {rows}, and had {}", table.about_rows)).collect();
    let equal = counted.len() - others.len();
    Ok(Served::Rows { equal, others: others.into_iter().take(NAMED).collect() })
}

/// Tables that were proven and are not there, as far as the account could see them: it sees another one beside them.
fn gone(proven: &[Table], there: &[Table]) -> Vec<String> {
    let is_there = |table: &&Table| there.iter().any(|of| of.schema == table.schema && of.name == table.name);
    let sees = |table: &&Table| there.iter().any(|of| of.schema == table.schema);
    let gone = proven.iter().filter(|table| !is_there(table) && sees(table));
    gone.take(NAMED).map(ToString::to_string).collect()
}

/// Whether clients may have written since the data were put into place. A server that was started again counts its
/// write-sets from 0 again, and not their numbers: of these, the one that founds the cluster is its own.
fn is_written(member: &Member, placed_at: Option<i64>) -> bool {
    member.replicated != Some(0) || placed_at.is_none_or(|at| member.last_committed > at + FOUNDING)
}
