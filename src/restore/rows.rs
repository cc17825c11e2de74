//! Whether the rows that are served are those that were proven, and whether all replicas hold the same.
//!
//! The first is asked of the leader while it is alone. Its write-sets tell whether any client has written since the data
//! were put into place; when none has, a single row more or less is a flaw of what is there. The second is asked once all
//! have joined, table by table.
//!
//! Clients write meanwhile, and no two servers are asked at the same moment. So the leader is counted before
//! and after the others: a replica that agrees has a number from between the two. A table that is written at
//! that very moment can fail this by chance, and is counted again; one that differs in truth fails it every
//! time, and always on the same side.

use std::time::Duration;

use futures::future::join_all;

use super::course::{Course, StepError};
use super::phase3_start::all;
use crate::model::cluster::ClusterView;
use crate::model::event::{EventKind, Phase};
use crate::model::galera::Member;
use crate::model::order::ServerAddress;
use crate::model::outcome::in_full;
use crate::model::rows::{Counted, Differing, RowCounts, Table, countable};
use crate::patience::patiently;
use crate::ports::{PortError, Reason};

/// Write-sets of a server that starts the cluster: the view of its members.
const FOUNDING: i64 = 1;

/// Why there is nothing to count.
const NO_TABLE: &str = "the operator account sees no table (GRANT SELECT ON *.* lets it)";

/// So many tables are named that have other rows than were proven.
const NAMED: usize = 5;

/// How often a table is counted that seems to differ.
const ROUNDS: usize = 5;

/// How long one replica may count in one round; tables it does not come to are left out.
const ROUND_LIMIT: Duration = Duration::from_secs(20);

/// One replica's server.
struct Server {
    pod: String,
    address: ServerAddress,
}

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
        // Its own word that it cannot read what could be read.
        Err(error) if error.reason == Reason::Other => return Ok(Served::Broken(in_full(&error))),
        counts => counts?,
    };
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

/// Whether clients may have written since the data were put into place. A server that was started again counts its
/// write-sets from 0 again, and not their numbers: of these, the one that founds the cluster is its own.
fn is_written(member: &Member, placed_at: Option<i64>) -> bool {
    member.replicated != Some(0) || placed_at.is_none_or(|at| member.last_committed > at + FOUNDING)
}

