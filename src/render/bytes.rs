//! Amounts of bytes for people, as the agent writes them too.

pub use crate::model::bytes::human;
