//! The agent in the cluster.
fn main() {}
