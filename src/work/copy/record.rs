//! What is written down about a backup: the manifest, made of what the one pass has learned.

use std::collections::BTreeMap;

use super::error::CopyError;
use super::increment::Kind;
use super::preflight::CopyPlan;
use super::sign_off::Made;
use crate::model::galera::Position;
use crate::model::manifest::{
    LsnRange, MANIFEST_SCHEMA, Manifest, Origin, STREAM_FILE, StoredFile, Stream, ToolFile, says_incremental,
};
use crate::work::pipeline::Passed;

/// A stream that is whole, and what it says it covers.
pub(super) struct Covered {
    pub passed: Passed,
    pub position: Position,
    pub lsn: LsnRange,
}

/// Reads what a stream covers, and demands that it is what was asked for.
///
/// Of files whose redo stands before the asked point, the tool makes an increment of nothing without
/// a complaint.
pub(super) fn covered(plan: &CopyPlan, passed: Passed) -> Result<Covered, CopyError> {
    let text = |file| tool_text(&passed, file);
    let position =
        Position::find(text(ToolFile::GaleraInfo)).ok_or(CopyError::Unreadable { what: "the Galera position" })?;
    let checkpoints = text(ToolFile::Checkpoints);
    let redo = CopyError::Unreadable { what: "the checkpoints" };
    let lsn = LsnRange::find(checkpoints).ok_or(redo)?;
    let since = plan.kind.since();
    let as_asked = lsn.from == since.unwrap_or(0) && says_incremental(checkpoints) == since.is_some();
    if !as_asked || lsn.to < lsn.from {
        return Err(CopyError::OtherRedo { since: since.unwrap_or(0), from: lsn.from, to: lsn.to });
    }
    Ok(Covered { passed, position, lsn })
}

/// Describes the backup; `files` are the small ones as stored, by name.
pub(super) fn manifest(made: Made<'_>, mut files: BTreeMap<String, StoredFile>) -> Manifest {
    let Made { order, plan, covered, desync, started, finished } = made;
    let Covered { passed, position, lsn } = covered;
    let (parent, full_because) = match &plan.kind {
        Kind::Full { because } => (None, because.clone()),
        Kind::Incremental { parent, .. } => (Some(parent.clone()), None),
    };
    files.insert(STREAM_FILE.to_owned(), passed.stored);
    Manifest {
        schema: MANIFEST_SCHEMA,
        backup: plan.backup.clone(),
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
        parent,
        full_because,
    }
}

fn tool_text(passed: &Passed, file: ToolFile) -> &str {
    let bytes = passed.contents.tool_files.get(&file).map_or(&[][..], Vec::as_slice);
    std::str::from_utf8(bytes).unwrap_or_default()
}
