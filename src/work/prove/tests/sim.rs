//! A world that can be proven in: every port but the stores, with a fault or a stop at any effect.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::rows::Counted;
use crate::ports::prove::{
    Answer, KnownAccount, LogIn, Most, Preparation, PrepareRun, Preparer, ProofSql, Rows, Scratch, ServerEnd,
    ServerLogIn, Throwaway, ThrowawayRun, Unpacked,
};
use crate::ports::runner::{Account, EngineEnd};
use crate::ports::{Clock, PortError, Reason};
use crate::work::stop::Stopper;

/// What happens at one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Fails,
    Stops,
}

/// How the programs of this world are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Well,
    ToolHangs,
    ToolFails,
    ServerDies,
    ServerNeverAnswers,
    ServerNeverEnds,
    ServerEndsBadly,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may be so in a world")]
pub(super) struct State {
    pub(super) effects: usize,
    pub(super) fault: Option<(usize, Fault)>,
    pub(super) stopper: Option<Stopper>,
    pub(super) mood: Mood,
    pub(super) journal: Vec<String>,
    /// Processes that were started and not waited for.
    pub(super) alive: usize,
    pub(super) directories: Vec<String>,
    pub(super) millis: u64,
    pub(super) has_galera: bool,
    pub(super) is_of_another_series: bool,
    /// Whether there is an account that the servers' own pods use.
    pub(super) has_server_account: bool,
    /// Whether nothing of the pods needs it for sure.
    pub(super) is_only_a_variable: bool,
    /// As which it is known where it is not let in.
    pub(super) server_refused: Option<Vec<KnownAccount>>,
    /// The key for the original's encrypted backups.
    pub(super) original_key: Option<Vec<u8>>,
    /// The scratch is full once the tool works in it.
    pub(super) fills_up: bool,
}

/// The world: all ports but the stores.
#[derive(Clone, Default)]
pub(super) struct Sim(Arc<Mutex<State>>);

impl Sim {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn effect(&self, what: impl Into<String>) -> Result<(), PortError> {
        let mut state = self.lock();
        let number = state.effects;
        state.effects += 1;
        state.journal.push(what.into());
        match state.fault {
            Some((at, Fault::Fails)) if at == number => Err(PortError::new(Reason::Other, "the fault of this test")),
            Some((at, Fault::Stops)) if at == number => {
                state.stopper.as_ref().unwrap().stop();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn io(&self, what: String) -> io::Result<()> {
        self.effect(what).map_err(io::Error::other)
    }
}

#[async_trait]
impl Clock for Sim {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.lock().millis)
    }

    async fn sleep(&self, time: Duration) {
        tokio::task::yield_now().await;
        self.lock().millis += u64::try_from(time.as_millis()).unwrap();
    }
}

impl Scratch for Sim {
    fn place(&self) -> String {
        "/scratch".to_owned()
    }

    fn names(&self) -> Result<Vec<String>, PortError> {
        self.effect("names")?;
        Ok(self.lock().directories.clone())
    }

    fn free_bytes(&self) -> Result<u64, PortError> {
        self.effect("room")?;
        let is_filled = self.lock().fills_up && self.lock().journal.iter().any(|step| step.starts_with("prepare"));
        Ok(if is_filled { 7 } else { 1 << 40 })
    }

    fn make(&self, directory: &str) -> Result<Box<dyn Unpacked>, PortError> {
        self.effect(format!("make {directory}"))?;
        self.lock().directories.push(directory.to_owned());
        Ok(Box::new(self.clone()))
    }

    fn remove(&self, directory: &str) -> Result<(), PortError> {
        self.effect(format!("remove {directory}"))?;
        self.lock().directories.retain(|name| name != directory);
        Ok(())
    }

    fn discard(&self) -> Result<(), PortError> {
        self.effect("discard")?;
        self.lock().directories.clear();
        Ok(())
    }

    fn make_durable(&self) -> Result<(), PortError> {
        self.effect("durable")
    }

    fn galera_info(&self, directory: &str) -> Result<Option<String>, PortError> {
        self.effect(format!("position of {directory}"))?;
        Ok(Some("5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711 1-2-3\n".to_owned()))
    }

    fn forget_cluster(&self, directory: &str) -> Result<(), PortError> {
        self.effect(format!("forget cluster of {directory}"))
    }

    fn forget_session(&self, directory: &str) -> Result<(), PortError> {
        self.effect(format!("forget session of {directory}"))
    }
}

impl Unpacked for Sim {
    fn begin(&mut self, path: &str, _: bool) -> io::Result<()> {
        self.io(format!("begin {path}"))
    }

    fn write(&mut self, path: &str, _: u64, _: &[u8]) -> io::Result<()> {
        self.io(format!("write {path}"))
    }

    fn close(&mut self, path: &str, _: u64) -> io::Result<()> {
        self.io(format!("close {path}"))
    }

    fn rename(&mut self, path: &str, to: &str) -> io::Result<()> {
        self.io(format!("rename {path} to {to}"))
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.io(format!("remove file {path}"))
    }
}

/// A process of this world.
pub(super) struct SimRun {
    sim: Sim,
    is_over: Mutex<bool>,
    is_asked: Mutex<bool>,
    is_killed: Mutex<bool>,
}

impl SimRun {
    fn start(sim: &Sim, what: &str) -> Result<Box<Self>, PortError> {
        sim.effect(what)?;
        sim.lock().alive += 1;
        Ok(Box::new(Self {
            sim: sim.clone(),
            is_over: Mutex::new(false),
            is_asked: Mutex::new(false),
            is_killed: Mutex::new(false),
        }))
    }

