//! How the world is reached: the only place with effects; one outside library a file or folder.
#![expect(clippy::disallowed_methods, reason = "adapters are where effects live")]

pub mod archive;
pub mod data_directory;
pub mod data_files;
pub mod events;
pub mod go_ahead;
pub mod kubernetes;
pub mod mariadb_backup;
pub mod mariadbd;
pub mod mysql;
pub mod original_key;
pub mod path_links;
pub mod process;
pub mod scratch;
pub mod server_logins;
pub mod store_local;
pub mod store_s3;
pub mod system_clock;
