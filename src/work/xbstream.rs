//! Reading the xbstream format as it passes, without keeping it.
//!
//! mariadb-backup writes its stream as chunks: magic, flags, type, path, and for payload a length,
//! an offset and a CRC-32. [`Checker`] is fed the bytes in pieces of any size, checks every CRC,
//! every offset and every path, and keeps the list of members and the tool's own small files. It
//! never copies payload, allocates nothing by a length it was told, and treats the stream as hostile.
//! Who unpacks a stream listens to it as [`Members`].
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

/// Who wants to know what a stream does to its members, beside what [`Checker`] keeps of it.
///
/// It is told in the order of the stream, only of paths that stay inside a directory, and of payload
/// before its checksum is known: what it makes of it is worth nothing until the stream has passed.
pub trait Members {
    /// What can go wrong: with the stream, and with what is made of it.
    type Error: From<StreamError>;

    /// A member begins; `anew` when it takes the place of one that was closed.
    fn begin(&mut self, path: &str, anew: bool) -> Result<(), Self::Error>;

    /// Bytes of a member.
    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// A member is whole, with that length.
    fn close(&mut self, path: &str, length: u64) -> Result<(), Self::Error>;

    /// A member gets another name.
    fn rename(&mut self, path: &str, to: &str) -> Result<(), Self::Error>;

    /// A member is removed.
    fn remove(&mut self, path: &str) -> Result<(), Self::Error>;
}

/// Wants to know nothing.
struct Nobody;

impl Members for Nobody {
    type Error = StreamError;

    fn begin(&mut self, _: &str, _: bool) -> Result<(), StreamError> {
        Ok(())
    }

    fn write(&mut self, _: &str, _: u64, _: &[u8]) -> Result<(), StreamError> {
        Ok(())
    }

    fn close(&mut self, _: &str, _: u64) -> Result<(), StreamError> {
        Ok(())
    }

    fn rename(&mut self, _: &str, _: &str) -> Result<(), StreamError> {
        Ok(())
    }

    fn remove(&mut self, _: &str) -> Result<(), StreamError> {
        Ok(())
    }
}

/// What a payload met where its member is.
#[derive(Clone, Copy, Debug)]
enum Opened {
    New,
    Anew,
    Already,
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
    tool_files_required: &'static [ToolFile],
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
            tool_files_required: &ToolFile::ALL,
            bytes: 0,
            header: HeaderBytes::default(),
            payload: None,
            members: BTreeMap::new(),
            tool_files: BTreeMap::new(),
        }
    }

    /// Demands no more of the tool's own files than these.
    #[must_use]
    pub fn with_tool_files(self, required: &'static [ToolFile]) -> Self {
        Self { tool_files_required: required, ..self }
    }

    /// Takes the next bytes of the stream, as many as there are.
    pub fn feed(&mut self, input: &[u8]) -> Result<(), StreamError> {
        self.feed_to(input, &mut Nobody)
    }

    /// Takes the next bytes of the stream, and tells `members` what they do.
    pub fn feed_to<M: Members>(&mut self, mut input: &[u8], members: &mut M) -> Result<(), M::Error> {
        while !input.is_empty() {
            let taken = match self.payload.take() {
                Some(payload) => self.feed_payload(payload, input, members)?,
                None => self.feed_header(input, members)?,
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
        let absent = self.tool_files_required.iter().find(|file| !self.tool_files.contains_key(file))?;
        Some(format!("{} is missing", absent.stored_name()))
    }

    fn feed_header<M: Members>(&mut self, input: &[u8], members: &mut M) -> Result<usize, M::Error> {
        let at = self.bytes.saturating_sub(self.header.len() as u64);
        let (taken, header) = self.header.feed(input, at)?;
        self.bytes += taken as u64;
        if let Some(header) = header {
            self.begin(header, members)?;
        }
        Ok(taken)
    }

    /// Acts on a header that is complete.
    fn begin<M: Members>(&mut self, header: Header, members: &mut M) -> Result<(), M::Error> {
        match header {
            Header::Payload { path, length, offset, checksum, rewrite } => {
                match self.open(&path, offset, rewrite)? {
                    Opened::New => members.begin(&path, false)?,
                    Opened::Anew => members.begin(&path, true)?,
                    Opened::Already => {}
                }
                let tool_file = ToolFile::of_member(&path);
                let hasher = crc32fast::Hasher::new();
                let payload = Payload { path, left: length, offset, checksum, hasher, tool_file };
                // A payload may be empty; its checksum counts all the same.
                self.payload = self.close_payload_if_done(payload)?;
            }
            Header::Seek { path, position } => self.member(path)?.position = position,
            Header::End { path } => self.end(&path, members)?,
            Header::Rename { path, to } => {
                let member = *self.member(path.clone())?;
                members.rename(&path, &to)?;
                self.members.remove(&path);
                self.members.insert(to, member);
            }
            Header::Remove { path } => {
                if self.members.remove(&path).is_some() {
                    members.remove(&path)?;
                }
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
    fn open(&mut self, path: &str, offset: u64, rewrite: bool) -> Result<Opened, StreamError> {
        let too_many = self.members.len() >= MEMBER_LIMIT;
        let opened = match self.members.get_mut(path) {
            Some(member) if member.closed && rewrite => {
                *member = Member::default();
                Opened::Anew
            }
            Some(member) if member.closed => return Err(StreamError::NotOpen { path: path.to_owned() }),
            Some(_) => Opened::Already,
            None if too_many => return Err(StreamError::TooMuch { what: "the list of members".to_owned() }),
            None => {
                self.members.insert(path.to_owned(), Member::default());
                Opened::New
            }
        };
        let expected = self.members.get(path).map_or(0, |member| member.position);
        if expected == offset {
            return Ok(opened);
        }
        Err(StreamError::OutOfOrder { path: path.to_owned(), expected, found: offset })
    }

    fn member(&mut self, path: String) -> Result<&mut Member, StreamError> {
        self.members.get_mut(&path).ok_or(StreamError::NotOpen { path })
    }

    /// Closes a member; one that never had payload is an empty file.
    fn end<M: Members>(&mut self, path: &str, members: &mut M) -> Result<(), M::Error> {
        if self.members.len() >= MEMBER_LIMIT {
            return Err(StreamError::TooMuch { what: "the list of members".to_owned() }.into());
        }
        if let Some(file) = ToolFile::of_member(path) {
            self.tool_files.entry(file).or_default();
        }
        if !self.members.contains_key(path) {
            members.begin(path, false)?;
        }
        let member = self.members.entry(path.to_owned()).or_default();
        let was_closed = std::mem::replace(&mut member.closed, true);
        // Where it ends with a hole, its length is where that ends.
        if was_closed { Ok(()) } else { members.close(path, member.length.max(member.position)) }
    }

    fn feed_payload<M: Members>(
        &mut self,
        mut payload: Payload,
        input: &[u8],
        members: &mut M,
    ) -> Result<usize, M::Error> {
        let taken = usize::try_from(payload.left).map_or(input.len(), |left| left.min(input.len()));
        let part = &input[..taken];
        self.bytes += taken as u64;
        if !payload.path.is_empty() {
            payload.hasher.update(part);
            members.write(&payload.path, payload.offset, part)?;
        }
        if let Some(file) = payload.tool_file {
            let kept = self.tool_files.entry(file).or_default();
            if kept.len() + taken > TOOL_FILE_LIMIT {
                return Err(StreamError::TooMuch { what: payload.path }.into());
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
