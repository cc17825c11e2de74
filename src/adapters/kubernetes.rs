//! The Kubernetes API.

pub mod apply;
mod backoff;
pub mod board;
pub mod catalogue_configmap;
pub mod changes;
pub mod client;
pub mod cluster;
mod error;
mod event_text;
pub mod evidence;
pub mod finder;
pub mod kubeconfig;
pub mod lease;
pub mod lease_sight;
pub mod orders;
pub mod pod_follow;
#[cfg(test)]
pub(crate) mod pod_security;
mod pod_state;
pub mod preflight;
mod proxy;
pub mod run_sight;
pub mod runner_pod;
pub mod runners;
pub mod schedules;
mod server_accounts;
mod view;
pub mod workload;
mod workload_view;
