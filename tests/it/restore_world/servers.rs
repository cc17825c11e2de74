//! How the simulated StatefulSet starts and stops servers, and how those find each other.

use std::collections::btree_map::Entry;

use mariadb_backup::model::obligation::RestoreDebt;
use mariadb_backup::model::rows::Table;

use super::{Data, NEW, Server, State};

impl State {
    pub(super) fn tables(&self) -> Vec<Table> {
        let table = |name: &str| Table { schema: "shop".to_owned(), name: name.to_owned(), about_rows: 7 };
        if self.tables_are_closed { Vec::new() } else { vec![table("customers"), table("orders")] }
    }

    pub(super) fn rows_on(&self, n: i32, table: &Table) -> u64 {
        table.about_rows + u64::from(self.has_a_row_more == Some(n)) - u64::from(self.has_lost_a_row)
    }

    /// Makes the pods as the StatefulSet asks for, and lets every server come up as far as it can.
    pub(super) fn reconcile(&mut self) {
        let range = self.scale.first..self.scale.first + self.scale.replicas;
        self.pods.retain(|n, server| range.contains(n) || server.stuck);
        self.headless = self.headless.filter(|n| self.pods.contains_key(n));
        for n in range {
            if let Entry::Vacant(place) = self.pods.entry(n) {
                place.insert(Server { serves: None, stuck: false });
                if self.volumes[&n].data == Data::Half {
                    self.broken.push(format!("db-{n} was started from a half-filled volume"));
                }
            }
        }
        while self.start_one() {}
    }

    /// Lets one server that does not serve do so; `false` when none can.
    fn start_one(&mut self) -> bool {
        let serving = self.pods.values().find_map(|server| server.serves.clone());
        let waiting: Vec<i32> = self.pods.iter().filter(|(_, of)| of.serves.is_none()).map(|(n, _)| *n).collect();
        for n in waiting {
            let history = match &serving {
                Some(history) => Some(history.clone()),
                None => self.bootstraps(n),
            };
            if self.stray == Some(n) && history.as_deref() == Some(NEW) {
                continue;
            }
            let Some(history) = history.filter(|history| !(self.restored_is_sick && history == NEW)) else { continue };
            if self.is_in_doubt(n) {
                if serving.is_none() && !self.is_beyond_all(n) && self.chosen_debt().is_none() {
                    self.broken.push(format!("db-{n} started the cluster, and may have half of what its donor has"));
                }
                // Whoever joins gets everything anew.
                self.in_doubt.remove(&n);
            }
            if let Some(volume) = self.volumes.get_mut(&n) {
                // Another history's data are given up for a state transfer.
                let seqno = match &volume.data {
                    Data::Whole { history: own, seqno, .. } if *own == history => *seqno,
                    _ => 0,
                };
                volume.data = Data::Whole { history: history.clone(), seqno, safe: false };
            }
            self.pods.insert(n, Server { serves: Some(history), stuck: false });
            return true;
        }
        false
    }

    /// The restore whose leader a person has chosen, if one has.
    pub(super) fn chosen_debt(&self) -> Option<&RestoreDebt> {
        let debt = self.obligation.as_ref().and_then(|owed| owed.debt.restore());
        debt.filter(|debt| debt.chosen.is_some())
    }

    /// Whether nobody whose data are surely whole is as far as a replica.
    fn is_beyond_all(&self, n: i32) -> bool {
        let Data::Whole { seqno: own, .. } = self.volumes[&n].data else { return false };
        self.volumes.iter().filter(|(other, _)| !self.is_in_doubt(**other)).all(|(_, other)| match &other.data {
            Data::Whole { seqno, .. } => *seqno < own,
            Data::Empty | Data::Half => true,
        })
    }

    /// The history in which a server would start the cluster, if it may.
    fn bootstraps(&mut self, n: i32) -> Option<String> {
        match &self.volumes[&n].data {
            Data::Whole { history, safe: true, .. } => Some(history.clone()),
            Data::Whole { .. } if self.is_in_doubt(n) => None,
            Data::Whole { history, seqno, .. } => {
                // Nobody is marked: the furthest does it, once all have told where they are.
                let all_there = i32::try_from(self.pods.len()) == Ok(self.replicas);
                let is_furthest = self.volumes.values().all(|volume| match &volume.data {
                    Data::Whole { history: other, seqno: at, .. } => other == history && at <= seqno,
                    Data::Empty => true,
                    Data::Half => false,
                });
                (all_there && is_furthest).then(|| history.clone())
            }
            // An empty server alone in an ordered set makes new data: what must never happen here.
            Data::Empty if n == 0 && self.scale.replicas == 1 => {
                self.broken.push("db-0 was started empty and alone".to_owned());
                None
            }
            Data::Empty | Data::Half => None,
        }
    }
}
