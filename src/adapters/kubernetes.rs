//! The Kubernetes API.

mod backoff;
pub mod catalogue_configmap;
pub mod cluster;
mod error;
pub mod lease;
pub mod pod_follow;
mod pod_state;
pub mod runner_pod;
pub mod runners;
mod view;
