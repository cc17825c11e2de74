//! Ring 3: every promise on a real Kubernetes with a real Galera, driven through the real kubectl.
//!
//! Run by `make ring3`, which brings the ground up. One test at a time: they share one cluster, break
//! it, and leave it healthy.
#![expect(clippy::disallowed_methods, reason = "tests stand outside and use the world as it is")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod backup;
mod buckets;
mod chains;
mod damage;
mod drills;
mod gitops;
mod ground;
mod installation;
mod interruptions;
mod keeping;
mod monitoring;
mod nodes_and_servers;
mod operating;
mod oracle;
mod originals;
mod permissions;
mod refusals;
mod restore_all;
mod restore_faults;
mod restore_keepers;
mod restore_shapes;
mod restore_sources;
mod restore_undone;
mod restore_volumes;
mod restores;
mod run;
mod stock_tools;
mod stores;
