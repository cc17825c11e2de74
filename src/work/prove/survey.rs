//! Finding out what the chain consists of, and whether there is room for it, before a byte is unpacked.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::Gauge;
use super::error::{ProveError, bad_file};
use super::original::{self, Key};
use super::plan::{self, Form, Link};
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Checksum;
use crate::model::manifest::{MANIFEST_FILE, STREAM_FILE};
use crate::model::order::{ProveOrder, StoreName};
use crate::ports::prove::Scratch;
use crate::ports::runner::StorePorts;
use crate::work::check::flaw::Flaw;
use crate::work::check::list;
use crate::work::check::look::Side;
use crate::work::stop::Stop;

/// Beside the backup the server needs room for its redo, its temporary files, and Galera's cache.
const ROOM_TO_RUN: u64 = 64 << 20;

/// Reads the manifests, or what the original has for one, and makes room.
pub(super) fn survey(
    order: &ProveOrder,
    stores: &StorePorts,
    scratch: &dyn Scratch,
    original_key: Option<&[u8]>,
    gauge: &Gauge,
    stop: &Stop,
) -> Result<Vec<Link>, ProveError> {
    let mut links = Vec::new();
    for (number, (backup, from)) in order.chain.iter().zip(&order.from).enumerate() {
        if stop.is_requested() {
            return Err(ProveError::Stopped);
        }
        let key = Key { file: original_key, secret: order.original_key.as_ref().map(|key| key.secret.as_str()) };
        links.push(link(number, backup, *from, order, &key, &side(stores, *from)?)?);
    }
    plan::check_chain(&links)?;
    let total_bytes: u64 = links.iter().flat_map(|link| link.files.values()).filter_map(|sum| sum.size).sum();
    gauge.total.store(total_bytes, Ordering::Relaxed);
    for name in scratch.names().map_err(ProveError::Scratch)?.iter().filter(|name| plan::is_ours(name)) {
        scratch.remove(name).map_err(ProveError::Scratch)?;
    }
    check_room(&links, order.reserve_bytes, scratch)?;
    Ok(links)
}

/// The store a backup is taken from.
pub(super) fn side(stores: &StorePorts, from: StoreName) -> Result<Side<'_>, ProveError> {
    let side = match from {
        StoreName::Local => stores.local.as_deref().map(Side::local),
        StoreName::S3 => stores.s3.as_deref().map(Side::s3),
    };
    side.ok_or_else(|| ProveError::Order(format!("the order does not name the store {}", from.word())))
}

fn link(
    number: usize,
    backup: &BackupId,
    from: StoreName,
    order: &ProveOrder,
    key: &Key<'_>,
    side: &Side<'_>,
) -> Result<Link, ProveError> {
    let list = list::make(backup, &expected(backup, &order.expected), side);
    if let Some((path, flaw)) = list.flaws.first_key_value() {
        return Err(bad_file(side, path, flaw));
    }
    let path = format!("{}/{MANIFEST_FILE}", backup.directory());
    let Some(file) = list.manifest else {
        if original::is_one(backup, &list.files) {
            return original::link(number, backup, from, list.files, key, side);
        }
        return Err(bad_file(side, &path, &Flaw::Wrong("is not in the catalogue".to_owned())));
    };
    let manifest = file.parse(backup).map_err(|what| bad_file(side, &path, &Flaw::Wrong(what)))?;
    let mut files = list.files;
    files.remove(&path);
    let stream = format!("{}/{STREAM_FILE}", backup.directory());
    if !files.contains_key(&stream) {
        return Err(bad_file(side, &path, &Flaw::Wrong(format!("does not list {STREAM_FILE}"))));
    }
    Ok(Link {
        backup: backup.clone(),
        directory: plan::directory(number),
        from,
        files,
        form: Form::Ours {
            stream_bytes: manifest.stream.bytes,
            manifest_sha256: file.stored.sha256,
            parent: manifest.parent,
        },
        least_bytes: manifest.stream.bytes,
        redo_bytes: 0,
        lsn: manifest.origin.lsn,
        position: Some(manifest.origin.position),
        server_version: manifest.origin.server_version,
    })
}

/// What the catalogue says of one backup's files.
fn expected(backup: &BackupId, all: &BTreeMap<String, Checksum>) -> BTreeMap<String, Checksum> {
    let is_of = |path: &str| BackupId::of_path(path).is_some_and(|(of, _)| of == *backup);
    all.iter().filter(|(path, _)| is_of(path)).map(|(path, sum)| (path.clone(), sum.clone())).collect()
}

fn check_room(links: &[Link], reserve_bytes: u64, scratch: &dyn Scratch) -> Result<(), ProveError> {
    let free_bytes = scratch.free_bytes().map_err(ProveError::Scratch)?;
    let unpacked = links.iter().map(|link| link.least_bytes).fold(0, u64::saturating_add);
    let needed_bytes = unpacked.saturating_add(ROOM_TO_RUN).saturating_add(reserve_bytes);
    if needed_bytes <= free_bytes {
        return Ok(());
    }
    Err(ProveError::NoRoom { place: scratch.place(), needed_bytes, free_bytes })
}
