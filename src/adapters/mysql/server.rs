//! The server beside a runner, by SQL.
//!
//! Each purpose has a connection of its own: one holds the gate until the runner ends, one asks and
//! sets, one is the pulse. A connection is taken out while a statement runs and only put back after
//! its answer, so a statement that was given up never leaves half an answer for the next one.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::members::{drain_lock, go_lock};
use super::session::{Credentials, SqlSession};
use crate::model::galera::Member;
use crate::model::order::ServerAddress;
use crate::ports::runner::{Account, GoAhead, Identity, Server};
use crate::ports::{PortError, Reason};

/// A pulse that takes longer is missed.
const PULSE_LIMIT: Duration = Duration::from_secs(5);

/// Taking back a statement that hangs must not hang itself.
const KILL_LIMIT: Duration = Duration::from_secs(15);

/// A connection that does not end by then is dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A connection that is there when the last statement on it was answered.
type Slot = Mutex<Option<SqlSession>>;

/// The server beside a runner.
pub struct ServerBeside {
    address: ServerAddress,
    operator: Credentials,
    backup: Credentials,
    gate: Slot,
    control: Slot,
    pulse: Slot,
}

impl ServerBeside {
    /// Makes one; nothing is connected yet.
    #[must_use]
    pub fn new(address: ServerAddress, operator: Credentials, backup: Credentials) -> Self {
        let (gate, control, pulse) = (Slot::default(), Slot::default(), Slot::default());
        Self { address, operator, backup, gate, control, pulse }
    }

    /// Takes the connection out of its slot, or makes a new one.
    async fn take(&self, slot: &Slot) -> Result<SqlSession, PortError> {
        match slot.lock().await.take() {
            Some(session) => Ok(session),
            None => SqlSession::connect(&self.address, &self.operator).await,
        }
    }

    /// The server's numbers for the connections that wait in their slots.
    async fn ids(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        for slot in [&self.pulse, &self.control, &self.gate] {
            ids.extend(slot.lock().await.as_ref().map(SqlSession::id));
        }
        ids
    }

    async fn ask_member_id(session: &mut SqlSession) -> Result<String, PortError> {
        let statement = "SHOW GLOBAL STATUS LIKE 'wsrep_gcomm_uuid'";
        let mut pairs = session.pairs("read the member id", statement).await?;
        Ok(pairs.remove("wsrep_gcomm_uuid").unwrap_or_default())
    }

    /// Sets the desync within a limit, and takes the statement back when it hangs in the server.
    ///
    /// It would hang there behind a global read lock, and strike long after we had given up.
    async fn set_desync(&self, session: &mut SqlSession, on: bool, limit: Duration) -> Result<(), PortError> {
        let id = session.id();
        match session.set_desync(on, limit).await {
            Err(error) if error.reason == Reason::Unreachable => {
                let kill = async { SqlSession::connect(&self.address, &self.operator).await?.kill(id).await };
                if let Err(error) = within(KILL_LIMIT, "take the hanging wsrep_desync back", kill).await {
                    tracing::warn!(%error, "the statement may still be waiting in the server");
                }
                Err(error)
            }
            result => result,
        }
    }
}

/// Gives a call a limit of its own.
async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let late = |_| PortError::new(Reason::TimedOut, format!("cannot {what} within {} s", limit.as_secs()));
    tokio::time::timeout(limit, call).await.map_err(late)?
}

#[async_trait]
impl Server for ServerBeside {
    async fn member(&self) -> Result<Member, PortError> {
        let mut session = self.take(&self.control).await?;
        let member = session.member().await?;
        *self.control.lock().await = Some(session);
        Ok(member)
    }

    async fn pulse(&self) -> Result<String, PortError> {
        within(PULSE_LIMIT, "ask the server for its member id", async {
            let mut session = self.take(&self.pulse).await?;
            let id = Self::ask_member_id(&mut session).await?;
            *self.pulse.lock().await = Some(session);
            Ok(id)
        })
        .await
    }

    async fn grants(&self, account: Account) -> Result<Vec<String>, PortError> {
        let credentials = match account {
            Account::Operator => &self.operator,
            Account::Backup => &self.backup,
        };
        let mut session = SqlSession::connect(&self.address, credentials).await?;
        let grants = session.texts("read the grants", "SHOW GRANTS").await?;
        session.close().await;
        Ok(grants)
    }

    async fn wait_for_go_ahead(&self, gate: &str, limit: Duration) -> Result<GoAhead, PortError> {
        let mut session = self.take(&self.gate).await?;
        if !session.take_lock(gate, limit).await? {
            return Ok(GoAhead::TimedOut);
        }
        let conductor_lives = session.is_locked(&go_lock(gate)).await?;
        *self.gate.lock().await = Some(session);
        Ok(if conductor_lives { GoAhead::Given } else { GoAhead::Abandoned })
    }

    async fn wait_for_drain(&self, gate: &str, limit: Duration) -> Result<bool, PortError> {
        let mut session = self.take(&self.gate).await?;
        let name = drain_lock(gate);
        let free = session.take_lock(&name, limit).await?;
        if free {
            session.release_lock(&name).await?;
        }
        *self.gate.lock().await = Some(session);
        Ok(free)
    }

    async fn desync_on(&self, limit: Duration) -> Result<(), PortError> {
        let mut session = self.take(&self.control).await?;
        self.set_desync(&mut session, true, limit).await?;
        *self.control.lock().await = Some(session);
        Ok(())
    }

    async fn desync_off(&self, gcomm_uuid: &str, limit: Duration) -> Result<Identity, PortError> {
        // Both statements on one connection: it ends with its server, so OFF cannot reach another.
        let mut session = self.take(&self.control).await?;
        if Self::ask_member_id(&mut session).await? != gcomm_uuid {
            return Ok(Identity::Other);
        }
        self.set_desync(&mut session, false, limit).await?;
        *self.control.lock().await = Some(session);
        Ok(Identity::Same)
    }

    async fn end_copy_sessions(&self) -> Result<usize, PortError> {
        // By the tool's own account, which sees and may end its own connections without any right.
        let own = if self.operator.username == self.backup.username { self.ids().await } else { Vec::new() };
        within(KILL_LIMIT, "end what mariadb-backup left on the server", async {
            let mut session = SqlSession::connect(&self.address, &self.backup).await?;
            let mut left = session.siblings().await?;
            left.retain(|id| !own.contains(id));
            for id in &left {
                session.kill(*id).await?;
            }
            session.close().await;
            Ok(left.len())
        })
        .await
    }

    async fn close(&self) {
        for slot in [&self.pulse, &self.control, &self.gate] {
            if let Some(session) = slot.lock().await.take() {
                // A server that does not take its leave loses the connection when this process ends.
                let _late = tokio::time::timeout(CLOSE_LIMIT, session.close()).await;
            }
        }
    }
}
