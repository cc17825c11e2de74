//! Reading the xbstream format as it passes, without keeping it.
//!
//! mariadb-backup writes its stream as chunks: magic, flags, type, path, and for payload a length,
//! an offset and a CRC-32. [`Checker`] is fed the bytes in pieces of any size, checks every CRC,
//! every offset and every path, and keeps the list of members and the tool's own small files. It
//! never copies payload, allocates nothing by a length it was told, and treats the stream as hostile.
//!
//! A stream cut at the end of a chunk is well-formed, and the stock unpacker is content with it.
//! [`Checker::finish`] therefore also demands that every member was closed and that the members
//! no backup is without are there.

use std::collections::BTreeMap;

use crate::model::manifest::ToolFile;

mod chunk;
use chunk::{Header, HeaderBytes};

/// Longest path the stock unpacker accepts.
const PATH_LIMIT: usize = 511;

/// The tool's small files are a few hundred bytes; more than this is not one of them.
const TOOL_FILE_LIMIT: usize = 256 << 10;

/// More files than any data directory; bounds the memory a hostile stream can take.
const MEMBER_LIMIT: usize = 4 << 20;

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The bytes at a chunk's beginning are not a chunk's.
    #[error("no chunk begins at byte {at} of the stream")]
    NotAChunk {
        /// Position in the stream.
        at: u64,
    },
    /// A chunk of a kind this reader does not know, not marked as one to skip.
    #[error("unknown kind of chunk 0x{kind:02x} at byte {at} of the stream")]
    UnknownKind {
        /// The kind's byte.
        kind: u8,
        /// Position in the stream.
        at: u64,
    },
    /// A path that is too long, not UTF-8, or leads out of the target directory.
    #[error("path {path:?} at byte {at} of the stream would not stay inside a data directory")]
    BadPath {
        /// The path, shortened.
        path: String,
        /// Position in the stream.
        at: u64,
    },
    /// Payload that is not what its checksum says.
    #[error("checksum of {path} is wrong at byte {at} of the stream")]
    BadChecksum {
        /// The member.
        path: String,
        /// Where the payload ends in the stream.
        at: u64,
    },
    /// Payload that does not continue its member.
    #[error("{path} continues at its byte {found}, not at {expected}")]
    OutOfOrder {
        /// The member.
        path: String,
        /// Where the member stood.
        expected: u64,
        /// Where the chunk wants to write.
        found: u64,
    },
    /// Payload for a member that was closed, or that never was.
    #[error("{path} is written to, renamed or closed, but is not open")]
    NotOpen {
        /// The member.
        path: String,
    },
    /// More members, or more of a small file, than any backup has.
    #[error("{what} is larger than any backup has it")]
    TooMuch {
        /// What is too large.
        what: String,
    },
    /// The stream ends inside a chunk.
    #[error("the stream ends inside a chunk, after {bytes} bytes")]
    CutInChunk {
        /// Length of the stream.
        bytes: u64,
    },
    /// The stream ends between chunks, but not at its end.
    #[error("the stream ends early, after {bytes} bytes: {missing}")]
    CutBetweenChunks {
        /// Length of the stream.
        bytes: u64,
        /// What shows it.
        missing: String,
    },
}

/// What is known of a stream once it has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Length in bytes.
    pub bytes: u64,
    /// Path and length of every member.
    pub members: BTreeMap<String, u64>,
    /// The tool's own small files.
    pub tool_files: BTreeMap<ToolFile, Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// Where its next payload goes.
    position: u64,
    length: u64,
    closed: bool,
}

/// The payload being read.
#[derive(Debug)]
struct Payload {
    path: String,
    left: u64,
    offset: u64,
    checksum: u32,
    hasher: crc32fast::Hasher,
    tool_file: Option<ToolFile>,
}

/// The reader: fed with bytes, asked for the contents at the end.
#[derive(Debug)]
pub struct Checker {
    required: &'static [&'static str],
    bytes: u64,
    header: HeaderBytes,
    payload: Option<Payload>,
    members: BTreeMap<String, Member>,
    tool_files: BTreeMap<ToolFile, Vec<u8>>,
}

