//! The simulated runner that boots a backup: it reads every member of the chain from its store.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::galera::Position;
use mariadb_backup::model::order::ProveOrder;
use mariadb_backup::model::outcome::{Failure, Outcome};
use mariadb_backup::model::report::{ProveReport, ProvenLogins};

use super::{STATE_UUID, World};

impl World {
    /// Boots the chain, or says which member is not what it should be.
    pub(super) fn prove(&self, order: &ProveOrder) -> String {
        let mut state = self.lock();
        let mut members = order.chain.iter().zip(&order.from);
        let flaw = members.find(|(backup, store)| !state.shelves.of(**store).has_whole(backup));
        let outcome = match flaw {
            Some((backup, _)) => {
                let what = format!("{backup} is not what was recorded");
                Outcome::failed(Failure::new(ExitCode::VerificationFailed, what), Vec::new())
            }
            None if order.query.as_ref().is_some_and(|query| !query.starts_with("SELECT")) => {
                Outcome::failed(Failure::new(ExitCode::Usage, "ERROR 1064"), Vec::new())
            }
            None => Outcome::done(report(order), Vec::new()),
        };
        serde_json::to_string(&outcome).unwrap()
    }
}

fn report(order: &ProveOrder) -> ProveReport {
    ProveReport {
        backup: order.chain.last().unwrap().clone(),
        stored_bytes: 2,
        unpacked_bytes: 2,
        tables: 1,
        schemas: 1,
        server_version: "10.11.19-MariaDB".to_owned(),
        history_uuid: None,
        position: Some(Position { uuid: STATE_UUID.to_owned(), seqno: 1 }),
        logins: ProvenLogins::default(),
        query_result: None,
        unpack_millis: 1,
        prepare_millis: 1,
        boot_millis: 1,
        check_millis: 1,
    }
}
