//! Physical backup and restore of MariaDB Galera clusters that run as StatefulSets on Kubernetes.
//!
//! This page is the map. Two thin binaries share the library: the kubectl plugin, which orders,
//! follows and shows, and the agent, which does the work inside the cluster. The agent has two
//! faces: the *conductor* in the Job's pod decides and holds the Kubernetes rights; a *runner* in a
//! pod next to one volume moves bytes and holds none.
//!
//! # Arrows
//!
//! ```text
//! bin → plugin ─┬→ render ─────────────────────┐
//!               ├→ adapters ───→ ports ────────┤
//! bin → agent ──┴→ backup │ restore │ drill │ verify │ keep │ inventory │ work → ports → model
//! ```
//!
//! - [`model`] knows nothing but values. [`ports`] says what is needed of the world in its words.
//! - [`backup`], [`restore`], [`drill`], [`verify`], [`keep`], [`inventory`] and [`work`] are the workflows; a
//!   backup uses `verify`, `keep` and `inventory` at its begin and its end, the others never import each other.
//!   What workflows share stands beside them: [`obligations`], [`stores`], [`proof`], [`catalogue`], [`errand`];
//!   so does [`monitor`], which tells those who watch a cluster how its runs go.
//! - [`adapters`] implement the ports, one outside library a file, and never call their siblings.
//! - [`plugin`] and [`agent`] are the only ones that name an adapter, and never import each other:
//!   they meet in [`model::order`] and [`model::event`].
//!
//! A test holds these arrows; `clippy.toml` bans effects outside the adapters.
//!
//! # Invariants
//!
//! - The library neither prints nor exits nor reads the environment: the two binaries' entry points do.
//! - No volume of data is written while any pod may hold it, and nothing on it is given up before the copy
//!   that takes its place was booted once.
//! - A replica is never desynced without an [obligation](model::obligation) recorded before.
//! - Nothing is called a backup before its [manifest](model::manifest) lies beside it, and that is
//!   written last.
//! - `plan` functions are pure; `run` functions take a plan and decide nothing but how to fail.

pub mod adapters;
pub mod agent;
pub mod backup;
pub mod catalogue;
pub mod drill;
pub mod errand;
pub mod exit_code;
pub mod inventory;
pub mod keep;
pub mod model;
pub mod monitor;
pub mod obligations;
mod patience;
pub mod plugin;
pub mod ports;
pub mod proof;
pub mod render;
pub mod restore;
pub mod stores;
pub mod verify;
pub mod work;