impl Checker {
    /// Makes one that demands these members beside the tool's own files.
    #[must_use]
    pub fn demanding(required: &'static [&'static str]) -> Self {
        Self {
            required,
            bytes: 0,
            header: HeaderBytes::default(),
            payload: None,
            members: BTreeMap::new(),
            tool_files: BTreeMap::new(),
        }
    }

    /// Takes the next bytes of the stream, as many as there are.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), StreamError> {
        while !input.is_empty() {
            let taken = match self.payload.take() {
                Some(payload) => self.feed_payload(payload, input)?,
                None => self.feed_header(input)?,
            };
            input = &input[taken..];
        }
        Ok(())
    }

    /// Judges the stream as a whole.
    pub fn finish(self) -> Result<Contents, StreamError> {
        if self.payload.is_some() || !self.header.is_empty() {
            return Err(StreamError::CutInChunk { bytes: self.bytes });
        }
        if let Some(missing) = self.missing() {
            return Err(StreamError::CutBetweenChunks { bytes: self.bytes, missing });
        }
        let members = self.members.into_iter().map(|(path, member)| (path, member.length)).collect();
        Ok(Contents { bytes: self.bytes, members, tool_files: self.tool_files })
    }

    /// Names one thing that a whole stream would have.
    fn missing(&self) -> Option<String> {
        if let Some((path, _)) = self.members.iter().find(|(_, member)| !member.closed) {
            return Some(format!("{path} is not closed"));
        }
        if let Some(path) = self.required.iter().find(|path| !self.members.contains_key(**path)) {
            return Some(format!("{path} is missing"));
        }
        let absent = ToolFile::ALL.into_iter().find(|file| !self.tool_files.contains_key(file))?;
        Some(format!("{} is missing", absent.stored_name()))
    }

    fn feed_header(&mut self, input: &[u8]) -> Result<usize, StreamError> {
        let at = self.bytes.saturating_sub(self.header.len() as u64);
        let (taken, header) = self.header.feed(input, at)?;
        self.bytes += taken as u64;
        if let Some(header) = header {
            self.begin(header)?;
        }
        Ok(taken)
    }

    /// Acts on a header that is complete.
    fn begin(&mut self, header: Header) -> Result<(), StreamError> {
        match header {
            Header::Payload { path, length, offset, checksum, rewrite } => {
                self.open(&path, offset, rewrite)?;
                let tool_file = ToolFile::of_member(&path);
                let hasher = crc32fast::Hasher::new();
                let payload = Payload { path, left: length, offset, checksum, hasher, tool_file };
                // A payload may be empty; its checksum counts all the same.
                self.payload = self.close_payload_if_done(payload)?;
            }
            Header::Seek { path, position } => self.member(path)?.position = position,
            Header::End { path } => self.end(path)?,
            Header::Rename { path, to } => {
                let member = *self.member(path.clone())?;
                self.members.remove(&path);
                self.members.insert(to, member);
            }
            Header::Remove { path } => {
                self.members.remove(&path);
            }
            Header::Skipped { length } => {
                let hasher = crc32fast::Hasher::new();
                let path = String::new();
                self.payload = (length > 0).then_some(Payload {
                    path,
                    left: length,
                    offset: 0,
                    checksum: 0,
                    hasher,
                    tool_file: None,
                });
            }
        }
        Ok(())
    }

    /// Finds or makes the member a payload goes to, and checks that it continues it.
    fn open(&mut self, path: &str, offset: u64, rewrite: bool) -> Result<(), StreamError> {
        let too_many = self.members.len() >= MEMBER_LIMIT;
        match self.members.get_mut(path) {
            Some(member) if member.closed && rewrite => *member = Member::default(),
            Some(member) if member.closed => return Err(StreamError::NotOpen { path: path.to_owned() }),
            Some(_) => {}
            None if too_many => return Err(StreamError::TooMuch { what: "the list of members".to_owned() }),
            None => {
                self.members.insert(path.to_owned(), Member::default());
            }
        }
        let expected = self.members.get(path).map_or(0, |member| member.position);
        if expected == offset {
            return Ok(());
        }
        Err(StreamError::OutOfOrder { path: path.to_owned(), expected, found: offset })
    }

    fn member(&mut self, path: String) -> Result<&mut Member, StreamError> {
        self.members.get_mut(&path).ok_or(StreamError::NotOpen { path })
    }

    /// Closes a member; one that never had payload is an empty file.
    fn end(&mut self, path: String) -> Result<(), StreamError> {
        if self.members.len() >= MEMBER_LIMIT {
            return Err(StreamError::TooMuch { what: "the list of members".to_owned() });
        }
        let tool_file = ToolFile::of_member(&path);
        self.members.entry(path).or_default().closed = true;
        if let Some(file) = tool_file {
            self.tool_files.entry(file).or_default();
        }
        Ok(())
    }

    fn feed_payload(&mut self, mut payload: Payload, input: &[u8]) -> Result<usize, StreamError> {
        let taken = usize::try_from(payload.left).map_or(input.len(), |left| left.min(input.len()));
        let part = &input[..taken];
        self.bytes += taken as u64;
        if !payload.path.is_empty() {
            payload.hasher.update(part);
        }
        if let Some(file) = payload.tool_file {
            let kept = self.tool_files.entry(file).or_default();
            if kept.len() + taken > TOOL_FILE_LIMIT {
                return Err(StreamError::TooMuch { what: payload.path });
            }
            kept.extend_from_slice(part);
        }
        payload.left -= taken as u64;
        payload.offset = payload.offset.saturating_add(taken as u64);
        self.payload = self.close_payload_if_done(payload)?;
        Ok(taken)
    }

    fn close_payload_if_done(&mut self, payload: Payload) -> Result<Option<Payload>, StreamError> {
        if payload.left > 0 {
            return Ok(Some(payload));
        }
        if payload.path.is_empty() {
            return Ok(None);
        }
        let Payload { path, offset, checksum, hasher, .. } = payload;
        if hasher.finalize() != checksum {
            return Err(StreamError::BadChecksum { path, at: self.bytes });
        }
        let member = self.member(path)?;
        member.position = offset;
        member.length = member.length.max(offset);
        Ok(None)
    }
}

#[cfg(test)]
pub(super) mod tests;
