//! Whether all replicas hold the same rows: counted table by table once all have joined.
//!
//! Clients write meanwhile, and no two servers are asked at the same moment. So the leader is counted before
//! and after the others: a replica that agrees has a number from between the two. A table that is written at
//! that very moment can fail this by chance, and is counted again; one that differs in truth fails it every
//! time, and always on the same side.

use std::time::Duration;

use futures::future::join_all;

use super::course::Course;
use super::phase3_start::all;
use crate::model::cluster::ClusterView;
use crate::model::event::{EventKind, Phase};
use crate::model::order::ServerAddress;
use crate::model::outcome::in_full;
use crate::model::rows::{Differing, RowCounts, Table, countable};
use crate::patience::patiently;
use crate::ports::{PortError, Reason};

/// Why there is nothing to count.
pub(super) const NO_TABLE: &str = "the operator account sees no table (GRANT SELECT ON *.* lets it)";

/// How often a table is counted that seems to differ.
const ROUNDS: usize = 5;

/// How long one replica may count in one round; tables it does not come to are left out.
pub(super) const ROUND_LIMIT: Duration = Duration::from_secs(20);

/// One replica's server.
pub(super) struct Server {
    pod: String,
    pub(super) address: ServerAddress,
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

pub(super) async fn server(course: &Course<'_>, pod: &str) -> Result<Server, PortError> {
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
