//! The simulated cluster behind a restore's ports.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mariadb_backup::model::catalogue::Catalogue;
use mariadb_backup::model::cluster::{ClaimView, ClusterView};
use mariadb_backup::model::event::{EVENT_SCHEMA, Event, EventKind, Phase};
use mariadb_backup::model::galera::Member;
use mariadb_backup::model::obligation::Obligation;
use mariadb_backup::model::order::{GoAheadPlace, ServerAddress};
use mariadb_backup::model::report::LastRestore;
use mariadb_backup::model::rows::{Counted, Table};
use mariadb_backup::model::workload::{ClaimUser, Scale, Started, Workload};
use mariadb_backup::ports::conductor::{
    CatalogueStore, Cluster, Galera, Gate, Runner, RunnerNews, RunnerSpec, Runners, Sight,
};
use mariadb_backup::ports::restore::{GoAhead, GoAheads, WorkloadControl};
use mariadb_backup::ports::{Clock, EventSink, PortError, Reason};

use super::{RestoreWorld, State, word};
use crate::world::claim;

fn missing(what: &str) -> PortError {
    PortError::new(Reason::Missing, what)
}

#[async_trait]
impl WorkloadControl for RestoreWorld {
    async fn look(&self, _if_stopped: Option<i32>) -> Result<Workload, PortError> {
        self.effect("look at the StatefulSet", |state| Ok(state.workload()))
    }

    async fn scale(&self, scale: Scale) -> Result<(), PortError> {
        self.effect(&format!("scale to {} from {}", scale.replicas, scale.first), |state| {
            if state.obligation.is_none() {
                state.broken.push("it was scaled without an obligation".to_owned());
            }
            let (had, alone) = (state.pods.len(), scale.replicas == 1);
            state.scale = scale;
            state.reconcile();
            if state.loses_majority && alone && had > 1 {
                state.loses_majority = false;
                state.headless = state.pods.keys().next().copied();
                state.pods.values_mut().for_each(|server| server.serves = None);
            }
            Ok(())
        })
    }

    async fn end_pod(&self, pod: &str) -> Result<(), PortError> {
        self.effect(&format!("end {pod}"), |state| {
            if state.stray.is_some_and(|n| state.is_astray(n) && pod == format!("db-{n}")) {
                state.stray = None;
                state.reconcile();
            }
            Ok(())
        })
    }

    async fn users(&self, claims: &[String], _but: Option<&str>) -> Result<Vec<ClaimUser>, PortError> {
        self.effect("look for users", |state| Ok(state.users(claims)))
    }

    async fn wait_until_free(
        &self,
        claims: &[String],
        _but: Option<&str>,
        limit: Duration,
    ) -> Result<Vec<ClaimUser>, PortError> {
        self.effect("wait until the volumes are free", |state| {
            if state.is_scaled_back {
                state.scale.replicas = 3;
                state.reconcile();
                state.now += 30;
            }
            let users = state.users(claims);
            // Whoever does not end was waited for as long as that.
            if !users.is_empty() && users.iter().all(|user| user.terminating) {
                state.now += i64::try_from(limit.as_secs()).unwrap();
            }
            Ok(users)
        })
    }

    async fn next_user(&self, claims: &[String]) -> Result<ClaimUser, PortError> {
        if self.lock().intruders == 0 {
            std::future::pending::<()>().await;
        }
        self.lock().intruders -= 1;
        Ok(ClaimUser { claim: claims[0].clone(), by: "pod db-0".to_owned(), node: None, terminating: false })
    }

    async fn wait_until_started(&self, pod: &str, _limit: Duration) -> Result<Started, PortError> {
        let n: i32 = pod.rsplit('-').next().unwrap().parse().unwrap();
        while self.lock().is_astray(n) {
            tokio::task::yield_now().await;
        }
        self.effect(&format!("wait for {pod}"), |state| {
            let serves = state.pods.get(&n).is_some_and(|server| server.serves.is_some());
            Ok(if serves { Started::Ready } else { Started::Not("its container mariadb ended 3 times".to_owned()) })
        })
    }

    async fn name_bootstrap(&self, config_map: &str, pod: &str) -> Result<(), PortError> {
        self.effect(&format!("name {pod} in {config_map}"), |_| Ok(()))
    }

    async fn forget_bootstrap(&self, config_map: &str) -> Result<(), PortError> {
        self.effect(&format!("name nobody in {config_map}"), |_| Ok(()))
    }

