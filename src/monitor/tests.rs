use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::exit_code::ExitCode;
use crate::model::event::EventKind;
use crate::model::metrics::Running;
use crate::model::obligation::{Debt, Desync, OBLIGATION_SCHEMA, Obligation};
use crate::model::report::RecoverReport;
use crate::ports::monitor::Board;
use crate::ports::{Clock, EventSink};

/// What is wrong with the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// Every call is refused.
    Forbidden,
    /// No call is ever answered.
    Silent,
    /// Somebody else writes before each of our first two writes.
    Busy,
}

/// A board, a clock and a log in one.
#[derive(Default)]
struct World {
    trouble: Trouble,
    notices: Mutex<Vec<Notice>>,
    figures: Mutex<(Figures, u32)>,
    owed: Mutex<Option<Obligation>>,
    conflicts: Mutex<u32>,
    steps: Mutex<Vec<String>>,
    /// So many looks are taken; then time stands still.
    looks: Mutex<u32>,
}

impl World {
    fn with(trouble: Trouble) -> Self {
        Self { trouble, ..Self::default() }
    }

    async fn gate(&self) -> Result<(), PortError> {
        match self.trouble {
            Trouble::Forbidden => Err(PortError::new(Reason::Forbidden, "cannot write")),
            Trouble::Silent => std::future::pending().await,
            Trouble::None | Trouble::Busy => Ok(()),
        }
    }

    fn monitor(&self) -> Monitor<'_> {
        let run = Run {
            job: "run-x".to_owned(),
            task: "recover",
            namespace: "db".to_owned(),
            statefulset: "mariadb-server".to_owned(),
            began: self.now(),
        };
        Monitor::new(run, MonitorPorts { board: self, clock: self, events: self })
    }

    fn reasons(&self) -> Vec<String> {
        self.notices.lock().unwrap().iter().map(|notice| notice.reason.clone()).collect()
    }

    fn now_figures(&self) -> Figures {
        self.figures.lock().unwrap().0.clone()
    }
}

#[async_trait]
impl Board for World {
    async fn announce(&self, notice: &Notice) -> Result<(), PortError> {
        self.gate().await?;
        self.notices.lock().unwrap().push(notice.clone());
        Ok(())
    }

    async fn obligation(&self) -> Result<Option<Obligation>, PortError> {
        self.gate().await?;
        Ok(self.owed.lock().unwrap().clone())
    }

    async fn figures(&self) -> Result<(Figures, Option<String>), PortError> {
        self.gate().await?;
        let (figures, version) = self.figures.lock().unwrap().clone();
        Ok((figures, Some(version.to_string())))
    }

    async fn publish(&self, figures: &Figures, version: Option<&str>) -> Result<(), PortError> {
        self.gate().await?;
        let mut held = self.figures.lock().unwrap();
        let mut conflicts = self.conflicts.lock().unwrap();
        if self.trouble == Trouble::Busy && *conflicts < 2 {
            *conflicts += 1;
            held.1 += 1;
        }
        if version != Some(held.1.to_string().as_str()) {
            return Err(PortError::new(Reason::Conflict, "changed meanwhile"));
        }
        *held = (figures.clone(), held.1 + 1);
        Ok(())
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, time: Duration) {
        if time == LIMIT {
            // Whoever is answered is answered at once; only for who is not does the limit come.
            if self.trouble != Trouble::Silent {
                std::future::pending::<()>().await;
            }
            return;
        }
        let is_over = {
            let mut looks = self.looks.lock().unwrap();
            let is_over = *looks == 0;
            *looks = looks.saturating_sub(1);
            is_over
        };
        if is_over {
            std::future::pending::<()>().await;
        }
    }
}

impl EventSink for World {
    fn deliver(&self, _: Option<&str>, _: Phase, kind: EventKind) {
        match kind {
            EventKind::Step { message } => self.steps.lock().unwrap().push(message),
            other => panic!("{other:?} would change the run's exit code or its log"),
        }
    }
}

fn obligation() -> Obligation {
    let since = "2026-01-31T23:00:00Z".parse().unwrap();
    let desync = Desync {
        pod: "mariadb-server-2".to_owned(),
        pod_uid: "p".to_owned(),
        gcomm_uuid: "g".to_owned(),
        runner: "r".to_owned(),
    };
    Obligation { schema: OBLIGATION_SCHEMA, debt: Debt::Desync(desync), run: "run-x".to_owned(), since }
}

fn recovered() -> RunReport {
    RunReport::Recover(RecoverReport::default())
}

#[tokio::test]
async fn a_run_s_start_and_end_are_told_and_entered() {
    let world = World::default();
    let monitor = world.monitor();
    monitor.begun().await;
    let running = Running { job: "run-x".to_owned(), task: "recover".to_owned(), since: world.now() };
    assert_eq!(world.now_figures().running, Some(running));
    monitor.ended(&Ok(recovered()), false, Some(Stock::default())).await;
    let figures = world.now_figures();
    assert_eq!((figures.running, figures.stock), (None, Some(Stock::default())));
    assert_eq!(world.reasons(), ["RecoverStarted", "RecoverCompleted"]);
    assert_eq!(*world.steps.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_told_is_said_once_in_the_log_and_fails_nothing() {
    for trouble in [Trouble::Forbidden, Trouble::Silent] {
        let world = World::with(trouble);
        let monitor = world.monitor();
        monitor.begun().await;
        monitor.ended(&Ok(recovered()), false, None).await;
        assert_eq!(world.steps.lock().unwrap().len(), 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn figures_that_somebody_else_changes_meanwhile_are_written_over_the_change() {
    let world = World::with(Trouble::Busy);
    world.monitor().ended(&Ok(recovered()), false, None).await;
    assert!(world.now_figures().last.contains_key("recover"));
    assert_eq!(*world.conflicts.lock().unwrap(), 2);
}

#[tokio::test]
async fn what_is_owed_is_entered_while_the_run_works_and_when_it_is_settled() {
    let world = World { looks: Mutex::new(2), ..World::default() };
    *world.owed.lock().unwrap() = Some(obligation());
    let monitor = world.monitor();
    tokio::select! {
        biased;
        never = monitor.watch() => match never {},
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(world.now_figures().owed, Owed::Since(obligation().since));
    *world.owed.lock().unwrap() = None;
    monitor.ended(&Ok(recovered()), false, None).await;
    assert_eq!(world.now_figures().owed, Owed::Nothing);
}

#[tokio::test]
async fn what_is_there_is_kept_where_it_could_not_be_seen_again() {
    let world = World::default();
    let monitor = world.monitor();
    monitor.ended(&Ok(recovered()), false, Some(Stock::default())).await;
    monitor.ended(&Err(Failure::new(ExitCode::Usage, "bad setting")), false, None).await;
    assert_eq!(world.now_figures().stock, Some(Stock::default()));
    assert_eq!(world.reasons(), ["RecoverCompleted", "RecoverFailed"]);
}
