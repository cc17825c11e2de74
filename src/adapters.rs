//! How the world is reached: the only place with effects; one outside library a file.

pub mod kubernetes;
pub mod mysql;
