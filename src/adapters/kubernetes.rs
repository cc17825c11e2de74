//! The Kubernetes API.

mod error;
