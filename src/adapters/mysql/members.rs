//! The members of a group as the conductor reaches them: by SQL, one by one.

use std::time::Duration;

use async_trait::async_trait;

use super::session::{Credentials, SqlSession};
use crate::model::galera::Member;
use crate::model::order::ServerAddress;
use crate::model::rows::Table;
use crate::ports::conductor::{Galera, Gate};
use crate::ports::{PortError, Reason};

/// How long OFF may take: it returns at once unless the server is stuck.
const DESYNC_LIMIT: Duration = Duration::from_mins(1);

/// The members, reached with one account.
pub struct GaleraMembers {
    credentials: Credentials,
    gate: String,
}

impl GaleraMembers {
    /// Reaches members with that account; `gate` names the advisory lock runners wait for.
    #[must_use]
    pub fn new(credentials: Credentials, gate: &str) -> Self {
        Self { credentials, gate: gate.to_owned() }
    }
}

#[async_trait]
impl Galera for GaleraMembers {
    async fn member(&self, server: &ServerAddress) -> Result<Member, PortError> {
        let mut session = SqlSession::connect(server, &self.credentials).await?;
        let member = session.member().await?;
        session.close().await;
        Ok(member)
    }

    async fn tables(&self, server: &ServerAddress) -> Result<Vec<Table>, PortError> {
        let mut session = SqlSession::connect(server, &self.credentials).await?;
        let tables = session.tables().await?;
        session.close().await;
        Ok(tables)
    }

    async fn count_rows(
        &self,
        server: &ServerAddress,
        tables: &[Table],
        limit: Duration,
    ) -> Result<Vec<Option<u64>>, PortError> {
        let mut session = SqlSession::connect(server, &self.credentials).await?;
        let counts = session.count_rows(tables, limit).await?;
        session.close().await;
        Ok(counts)
    }

    async fn close_gate(&self, server: &ServerAddress) -> Result<Box<dyn Gate>, PortError> {
        let mut session = SqlSession::connect(server, &self.credentials).await?;
        if !session.take_lock(&self.gate, Duration::ZERO).await? {
            let what = format!("another run is at work on MariaDB at {}: it holds the lock {}", server.host, self.gate);
            return Err(PortError::new(Reason::Conflict, what)
                .with_hint("to see the runs there are: kubectl get pods -l app.kubernetes.io/name=mariadb-backup"));
        }
        Ok(Box::new(AdvisoryGate { session, name: self.gate.clone() }))
    }

    async fn set_desync_off(&self, server: &ServerAddress, gcomm_uuid: &str) -> Result<bool, PortError> {
        // Both on one connection: it ends with its server, so OFF cannot reach another.
        let mut session = SqlSession::connect(server, &self.credentials).await?;
        let same = session.member().await?.gcomm_uuid == gcomm_uuid;
        if same {
            session.set_desync(false, DESYNC_LIMIT).await?;
        }
        session.close().await;
        Ok(same)
    }
}

/// The name of the lock that tells a released gate from a conductor that died.
#[must_use]
pub fn go_lock(gate: &str) -> String {
    format!("{gate}.go")
}

/// The name of the lock that holds a desynced runner back until traffic has left.
#[must_use]
pub fn drain_lock(gate: &str) -> String {
    format!("{gate}.drain")
}

struct AdvisoryGate {
    session: SqlSession,
    name: String,
}

#[async_trait]
impl Gate for AdvisoryGate {
    async fn open(&mut self, hold: bool) -> Result<(), PortError> {
        // Before the gate, so that the runner cannot find it free in between.
        if hold && !self.session.take_lock(&drain_lock(&self.name), Duration::ZERO).await? {
            let what = format!("the lock {} is held by somebody else", drain_lock(&self.name));
            return Err(PortError::new(Reason::Conflict, what));
        }
        if !self.session.take_lock(&go_lock(&self.name), Duration::ZERO).await? {
            let what = format!("the lock {} is held by somebody else", go_lock(&self.name));
            return Err(PortError::new(Reason::Conflict, what));
        }
        self.session.release_lock(&self.name).await
    }

    async fn drained(&mut self) -> Result<(), PortError> {
        self.session.release_lock(&drain_lock(&self.name)).await
    }
}
