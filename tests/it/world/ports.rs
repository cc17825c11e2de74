//! The simulated world behind the conductor's ports.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mariadb_backup::model::catalogue::Catalogue;
use mariadb_backup::model::cluster::{ClaimView, ClusterView};
use mariadb_backup::model::event::{EVENT_SCHEMA, Event, EventKind, Phase};
use mariadb_backup::model::galera::Member;
use mariadb_backup::model::obligation::Obligation;
use mariadb_backup::model::order::ServerAddress;
use mariadb_backup::model::rows::Table;
use mariadb_backup::ports::conductor::{
    CatalogueStore, Cluster, Galera, Gate, Runner, RunnerNews, RunnerSpec, Runners, Sight,
};
use mariadb_backup::ports::{Clock, EventSink, PortError, Reason};

use super::runner::SimRunnerState;
use super::{NAMES, REPLICAS, RunnerScript, World, claim, ordinal};

#[async_trait]
impl Cluster for World {
    async fn view(&self) -> Result<ClusterView, PortError> {
        self.effect("look at the cluster", |state| Ok(Self::view(state)))
    }

    async fn settled_claim(&self, name: &str) -> Result<ClaimView, PortError> {
        Cluster::claim(self, name).await
    }

    async fn claim(&self, name: &str) -> Result<ClaimView, PortError> {
        self.effect(&format!("look at claim {name}"), |_| Ok(claim(name)))
    }

    async fn lacks_class(&self, class: &str) -> bool {
        self.lock().missing_class == Some(class)
    }

    async fn settings(&self) -> Result<BTreeMap<String, String>, PortError> {
        Ok(self.lock().settings.clone())
    }

    async fn record_obligation(&self, obligation: &Obligation) -> Result<(), PortError> {
        self.effect("record the obligation", |state| {
            assert!(state.obligation.is_none(), "an obligation was overwritten");
            state.obligation = Some(obligation.clone());
            Ok(())
        })
    }

    async fn clear_obligation(&self, run: &str) -> Result<(), PortError> {
        self.effect("clear the obligation", |state| {
            let ours = |owed: &Obligation| {
                owed.run == run && owed.debt.desync().is_some_and(|owed| owed.gcomm_uuid == state.incarnation)
            };
            assert!(
                !state.obligation.as_ref().is_some_and(ours) || state.desynced == [false; REPLICAS],
                "the obligation was cleared with its replica desynced"
            );
            state.obligation = state.obligation.take().filter(|owed| owed.run != run);
            Ok(())
        })
    }

    async fn next_sight(&self, _pod: &str, last: Option<&Sight>) -> Result<Sight, PortError> {
        loop {
            let seen = self.lock().desynced.contains(&true) && !self.lock().sights.is_empty();
            if last.is_none() || seen {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.effect("look at the target", |state| match last {
            None => Ok(Sight {
                ready: true,
                role: state.primary.map(|_| "primary".to_owned()),
                services: vec!["db-primary".to_owned()],
            }),
            Some(_) => Ok(state.sights.pop_front().unwrap_or_default()),
        })
    }

    async fn wait_until_ready(&self, pod: &str, _uid: &str, _limit: Duration) -> Result<bool, PortError> {
        self.effect(&format!("wait until {pod} is Ready"), |_| Ok(true))
    }
}

#[async_trait]
impl Galera for World {
    async fn member(&self, server: &ServerAddress) -> Result<Member, PortError> {
        let n = ordinal(server);
        self.effect(&format!("ask {}", NAMES[n]), |state| Ok(state.member(n)))
    }

    async fn tables(&self, _server: &ServerAddress) -> Result<Vec<Table>, PortError> {
        unreachable!("a backup reads no table")
    }

    async fn count_rows(
        &self,
        _server: &ServerAddress,
        _tables: &[Table],
        _limit: Duration,
    ) -> Result<Vec<Option<u64>>, PortError> {
        unreachable!("a backup reads no table")
    }

    async fn close_gate(&self, server: &ServerAddress) -> Result<Box<dyn Gate>, PortError> {
        self.effect(&format!("close the gate of {}", NAMES[ordinal(server)]), |state| {
            assert!(!state.gate_closed, "two gates at once");
            Ok(())
        })?;
        // A lock whose answer is lost is lost with its connection.
        self.lock().gate_closed = true;
        Ok(Box::new(SimGate(self.clone())))
    }

    async fn set_desync_off(&self, server: &ServerAddress, gcomm_uuid: &str) -> Result<bool, PortError> {
        let n = ordinal(server);
        self.effect(&format!("desync OFF on {}", NAMES[n]), |state| {
            if state.script == RunnerScript::Stuck {
                return Err(PortError::new(Reason::Other, "the server does not take OFF"));
            }
            let same = state.incarnation == gcomm_uuid;
            state.desynced[n] &= !same;
            Ok(same)
        })
    }
}

struct SimGate(World);

#[async_trait]
impl Gate for SimGate {
    async fn open(&mut self, hold: bool) -> Result<(), PortError> {
        self.0.effect(if hold { "open the gate and hold" } else { "open the gate" }, |state| {
            assert!(state.obligation.is_some(), "a runner was let loose without an obligation");
            state.gate_closed = false;
            for runner in state.runners.values_mut().filter(|runner| runner.replica.is_some()) {
                (runner.gone_ahead, runner.held) = (true, hold);
            }
            Ok(())
        })
    }

    async fn drained(&mut self) -> Result<(), PortError> {
        let told = self.0.effect("tell that traffic has left", |_| Ok(()));
        // A runner that is not told goes on after its own limit.
        self.0.lock().runners.values_mut().for_each(|runner| runner.held = false);
        told
    }
}

impl Drop for SimGate {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.0.lock() {
            state.gate_closed = false;
            state.runners.values_mut().for_each(|runner| runner.held = false);
        }
    }
}

#[async_trait]
impl Runners for World {
    async fn start(&self, spec: &RunnerSpec, _limit: Duration) -> Result<Box<dyn Runner>, PortError> {
        let replica = NAMES.iter().position(|name| spec.beside.as_ref().is_some_and(|beside| beside.pod == *name));
        self.effect(&format!("start {}", spec.name), |state| {
            let runner = SimRunnerState::new(replica, spec.order.task.clone());
            assert!(state.runners.insert(spec.name.clone(), runner).is_none(), "two pods of one name");
            Ok(())
        })?;
        Ok(Box::new(SimRunner { world: self.clone(), name: spec.name.clone() }))
    }

