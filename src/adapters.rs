//! How the world is reached: the only place with effects; one outside library a file or folder.

pub mod events;
pub mod kubernetes;
pub mod mysql;
pub mod system_clock;