    async fn record_stage(&self, obligation: &Obligation) -> Result<(), PortError> {
        let mariadb_backup::model::obligation::Debt::Restore(debt) = &obligation.debt else { unreachable!() };
        self.effect(&format!("record {:?}", debt.stage), |state| {
            if state.obligation.as_ref().is_none_or(|owed| owed.run != obligation.run) {
                return Err(missing("nothing is owed by that run"));
            }
            state.obligation = Some(obligation.clone());
            Ok(())
        })
    }

    async fn finish(&self, run: &str, last: &LastRestore) -> Result<(), PortError> {
        self.effect("finish", |state| {
            state.obligation = state.obligation.take().filter(|owed| owed.run != run);
            state.last = Some(last.clone());
            Ok(())
        })
    }
}

impl State {
    fn users(&self, claims: &[String]) -> Vec<ClaimUser> {
        let of = |claim: &String| {
            let n = self.claims_of.get(claim)?;
            let server = self.pods.get(n)?;
            let (by, node) = (format!("pod db-{n}"), Some(format!("n{n}")));
            Some(ClaimUser { claim: claim.clone(), by, node, terminating: server.stuck })
        };
        claims.iter().filter_map(of).collect()
    }
}

#[async_trait]
impl Cluster for RestoreWorld {
    async fn view(&self) -> Result<ClusterView, PortError> {
        self.effect("look at the cluster", |state| Ok(state.view()))
    }

    async fn settled_claim(&self, name: &str) -> Result<ClaimView, PortError> {
        Cluster::claim(self, name).await
    }

    async fn claim(&self, name: &str) -> Result<ClaimView, PortError> {
        Ok(claim(name))
    }

    async fn lacks_class(&self, _: &str) -> bool {
        false
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
            state.obligation = state.obligation.take().filter(|owed| owed.run != run);
            Ok(())
        })
    }

    async fn next_sight(&self, _pod: &str, _last: Option<&Sight>) -> Result<Sight, PortError> {
        unreachable!("a restore watches no traffic")
    }

    async fn wait_until_ready(&self, _pod: &str, _uid: &str, _limit: Duration) -> Result<bool, PortError> {
        unreachable!("a restore waits for pods that do not exist yet")
    }
}

fn ordinal(server: &ServerAddress) -> i32 {
    server.host.rsplit('.').next().unwrap().parse().unwrap()
}

#[async_trait]
impl Galera for RestoreWorld {
    async fn member(&self, server: &ServerAddress) -> Result<Member, PortError> {
        let n = ordinal(server);
        self.effect(&format!("ask db-{n}"), |state| {
            if state.silent > 0 {
                state.silent -= 1;
                return Err(PortError::new(Reason::Unreachable, "connection refused"));
            }
            state.member(n).ok_or_else(|| PortError::new(Reason::Unreachable, "connection refused"))
        })
    }

    async fn tables(&self, server: &ServerAddress) -> Result<Vec<Table>, PortError> {
        self.effect(&format!("list the tables of db-{}", ordinal(server)), |state| Ok(state.tables()))
    }

    async fn count_rows(
        &self,
        server: &ServerAddress,
        tables: &[Table],
        _limit: Duration,
    ) -> Result<Vec<Option<u64>>, PortError> {
        let n = ordinal(server);
        self.effect(&format!("count rows on db-{n}"), |state| {
            let rows = |table: &Table| (!state.tables_are_closed).then(|| state.rows_on(n, table));
            Ok(tables.iter().map(rows).collect())
        })
    }

    async fn close_gate(&self, _server: &ServerAddress) -> Result<Box<dyn Gate>, PortError> {
        unreachable!("a restore closes no gate")
    }

    async fn set_desync_off(&self, _server: &ServerAddress, _gcomm_uuid: &str) -> Result<bool, PortError> {
        unreachable!("a restore desyncs nobody")
    }
}

#[async_trait]
impl Runners for RestoreWorld {
    async fn start(&self, spec: &RunnerSpec, _limit: Duration) -> Result<Box<dyn Runner>, PortError> {
        self.effect(&format!("start {} to {}", spec.name, word(&spec.order.task)), |state| {
            assert!(state.runners.insert(spec.name.clone(), spec.order.task.clone()).is_none(), "two of one name");
            if let Some(data) = &spec.data {
                let n = state.claims_of[&data.claim];
                state.claims_of.insert(format!("of {}", spec.name), n);
                let runs = state.pods.contains_key(&n);
                if data.beside.is_none() && runs {
                    state.broken.push(format!("{} mounts a volume that db-{n} holds", spec.name));
                }
            }
            Ok(())
        })?;
        Ok(Box::new(SimRunner { world: self.clone(), name: spec.name.clone(), has_counted: false }))
    }