    async fn remove(&self, name: &str) -> Result<(), PortError> {
        // What was let loose has had time to work before anybody comes to stop it.
        self.let_work(name);
        self.effect(&format!("remove {name}"), |state| {
            // Stopping a runner in mid-work makes it bring its replica back, as SIGTERM does.
            if let Some(runner) = state.runners.remove(name)
                && let Some(replica) = runner.replica
                && !runner.worked
            {
                state.desynced[replica] = false;
            }
            Ok(())
        })
    }

    async fn dismiss(&self, _name: &str) -> Result<(), PortError> {
        unreachable!("runners of a backup are removed and waited for")
    }

    async fn all(&self) -> Result<Vec<String>, PortError> {
        unreachable!("only a restore that is gone on with asks for all of them")
    }

    async fn orphans(&self) -> Result<Vec<String>, PortError> {
        // One run at a time: at its beginning every runner is a dead one's.
        self.effect("look for orphans", |state| Ok(state.runners.keys().cloned().collect()))
    }
}

struct SimRunner {
    world: World,
    name: String,
}

#[async_trait]
impl Runner for SimRunner {
    async fn next(&mut self) -> Result<RunnerNews, PortError> {
        if self.world.lock().script == RunnerScript::Mute {
            // What a runner tells whose store hangs: for ever the same.
            self.world.lock().now += 60;
            let kind = EventKind::Progress { done_bytes: 1, total_bytes: 2, written_bytes: 1 };
            let (schema, time, phase) = (EVENT_SCHEMA, self.world.now(), Phase::Store);
            return Ok(RunnerNews::Event(Event { schema, seq: 1, time, phase, runner: None, kind }));
        }
        if self.owes_ready() {
            let time = self.world.now();
            let kind = EventKind::Ready;
            let event = Event { schema: EVENT_SCHEMA, seq: 1, time, phase: Phase::Isolate, runner: None, kind };
            return self.world.effect("hear that the runner is ready", |_| Ok(RunnerNews::Event(event)));
        }
        loop {
            self.world.let_work(&self.name);
            let news = self.world.lock().runners.get_mut(&self.name).and_then(|runner| runner.news.pop_front());
            match news {
                Some((heard, news)) => return self.world.effect(heard, |_| Ok(news)),
                None => tokio::task::yield_now().await,
            }
        }
    }
}

impl SimRunner {
    fn owes_ready(&self) -> bool {
        let mut state = self.world.lock();
        let script = state.script;
        let Some(runner) = state.runners.get_mut(&self.name) else { return false };
        let waits = runner.replica.is_some() && !runner.refuses(script);
        waits && !std::mem::replace(&mut runner.ready_sent, true)
    }
}

#[async_trait]
impl CatalogueStore for World {
    async fn read(&self) -> Result<(Catalogue, Option<String>), PortError> {
        self.effect("read the catalogue", |state| {
            if let Some(why) = state.malformed {
                return Err(PortError::new(Reason::Malformed, why));
            }
            Ok((state.catalogue.clone(), Some(state.version.to_string())))
        })
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        self.effect("ask for the catalogue's version", |state| Ok(Some(state.version.to_string())))
    }

    async fn write(&self, catalogue: &Catalogue, version: Option<&str>) -> Result<(), PortError> {
        self.effect("write the catalogue", |state| {
            if version != Some(state.version.to_string().as_str()) {
                return Err(PortError::new(Reason::Conflict, "somebody else was faster"));
            }
            state.version += 1;
            state.catalogue = catalogue.clone();
            state.malformed = None;
            Ok(())
        })
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        self.lock().time()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.lock().now).unwrap())
    }

    async fn sleep(&self, time: Duration) {
        // The long limits of a phase never run out in this world, and the minute that traffic has to
        // leave only in an impatient one; short pauses make its clock go.
        let minute = Duration::from_mins(1);
        if time > minute || (time == minute && !self.lock().impatient) {
            std::future::pending::<()>().await;
        }
        self.lock().now += 1;
    }
}

impl EventSink for World {
    fn deliver(&self, _runner: Option<&str>, _phase: Phase, kind: EventKind) {
        match kind {
            EventKind::Warned { message } => self.lock().warnings.push(message),
            EventKind::Step { message } => self.lock().steps.push(message),
            _ => {}
        }
    }
}
