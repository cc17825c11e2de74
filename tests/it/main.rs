//! Rings 1 and 2: the library over a simulated world, and the binaries with real parts but no
//! Kubernetes. Ring 3, on a real cluster, is `tests/e2e`.
#![expect(clippy::disallowed_methods, reason = "tests stand outside and use the world as it is")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod architecture;
mod backup_phases;
mod backup_plan;
mod backup_whole;
mod cli;
mod cli_runs;
mod cli_views;
mod completion;
mod copying;
mod ctrl_c;
mod drill_whole;
mod fault_sweep;
mod hints;
mod keep_plan;
mod keep_sweep;
mod krew;
mod loopback_api;
mod manual;
mod memory_store;
mod questions;
mod readme;
mod real_server;
mod reference;
mod refill_sweep;
mod restore_chosen;
mod restore_outage;
mod restore_plan;
mod restore_sweep;
mod restore_way_back;
mod restore_world;
mod rights;
mod rights_world;
mod runner_chain;
mod runner_check;
mod runner_copy;
mod runner_keep;
mod runner_original;
mod runner_prove;
mod runner_refill;
mod runner_stores;
mod s3_faults;
mod s3_owner;
mod s3_proxy;
mod s3_server;
mod schema;
mod screens;
mod store_contract;
mod terminal;
mod tmux;
mod verify_whole;
mod watching;
mod world;
mod world_runners;
