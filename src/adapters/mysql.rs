//! MariaDB servers, by SQL.

pub mod members;
pub mod session;
