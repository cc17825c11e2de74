//! The runner: wires the work on one volume to the world and runs what was ordered.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::stores;
use crate::adapters::data_directory::LocalData;
use crate::adapters::data_files::VolumeFiles;
use crate::adapters::events::JsonLines;
use crate::adapters::go_ahead::Listener;
use crate::adapters::mariadb_backup::prepare::MariadbPrepare;
use crate::adapters::mariadb_backup::{MariadbBackup, Options};
use crate::adapters::mariadbd::recover::ServerRecovery;
use crate::adapters::mariadbd::{ACCOUNT, Door, ThrowawayServer};
use crate::adapters::mysql::proof::SocketSql;
use crate::adapters::mysql::server::ServerBeside;
use crate::adapters::mysql::session::Credentials;
use crate::adapters::original_key;
use crate::adapters::scratch::ScratchDirectory;
use crate::adapters::server_logins;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::names::SERVER_SECRETS_PATH;
use crate::model::order::{CopyOrder, ORDER_VERSION, ProveOrder, RefillOrder, RunnerOrder, RunnerTask};
use crate::model::outcome::{Explain, Failure, Outcome};
use crate::model::report::{CheckReport, CopyReport, InventoryReport, KeepReport, ProveReport, VolumeReport};
use crate::ports::EventSink;
use crate::ports::prove::ProvePorts;
use crate::ports::refill::RefillPorts;
use crate::ports::runner::{RunnerPorts, Store};
use crate::work::check;
use crate::work::copy;
use crate::work::stop::{self, Stop};
use crate::work::{inventory, keep, prove, refill};

/// What came of a runner's order. As JSON it is the report alone: the one who ordered knows which.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RunnerReport {
    /// Of a copy.
    Copy(CopyReport),
    /// Of a check.
    Check(CheckReport),
    /// Of copying between the stores and removing.
    Keep(KeepReport),
    /// Of taking stock.
    Inventory(InventoryReport),
    /// Of proving a backup.
    Prove(ProveReport),
    /// Of work on a data volume.
    Refill(VolumeReport),
}

/// Carries an order out and returns how it ended; SIGTERM and SIGINT end it early and cleanly.
pub async fn run(order: &str, out: impl Write + Send + 'static) -> Outcome<RunnerReport> {
    match try_run(order, out).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::failed(failure, Vec::new()),
    }
}

async fn try_run(order: &str, out: impl Write + Send + 'static) -> Result<Outcome<RunnerReport>, Failure> {
    let order = parse(order)?;
    let events = Arc::new(JsonLines::new(out));
    let stop = stop_at_signals()?;
    Ok(match order.task {
        RunnerTask::Copy(order) => {
            let ports = copy_ports(&order, events)?;
            copy::run(&order, &ports, stop).await.map(RunnerReport::Copy)
        }
        RunnerTask::Check(order) => {
            let ports = stores::ports(&order.stores, events);
            check::run(order, &ports, stop).await.map(RunnerReport::Check)
        }
        RunnerTask::Keep(order) => {
            let ports = stores::ports(&order.stores, events);
            keep::run(order, &ports, stop).await.map(RunnerReport::Keep)
        }
        RunnerTask::Inventory(order) => {
            let ports = stores::ports(&order.stores, events);
            inventory::run(&order, &ports, stop).await.map(RunnerReport::Inventory)
        }
        RunnerTask::Prove(order) => {
            let ports = prove_ports(&order, events)?;
            prove::run(&order, &ports, stop).await.map(RunnerReport::Prove)
        }
        RunnerTask::Refill(order) => {
            let ports = refill_ports(&order, events);
            refill::run(&order, &ports, stop).await.map(RunnerReport::Refill)
        }
    })
}

fn parse(order: &str) -> Result<RunnerOrder, Failure> {
    let order: RunnerOrder = serde_json::from_str(order)
        .map_err(|error| Failure::new(ExitCode::Usage, "cannot understand the order").with_cause(error.to_string()))?;
    if order.version == ORDER_VERSION {
        return Ok(order);
    }
    let what = format!("the order has version {}, this agent understands {ORDER_VERSION}", order.version);
    Err(Failure::new(ExitCode::Usage, what).with_hint("use one version of the agent image for the whole run"))
}

/// Reads a mounted Secret.
fn credentials(directory: &str) -> Result<Credentials, Failure> {
    Credentials::read(Path::new(directory)).map_err(Explain::into_failure)
}

fn prove_ports(order: &ProveOrder, events: Arc<dyn EventSink>) -> Result<ProvePorts, Failure> {
    let operator = order.operator_credentials.as_deref().map(credentials).transpose()?;
    let backup = order.backup_credentials.as_deref().map(credentials).transpose()?;
    let scratch = Path::new(&order.scratch);
    let door = Door::new(scratch).map_err(Explain::into_failure)?;
    let own = Credentials::new(ACCOUNT, &door.password);
    let original_key = order.original_key.as_ref().map(|key| original_key::read(Path::new(&key.directory)));
    let servers = server_logins::read(&order.server_accounts, Path::new(SERVER_SECRETS_PATH));
    Ok(ProvePorts {
        stores: stores::ports(&order.stores, events),
        scratch: Arc::new(ScratchDirectory::new(scratch)),
        preparer: Arc::new(MariadbPrepare::new(scratch)),
        sql: Arc::new(SocketSql::new(&door.socket, own, operator, backup, servers)),
        throwaway: Arc::new(ThrowawayServer::new(scratch, door)),
        original_key: original_key.transpose().map_err(Explain::into_failure)?.flatten(),
    })
}

fn refill_ports(order: &RefillOrder, events: Arc<dyn EventSink>) -> RefillPorts {
    RefillPorts {
        volume: Arc::new(VolumeFiles::new(&order.volume)),
        recovery: Arc::new(ServerRecovery::new(&order.volume)),
        waiting: Arc::new(Listener),
        clock: Arc::new(SystemClock),
        events,
    }
}

fn copy_ports(order: &CopyOrder, events: Arc<dyn EventSink>) -> Result<RunnerPorts, Failure> {
    let operator = credentials(&order.operator_credentials)?;
    let backup = credentials(&order.backup_credentials)?;
    let (volume, bucket) = (stores::volume(&order.stores), stores::bucket(&order.stores));
    let (store, follower) = match (&volume, bucket) {
        (Some(volume), bucket) => (Arc::clone(volume) as Arc<dyn Store>, bucket),
        (None, Some(bucket)) => (bucket, None),
        (None, None) => return Err(Failure::new(ExitCode::Usage, "the order names no store")),
    };
    let options = Options::of(order, &backup.username, backup.password());
    Ok(RunnerPorts {
        server: Arc::new(ServerBeside::new(order.server.clone(), operator, backup)),
        engine: Arc::new(MariadbBackup::new(options)),
        data: Arc::new(LocalData::new(&order.datadir)),
        store,
        volume,
        follower,
        clock: Arc::new(SystemClock),
        events,
    })
}

/// Installs the handlers: as process 1 of a container, this one has none by default, not even to die.
fn stop_at_signals() -> Result<Stop, Failure> {
    let handler = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(ExitCode::Error, "cannot install a signal handler").with_cause(error.to_string())
        })
    };
    let (mut terminate, mut interrupt) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    let (stopper, stop) = stop::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopper.stop();
        // Kept for good: nobody may take its end for the wish to stop.
        std::future::pending::<()>().await;
    });
    Ok(stop)
}
