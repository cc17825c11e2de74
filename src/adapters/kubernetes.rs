//! The Kubernetes API.

mod backoff;
pub mod catalogue_configmap;
mod error;
pub mod pod_follow;
mod pod_state;
