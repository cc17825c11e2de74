//! The agent in the cluster: parses its command line and returns the exit code.

use clap::Parser;
use mariadb_backup::agent::cli::{Arguments, run};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    // Two libraries bring TLS; the choice between their providers is made here, once.
    let _already_chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::WARN.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    run(Arguments::parse()).await.into()
}
