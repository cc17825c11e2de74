//! MariaDB servers, by SQL.

pub mod members;
pub mod proof;
pub mod server;
pub mod session;