    fn end(&self) {
        if !std::mem::replace(&mut *self.is_over.lock().unwrap(), true) {
            self.sim.lock().alive -= 1;
        }
    }

    fn is_killed(&self) -> bool {
        *self.is_killed.lock().unwrap()
    }
}

#[async_trait]
impl PrepareRun for SimRun {
    fn interrupt(&self) {
        *self.is_asked.lock().unwrap() = true;
    }

    fn kill(&self) {
        *self.is_killed.lock().unwrap() = true;
    }

    async fn wait(&mut self) -> Result<EngineEnd, PortError> {
        let mood = self.sim.lock().mood;
        let is_ended = self.is_killed() || (mood != Mood::ToolHangs && *self.is_asked.lock().unwrap());
        if mood == Mood::ToolHangs && !is_ended {
            std::future::pending::<()>().await;
        }
        if !is_ended {
            self.sim.effect("tool ends")?;
        }
        self.end();
        let is_good = !is_ended && mood != Mood::ToolFails;
        let complaints = vec!["[ERROR] why".to_owned()];
        Ok(EngineEnd {
            exit_ok: is_good,
            how: "exit code 1".to_owned(),
            completed: is_good,
            last_lines: complaints.clone(),
            complaints,
        })
    }
}

#[async_trait]
impl ThrowawayRun for SimRun {
    fn has_galera(&self) -> bool {
        self.sim.lock().has_galera
    }

    fn terminate(&self) {
        *self.is_asked.lock().unwrap() = true;
    }

    fn kill(&self) {
        *self.is_killed.lock().unwrap() = true;
    }

    async fn wait(&mut self) -> Result<ServerEnd, PortError> {
        let mood = self.sim.lock().mood;
        let is_asked = *self.is_asked.lock().unwrap() && mood != Mood::ServerNeverEnds;
        if !is_asked && !self.is_killed() && mood != Mood::ServerDies {
            std::future::pending::<()>().await;
        }
        if !self.is_killed() {
            self.sim.effect("server ends")?;
        }
        self.end();
        let exit_ok = is_asked && !self.is_killed() && mood != Mood::ServerEndsBadly;
        Ok(ServerEnd { exit_ok, how: "signal 11".to_owned() })
    }

    fn complaints(&self) -> Vec<String> {
        vec!["[ERROR] why".to_owned()]
    }

    fn last_lines(&self) -> Vec<String> {
        vec!["[Note] how it began".to_owned(), "[ERROR] why".to_owned()]
    }
}

#[async_trait]
impl Preparer for Sim {
    fn memory_limit(&self) -> Option<u64> {
        None
    }

    async fn version(&self) -> Result<String, PortError> {
        self.effect("tool version")?;
        let series = if self.lock().is_of_another_series { "11.4.2" } else { "10.11.9" };
        Ok(format!("mariadb-backup based on MariaDB server {series}-MariaDB"))
    }

    async fn start(&self, step: &Preparation) -> Result<Box<dyn PrepareRun>, PortError> {
        let what = format!("prepare {}", step.increment.as_ref().unwrap_or(&step.base));
        Ok(SimRun::start(self, &what)?)
    }
}

#[async_trait]
impl Throwaway for Sim {
    async fn boot(&self, directory: &str) -> Result<Box<dyn ThrowawayRun>, PortError> {
        Ok(SimRun::start(self, &format!("boot {directory}"))?)
    }
}

#[async_trait]
impl ProofSql for Sim {
    async fn answer(&self) -> Result<Answer, PortError> {
        self.effect("answer")?;
        let state = self.lock();
        if state.mood == Mood::ServerNeverAnswers {
            return Err(PortError::new(Reason::Unreachable, "nobody answers"));
        }
        let history_uuid = state.has_galera.then(|| "fresh".to_owned());
        Ok(Answer { version: "10.11.9-MariaDB".to_owned(), history_uuid })
    }

    async fn log_in(&self, account: Account) -> Result<LogIn, PortError> {
        self.effect(format!("log in {account:?}"))?;
        Ok(LogIn { username: format!("{account:?}"), refused: None })
    }

    async fn log_in_as_servers(&self) -> Vec<ServerLogIn> {
        if !self.lock().has_server_account {
            return Vec::new();
        }
        let refused = self.effect("log in as servers").map(|()| self.lock().server_refused.clone());
        vec![ServerLogIn {
            username: "root".to_owned(),
            from: "key k of Secret s".to_owned(),
            is_needed: !self.lock().is_only_a_variable,
            refused,
        }]
    }

    async fn schemas(&self) -> Result<Vec<String>, PortError> {
        self.effect("schemas").map(|()| vec!["shop".to_owned(), "empty".to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, PortError> {
        self.effect(format!("tables of {schema}"))?;
        Ok(if schema == "shop" { vec!["orders".to_owned(), "made".to_owned()] } else { Vec::new() })
    }

    async fn open(&self, schema: &str, table: &str) -> Result<(), PortError> {
        self.effect(format!("open {schema}.{table}"))
    }

    async fn count_rows(&self, _: Duration) -> Result<Vec<Counted>, PortError> {
        let counted = |name: &str| Counted { schema: "shop".to_owned(), name: name.to_owned(), rows: 7 };
        self.effect("count rows").map(|()| vec![counted("orders"), counted("made")])
    }

    async fn query(&self, _: &str, _: Most) -> Result<Rows, PortError> {
        self.effect("query").map(|()| Rows {
            columns: vec!["n".to_owned()],
            rows: vec![vec!["7".to_owned()]],
            has_more: false,
        })
    }

    async fn close(&self) {}
}