/// Counts the rows on all replicas, and tells what came of it. `None` when nothing was compared: the restore
/// is none the worse for it.
pub(super) async fn compare(course: &Course<'_>) -> Option<RowCounts> {
    if course.debt.others.is_empty() {
        return None;
    }
    let not_compared = |why: &str| course.step(Phase::Start, format!("row counts are not compared: {why}"));
    let counts = match counted(course).await {
        Ok(Some(counts)) => counts,
        Ok(None) => {
            not_compared(NO_TABLE);
            return None;
        }
        Err(error) => {
            not_compared(&in_full(&error));
            return None;
        }
    };
    let RowCounts { equal, left_out, differing, trouble } = &counts;
    let left = if *left_out == 0 { String::new() } else { format!(", not known of: {left_out}") };
    course.step(Phase::Start, format!("tables with equal row counts on all replicas: {equal}{left}"));
    let differing = differing.iter().map(|table| format!("replicas differ: {table}"));
    let trouble = trouble.iter().map(|why| format!("the row counts of the replicas could not all be compared: {why}"));
    for message in differing.chain(trouble) {
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
    let (tables, left_out) = countable(tables);
    let mut counts = RowCounts { left_out, ..RowCounts::default() };
    let mut open: Vec<Doubt> = tables.into_iter().map(Doubt::of).collect();
    for round in 0..ROUNDS {
        let said = match count(course, &servers, &open).await {
            Ok(said) => said,
            // What was seen until here stands.
            Err(error) => {
                counts.trouble = Some(in_full(&error));
                break;
            }
        };
        if round == 0 {
            counts.trouble = silent(&servers, &said);
        }
        let before = open.len();
        open = open.into_iter().zip(said).filter_map(|(doubt, said)| doubt.hear(&said)).collect();
        counts.equal += before - open.len();
        let heard = open.len();
        open.retain(Doubt::is_seen);
        counts.left_out += heard - open.len();
        if open.is_empty() {
            break;
        }
    }
    let pods: Vec<&str> = servers.iter().map(|server| server.pod.as_str()).collect();
    counts.differing = open.iter().filter(|doubt| doubt.is_difference()).map(|doubt| doubt.told(&pods)).collect();
    counts.left_out += open.len() - counts.differing.len();
    Ok(Some(counts))
}

/// The servers of all replicas, the leader's first.
async fn servers(course: &Course<'_>) -> Result<Vec<Server>, PortError> {
    let conductor = course.ports.conductor;
    let view = patiently(conductor, || conductor.cluster.view()).await?;
    all(course).iter().map(|replica| found(&view, &replica.pod)).collect()
}

async fn server(course: &Course<'_>, pod: &str) -> Result<Server, PortError> {
    let conductor = course.ports.conductor;
    found(&patiently(conductor, || conductor.cluster.view()).await?, pod)
}

fn found(view: &ClusterView, pod: &str) -> Result<Server, PortError> {
    match view.pod(pod).and_then(|of| of.ip.clone()) {
        Some(host) => Ok(Server { pod: pod.to_owned(), address: ServerAddress { host, port: view.server.port } }),
        None => Err(PortError::new(Reason::Missing, format!("{pod} has no address"))),
    }
}

/// Rows of each table: the leader's, then the others', then the leader's again.
async fn count(course: &Course<'_>, servers: &[Server], open: &[Doubt]) -> Result<Vec<Vec<Option<u64>>>, PortError> {
    let galera = course.ports.conductor.galera;
    let tables: Vec<Table> = open.iter().map(|doubt| doubt.table.clone()).collect();
    let (leader, others) = servers.split_first().expect("a cluster has a leader");
    let mut columns = vec![galera.count_rows(&leader.address, &tables, ROUND_LIMIT).await?];
    let rest = others.iter().map(|server| galera.count_rows(&server.address, &tables, ROUND_LIMIT));
    for column in join_all(rest).await {
        columns.push(column?);
    }
    columns.push(galera.count_rows(&leader.address, &tables, ROUND_LIMIT).await?);
    let row = |n: usize| columns.iter().map(|column| column.get(n).copied().flatten()).collect();
    Ok((0..tables.len()).map(row).collect())
}

/// Names a replica that could count nothing of what the leader could.
fn silent(servers: &[Server], said: &[Vec<Option<u64>>]) -> Option<String> {
    let can = |n: usize| said.iter().any(|row| row.get(n).copied().flatten().is_some());
    let mute = (1..servers.len()).find(|n| can(0) && !can(*n))?;
    Some(format!("{} counts the rows of no table", servers[mute].pod))
}

/// A table on which not all have agreed yet, with what was counted so far.
struct Doubt {
    table: Table,
    /// Every number the leader had.
    leader: Vec<u64>,
    /// Of each other replica, its number in each round.
    others: Vec<Vec<u64>>,
}

impl Doubt {
    fn of(table: Table) -> Self {
        Self { table, leader: Vec::new(), others: Vec::new() }
    }

    /// Takes in what was said in a round, by the leader, the others, and the leader again; `None` when all
    /// agree. What not everybody could count says nothing.
    fn hear(mut self, said: &[Option<u64>]) -> Option<Self> {
        let Some(rows) = said.iter().copied().collect::<Option<Vec<u64>>>() else { return Some(self) };
        let [before, others @ .., after] = rows.as_slice() else { return Some(self) };
        let between = *before.min(after)..=*before.max(after);
        if others.iter().all(|rows| between.contains(rows)) {
            return None;
        }
        self.leader.extend([before, after]);
        self.others.resize(others.len(), Vec::new());
        for (all, rows) in self.others.iter_mut().zip(others) {
            all.push(*rows);
        }
        Some(self)
    }

    fn is_seen(&self) -> bool {
        !self.leader.is_empty()
    }

    /// Whether a replica was beyond everything the leader ever had, always on the same side: numbers that go
    /// up and down meet by chance, and then nothing is known.
    fn is_difference(&self) -> bool {
        let (Some(low), Some(high)) = (self.leader.iter().min(), self.leader.iter().max()) else { return false };
        self.others.iter().any(|all| all.iter().all(|rows| rows < low) || all.iter().all(|rows| rows > high))
    }

    fn told(&self, pods: &[&str]) -> Differing {
        let last = self.leader.last().into_iter().chain(self.others.iter().filter_map(|all| all.last()));
        let rows = pods.iter().map(|pod| (*pod).to_owned()).zip(last.copied()).collect();
        Differing { table: self.table.to_string(), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(about_rows: u64) -> Table {
        Table { schema: "s".to_owned(), name: format!("t{about_rows}"), about_rows }
    }

    fn heard(rounds: &[[u64; 3]]) -> Option<Doubt> {
        let hear = |doubt: Option<Doubt>, said: &[u64; 3]| doubt?.hear(&said.map(Some));
        rounds.iter().fold(Some(Doubt::of(table(1))), hear)
    }

    #[test]
    fn a_replica_agrees_that_counts_what_the_leader_had_meanwhile() {
        for agreed in [[7, 7, 7], [7, 8, 9], [9, 8, 7]] {
            assert!(heard(&[agreed]).is_none(), "{agreed:?}");
        }
        assert!(heard(&[[7, 6, 7], [9, 9, 9]]).is_none(), "the second time");
    }

    #[test]
    fn a_replica_differs_that_is_beyond_the_leader_every_time() {
        let doubt = heard(&[[7, 6, 7], [9, 6, 9]]).unwrap();
        assert!(doubt.is_difference());
        let rows = vec![("db-0".to_owned(), 9), ("db-1".to_owned(), 6)];
        assert_eq!(doubt.told(&["db-0", "db-1"]), Differing { table: "s.t1".to_owned(), rows });
    }

    #[test]
    fn a_table_that_goes_up_and_down_is_no_difference() {
        assert!(!heard(&[[7, 6, 7], [5, 9, 5]]).unwrap().is_difference());
    }

    #[test]
    fn a_difference_that_was_seen_is_not_forgotten_when_it_cannot_be_counted_again() {
        let doubt = heard(&[[7, 6, 7]]).unwrap().hear(&[Some(7), None, Some(7)]).unwrap();
        assert!(doubt.is_seen() && doubt.is_difference());
        let unknown = Doubt::of(table(1)).hear(&[Some(7), None, Some(7)]).unwrap();
        assert!(!unknown.is_seen() && !unknown.is_difference());
    }

    #[test]
    fn a_replica_that_counts_nothing_is_named() {
        let address = ServerAddress { host: "h".to_owned(), port: 1 };
        let servers = ["db-0", "db-1"].map(|pod| Server { pod: pod.to_owned(), address: address.clone() });
        let said = [vec![Some(1), None, Some(1)], vec![None, None, None]];
        assert_eq!(silent(&servers, &said).as_deref(), Some("db-1 counts the rows of no table"));
        assert_eq!(silent(&servers, &[vec![None, None, None]]), None, "nobody may read it");
    }
}