    async fn remove(&self, name: &str) -> Result<(), PortError> {
        self.effect(&format!("remove {name}"), |state| {
            state.runners.remove(name);
            Ok(())
        })
    }

    async fn dismiss(&self, name: &str) -> Result<(), PortError> {
        self.effect(&format!("dismiss {name}"), |state| {
            state.runners.remove(name);
            Ok(())
        })
    }

    async fn all(&self) -> Result<Vec<String>, PortError> {
        self.effect("look for runners", |state| Ok(state.runners.keys().cloned().collect()))
    }

    async fn orphans(&self) -> Result<Vec<String>, PortError> {
        self.effect("look for orphans", |state| Ok(state.runners.keys().cloned().collect()))
    }
}

#[async_trait]
impl GoAheads for RestoreWorld {
    async fn make(&self, runner: &str) -> Result<Box<dyn GoAhead>, PortError> {
        self.effect("listen for a runner", |state| {
            state.words.insert(runner.to_owned(), None);
            Ok(())
        })?;
        Ok(Box::new(Word { world: self.clone(), runner: runner.to_owned() }))
    }
}

struct Word {
    world: RestoreWorld,
    runner: String,
}

#[async_trait]
impl GoAhead for Word {
    fn place(&self) -> GoAheadPlace {
        GoAheadPlace { address: "10.0.0.9:1".to_owned(), name: self.runner.clone() }
    }

    async fn give(&mut self) -> Result<bool, PortError> {
        self.world.effect(&format!("tell {} to go ahead", self.runner), |state| {
            if state.deaf {
                return Ok(false);
            }
            state.words.insert(self.runner.clone(), Some(true));
            Ok(true)
        })
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        // Also when its conductor dies: the connection ends.
        if let Ok(mut state) = self.world.0.lock() {
            state.words.entry(self.runner.clone()).and_modify(|word| *word = Some(*word == Some(true)));
        }
    }
}

impl State {
    /// Whether a runner neither was told to begin nor knows that it will never be.
    fn waits(&self, runner: &str) -> bool {
        self.words.get(runner) == Some(&None)
    }
}

struct SimRunner {
    world: RestoreWorld,
    name: String,
    has_counted: bool,
}

#[async_trait]
impl Runner for SimRunner {
    async fn next(&mut self) -> Result<RunnerNews, PortError> {
        if self.name.contains("-prove-") && !std::mem::replace(&mut self.has_counted, true) {
            let time = self.world.lock().time();
            let tables = vec![Counted { schema: "shop".to_owned(), name: "orders".to_owned(), rows: 7 }];
            let kind = EventKind::Counted { tables };
            return Ok(RunnerNews::Event(Event {
                schema: EVENT_SCHEMA,
                seq: 1,
                time,
                phase: Phase::Prove,
                runner: None,
                kind,
            }));
        }
        // Somebody who turns up does so while a volume is written.
        if self.world.lock().intruders > 0 && self.name.contains("switch") {
            std::future::pending::<()>().await;
        }
        // One that waits is told, or finds that nobody is left to tell it.
        while self.world.lock().waits(&self.name) {
            tokio::task::yield_now().await;
        }
        let last_word = self.world.work_of(&self.name);
        let how = "ended".to_owned();
        self.world.effect(&format!("hear {}", self.name), |_| Ok(RunnerNews::Ended { last_word, how }))
    }
}

#[async_trait]
impl CatalogueStore for RestoreWorld {
    async fn read(&self) -> Result<(Catalogue, Option<String>), PortError> {
        Ok((self.lock().catalogue.clone(), None))
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    async fn write(&self, catalogue: &Catalogue, _version: Option<&str>) -> Result<(), PortError> {
        self.effect("write the catalogue", |state| {
            state.catalogue = catalogue.clone();
            Ok(())
        })
    }
}

#[async_trait]
impl Clock for RestoreWorld {
    fn now(&self) -> Timestamp {
        self.lock().time()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.lock().now).unwrap())
    }

    async fn sleep(&self, time: Duration) {
        // The limits of a phase never run out in this world; short pauses make its clock go.
        if time > Duration::from_mins(1) {
            std::future::pending::<()>().await;
        }
        self.lock().now += 30;
        tokio::task::yield_now().await;
    }
}

impl EventSink for RestoreWorld {
    fn deliver(&self, _runner: Option<&str>, _phase: Phase, kind: EventKind) {
        match kind {
            EventKind::Warned { message } => self.lock().warnings.push(message),
            EventKind::Step { message } => self.lock().steps.push(message),
            _ => {}
        }
    }
}
