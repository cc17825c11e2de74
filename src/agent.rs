//! The agent: the half of the product that works inside the cluster.
//!
//! One binary with two faces. The *conductor* runs in a Job's pod, decides, and holds the Kubernetes
//! rights. A *runner* runs in a pod next to one volume, moves bytes, and holds none. Both end with
//! their outcome in the container's termination message: that, and not the pod's phase, is the truth.

pub mod cli;
pub mod conduct;
pub mod install;
pub mod last_word;
pub mod run;
mod stores;
