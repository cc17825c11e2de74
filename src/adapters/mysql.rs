//! MariaDB servers, by SQL.

pub mod members;
pub mod proof;
mod rows;
pub mod server;
pub mod session;
