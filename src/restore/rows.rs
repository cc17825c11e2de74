//! Whether all replicas hold the same rows: counted table by table once all have joined.
//!
//! Clients write meanwhile, and no two servers are asked at the same moment. So the leader is counted before
//! and after the others: a replica that agrees has a number from between the two. A table that is written
//! the other way round at that very moment can fail this by chance, and is counted again; one that differs in
//! truth fails it every time.

use std::time::Duration;

use futures::future::join_all;

use super::course::Course;
use super::phase3_start::all;
use crate::model::event::{EventKind, Phase};
use crate::model::order::ServerAddress;
use crate::model::outcome::in_full;
use crate::model::rows::{Differing, RowCounts, Table};
use crate::patience::patiently;
use crate::ports::{PortError, Reason};

/// Tables of more rows are left out: counting reads all of them, beside the clients that were just let in.
const LARGEST: u64 = 1_000_000;

/// So many tables are counted, the smallest first.
const TABLES: usize = 1000;

/// How often a table is counted that seems to differ.
const ROUNDS: usize = 5;

/// How long one replica may count in one round; tables it does not come to are left out.
const ROUND_LIMIT: Duration = Duration::from_secs(20);

/// One replica's server.
struct Server {
    pod: String,
    address: ServerAddress,
}

/// Counts the rows on all replicas, and tells what came of it. `None` when nothing was compared: the restore
/// is none the worse for it.
pub(super) async fn compare(course: &Course<'_>) -> Option<RowCounts> {
    if course.debt.others.is_empty() {
        return None;
    }
    let counts = match counted(course).await {
        Ok(Some(counts)) => counts,
        Ok(None) => {
            let how = "the operator account sees no table (GRANT SELECT ON *.* lets it)";
            course.step(Phase::Start, format!("row counts are not compared: {how}"));
            return None;
        }
        Err(error) => {
            course.step(Phase::Start, format!("row counts are not compared: {}", in_full(&error)));
            return None;
        }
    };
    let RowCounts { equal, left_out, differing } = &counts;
    let left = if *left_out == 0 { String::new() } else { format!(", left out: {left_out}") };
    course.step(Phase::Start, format!("tables with equal row counts on all replicas: {equal}{left}"));
    for table in differing {
        let message = format!("replicas differ: {table}");
        course.ports.conductor.events.send(Phase::Start, EventKind::Warned { message });
    }
    Some(counts)
}

async fn counted(course: &Course<'_>) -> Result<Option<RowCounts>, PortError> {
    let galera = course.ports.conductor.galera;
    let servers = servers(course).await?;
    let tables = galera.tables(&servers[0].address).await?;
    if tables.is_empty() {
        return Ok(None);
    }
    let (mut open, left_out) = chosen(tables);
    let mut counts = RowCounts { left_out, ..RowCounts::default() };
    for _ in 0..ROUNDS {
        counts.differing.clear();
        let mut differing = Vec::new();
        for (table, said) in count(course, &servers, open).await? {
            match judge(&said) {
                Verdict::Equal => counts.equal += 1,
                Verdict::Unknown => counts.left_out += 1,
                Verdict::Differs(rows) => {
                    let rows = servers.iter().map(|server| server.pod.clone()).zip(rows).collect();
                    counts.differing.push(Differing { table: table.to_string(), rows });
                    differing.push(table);
                }
            }
        }
        open = differing;
        if open.is_empty() {
            break;
        }
    }
    Ok(Some(counts))
}

/// The servers of all replicas, the leader's first.
async fn servers(course: &Course<'_>) -> Result<Vec<Server>, PortError> {
    let conductor = course.ports.conductor;
    let view = patiently(conductor, || conductor.cluster.view()).await?;
    let find = |pod: String| match view.pod(&pod).and_then(|of| of.ip.clone()) {
        Some(host) => Ok(Server { pod, address: ServerAddress { host, port: view.server.port } }),
        None => Err(PortError::new(Reason::Missing, format!("{pod} has no address"))),
    };
    all(course).into_iter().map(|replica| find(replica.pod)).collect()
}

/// The tables to count, the smallest first, and how many are left out.
fn chosen(mut tables: Vec<Table>) -> (Vec<Table>, usize) {
    let found = tables.len();
    tables.retain(|table| table.about_rows <= LARGEST);
    tables.sort_by_key(|table| table.about_rows);
    tables.truncate(TABLES);
    let left_out = found - tables.len();
    (tables, left_out)
}

/// Rows of each table: the leader's, then the others', then the leader's again.
async fn count(
    course: &Course<'_>,
    servers: &[Server],
    tables: Vec<Table>,
) -> Result<Vec<(Table, Vec<Option<u64>>)>, PortError> {
    let galera = course.ports.conductor.galera;
    let (leader, others) = servers.split_first().expect("a cluster has a leader");
    let mut columns = vec![galera.count_rows(&leader.address, &tables, ROUND_LIMIT).await?];
    let rest = others.iter().map(|server| galera.count_rows(&server.address, &tables, ROUND_LIMIT));
    for column in join_all(rest).await {
        columns.push(column?);
    }
    columns.push(galera.count_rows(&leader.address, &tables, ROUND_LIMIT).await?);
    let row = |n: usize| columns.iter().map(|column| column.get(n).copied().flatten()).collect();
    Ok(tables.iter().cloned().enumerate().map(|(n, table)| (table, row(n))).collect())
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Equal,
    Differs(Vec<u64>),
    /// Not everybody could count it.
    Unknown,
}

/// Judges what was said of one table: by the leader, the others, and the leader again.
fn judge(said: &[Option<u64>]) -> Verdict {
    let Some(rows) = said.iter().copied().collect::<Option<Vec<u64>>>() else { return Verdict::Unknown };
    let [before, others @ .., after] = rows.as_slice() else { return Verdict::Unknown };
    let between = *before.min(after)..=*before.max(after);
    if others.iter().all(|rows| between.contains(rows)) {
        return Verdict::Equal;
    }
    Verdict::Differs(rows[..rows.len() - 1].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_agrees_that_counts_what_the_leader_had_meanwhile() {
        assert_eq!(judge(&[Some(7), Some(7), Some(7), Some(7)]), Verdict::Equal);
        assert_eq!(judge(&[Some(7), Some(8), Some(9)]), Verdict::Equal);
        assert_eq!(judge(&[Some(9), Some(8), Some(7)]), Verdict::Equal, "rows are deleted, too");
        assert_eq!(judge(&[Some(7), Some(7), Some(6), Some(7)]), Verdict::Differs(vec![7, 7, 6]));
    }

    #[test]
    fn what_somebody_could_not_count_is_no_difference() {
        assert_eq!(judge(&[Some(7), None, Some(7)]), Verdict::Unknown);
    }

    #[test]
    fn small_tables_are_counted_first_and_huge_ones_not_at_all() {
        let table = |about_rows| Table { schema: "s".to_owned(), name: format!("t{about_rows}"), about_rows };
        let (chosen, left_out) = chosen(vec![table(LARGEST + 1), table(9), table(2)]);
        assert_eq!((chosen, left_out), (vec![table(2), table(9)], 1));
    }
}
