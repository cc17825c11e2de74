//! What is written down about a backup: the manifest, made of what the one pass has learned.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::error::CopyError;
use super::preflight::CopyPlan;
use crate::model::galera::Position;
use crate::model::manifest::{
    DesyncTimes, LsnRange, MANIFEST_SCHEMA, Manifest, Origin, STREAM_FILE, StoredFile, Stream, ToolFile,
};
use crate::model::order::CopyOrder;
use crate::work::pipeline::Passed;

/// What is known once the replica is back.
pub(super) struct Facts<'a> {
    pub order: &'a CopyOrder,
    pub plan: &'a CopyPlan,
    pub passed: Passed,
    pub desync: DesyncTimes,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// The small files as stored, by name.
    pub small_files: BTreeMap<String, StoredFile>,
}

/// Describes the backup.
pub(super) fn manifest(facts: Facts<'_>) -> Result<Manifest, CopyError> {
    let Facts { order, plan, passed, desync, started, finished, small_files } = facts;
    let text = |file| tool_text(&passed, file);
    let position = position(text(ToolFile::GaleraInfo)).ok_or(CopyError::Unreadable { what: "the Galera position" })?;
    let redo = CopyError::Unreadable { what: "the checkpoints" };
    let lsn = LsnRange::find(text(ToolFile::Checkpoints)).ok_or(redo)?;
    let mut files = small_files;
    files.insert(STREAM_FILE.to_owned(), passed.stored);
    Ok(Manifest {
        schema: MANIFEST_SCHEMA,
        backup: order.backup.clone(),
        started,
        finished,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        source: order.source.clone(),
        origin: Origin {
            server_version: plan.member.version.clone(),
            tool_version: plan.tool_version.clone(),
            gcomm_uuid: plan.member.gcomm_uuid.clone(),
            ibdata1_inode: plan.incarnation.ibdata1_inode,
            ibdata1_birth_nanos: plan.incarnation.ibdata1_birth_nanos,
            position,
            lsn,
        },
        stream: Stream { bytes: passed.contents.bytes, members: passed.contents.members },
        files,
        desync,
        allow_unsafe: order.allow_unsafe,
        parent: None,
        full_because: order.full_because.clone(),
    })
}

fn tool_text(passed: &Passed, file: ToolFile) -> &str {
    let bytes = passed.contents.tool_files.get(&file).map_or(&[][..], Vec::as_slice);
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Reads the position from the tool's file, in which domain ids may follow it.
fn position(galera_info: &str) -> Option<Position> {
    galera_info.split_whitespace().next()?.parse().ok()
}
