//! MariaDB servers, by SQL.

pub mod members;
pub mod server;
pub mod session;
