//! `report`: what helps others to help, in one archive, without secrets.
//!
//! Secrets are never read, so that none can be in it by mistake; what may hold one by other ways is
//! left out by rule (see `redact`). The archive's content is told before anybody sends it anywhere.

mod events;
mod gather;
mod redact;

use std::path::PathBuf;

use jiff::Timestamp;

use super::cli::ReportFlags;
use super::connect::Session;
use super::{CommandResult, find};
use crate::adapters::archive::{NewFile, pack};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupName;
use crate::model::outcome::Failure;
use crate::ports::Clock;
use crate::render::bytes;
use crate::render::screen::Screen;
use crate::render::table::Table;
use gather::{Gathered, gather};

pub(crate) async fn run(flags: &ReportFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster_or_remains(session, flags.cluster.wanted()).await?;
    let place = Place::new(&session.connection()?.target.namespace, statefulset);
    let now = SystemClock.now();
    let directory = format!("mariadb-backup-report-{}-{}", place.statefulset, BackupName::at(now));
    let path = flags.file.clone().unwrap_or_else(|| PathBuf::from(format!("{directory}.tar.gz")));
    let cannot = |what: &str, error: std::io::Error| {
        Failure::new(ExitCode::Error, format!("cannot {what} {}", path.display())).with_cause(error.to_string())
    };
    // Before anything is gathered: that takes a while, and would be in vain.
    let is_file = path.as_os_str() != "-";
    let cannot_write = |error| cannot("write", error).with_hint("name another file: --file FILE");
    let file = is_file.then(|| NewFile::create(&path)).transpose().map_err(cannot_write)?;
    let mut gathered = gather(&place, flags.runs, session).await?;
    session.show_warnings(screen);
    gathered.files.insert(0, ("README.txt".to_owned(), readme(&gathered, &place, now)));
    let archive = pack(&directory, &gathered.files, now).map_err(|error| cannot("pack", error))?;
    screen.note(content(&gathered).text(true).trim_end());
    for gap in &gathered.gaps {
        screen.warn(gap);
    }
    match file {
        None => screen.bytes(&archive),
        Some(file) => {
            file.write(&archive).map_err(cannot_write)?;
            screen.line(&path.display().to_string());
            screen.note(&format!("Look through it before you send it:\n  tar -xzf {}", path.display()));
        }
    }
    Ok(if gathered.gaps.is_empty() { ExitCode::Done } else { ExitCode::DoneWithWarnings })
}

fn content(gathered: &Gathered) -> Table {
    let mut table = Table::new(&["FILE", "SIZE"]);
    for (name, text) in &gathered.files {
        table.row(&[name.clone(), bytes::human(text.len() as u64)]);
    }
    table
}

fn readme(gathered: &Gathered, place: &Place, now: Timestamp) -> String {
    let Place { namespace, statefulset, .. } = place;
    let gaps = match gathered.gaps.as_slice() {
        [] => String::new(),
        gaps => format!("\nWhat could not be had:\n  {}\n", gaps.join("\n  ")),
    };
    format!(
        "Report of kubectl mariadb-backup {} about cluster {namespace}/{statefulset}, made at {now}.\n\n\
        versions.json      plugin, agent image, API server, images of the servers\n\
        settings.json      the cluster's settings; values of unknown keys are left out\n\
        status.json        what Kubernetes knows of the cluster; the replicas were not asked\n\
        catalogue.json     every backup with its sums\n\
        objects/           StatefulSet, pods, Jobs, CronJobs, claims, Lease, events of these\n\
        logs/              of the newest runs, first of those that did something\n\n\
        Secrets were not read. Values of environment variables, commands and arguments, probes, annotations\n\
        and volume attributes of pods that are not this product's, and whatever looks like a password or a\n\
        token in a text, are replaced by {}.\n{gaps}",
        env!("CARGO_PKG_VERSION"),
        redact::REDACTED,
    )
}
