//! What is: values and judgements about them.
//!
//! Nothing in here waits, reads a clock, touches the world or knows Kubernetes types; whatever is
//! needed comes in as an argument. That is what makes every decision of the product a table test.

pub mod accounts;
pub mod backup_id;
pub mod bytes;
pub mod catalogue;
pub mod chain;
pub mod cluster;
pub mod command;
pub mod cron;
pub mod event;
pub mod forecast;
pub mod galera;
pub mod manifest;
pub mod metrics;
pub mod names;
pub mod notice;
pub mod obligation;
pub mod order;
pub mod original;
pub mod outcome;
pub mod report;
pub mod retention;
pub mod right;
pub mod rows;
pub mod settings;
pub mod space;
pub mod span;
pub mod version;
pub mod workload;
