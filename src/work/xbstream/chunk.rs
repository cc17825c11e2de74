//! The header of one chunk, gathered from pieces of any size.
//!
//! A header is at most a kilobyte, so it is the one thing that is copied.

use super::{PATH_LIMIT, StreamError};

const MAGIC: &[u8; 8] = b"XBSTCK01";

/// Magic, flags, kind and the length of the path.
const FIXED: usize = 14;

/// An unknown chunk with this flag may be skipped.
const FLAG_IGNORABLE: u8 = 0x01;

/// The member is written anew, in place of one that was closed.
const FLAG_REWRITE: u8 = 0x02;

/// A chunk's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Payload { path: String, length: u64, offset: u64, checksum: u32, rewrite: bool },
    Seek { path: String, position: u64 },
    End { path: String },
    Rename { path: String, to: String },
    Remove { path: String },
    Skipped { length: u64 },
}

/// The bytes of a header that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct HeaderBytes(Vec<u8>);

impl HeaderBytes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes what the header still needs; returns how much that was, and the header when complete.
    ///
    /// `at` is the header's position in the stream.
    pub(super) fn feed(&mut self, input: &[u8], at: u64) -> Result<(usize, Option<Header>), StreamError> {
        let mut taken = 0;
        loop {
            let wanted = match self.parse(at)? {
                Progress::Complete(header) => {
                    self.0.clear();
                    return Ok((taken, Some(header)));
                }
                Progress::Needs(length) => length - self.0.len(),
            };
            if taken == input.len() {
                return Ok((taken, None));
            }
            let part = wanted.min(input.len() - taken);
            self.0.extend_from_slice(&input[taken..taken + part]);
            taken += part;
        }
    }

    fn parse(&self, at: u64) -> Result<Progress, StreamError> {
        let bytes = &self.0[..];
        let start = bytes.len().min(MAGIC.len());
        if bytes[..start] != MAGIC[..start] {
            return Err(StreamError::NotAChunk { at });
        }
        if bytes.len() < FIXED {
            return Ok(Progress::Needs(FIXED));
        }
        let (flags, kind) = (bytes[8], bytes[9]);
        let length = path_length(&bytes[10..14], at)?;
        let rest = FIXED + length;
        if bytes.len() < rest {
            return Ok(Progress::Needs(rest));
        }
        let tail = &bytes[rest..];
        let needs = |tail: usize| Ok(Progress::Needs(rest + tail));
        let name = || path(&bytes[FIXED..rest], at);
        let header = match kind {
            b'P' if tail.len() < 20 => return needs(20),
            b'P' => Header::Payload {
                path: name()?,
                length: number(&tail[..8]),
                offset: number(&tail[8..16]),
                checksum: u32::try_from(number(&tail[16..20])).unwrap_or_default(),
                rewrite: flags & FLAG_REWRITE != 0,
            },
            b'S' if tail.len() < 8 => return needs(8),
            b'S' => Header::Seek { path: name()?, position: number(tail) },
            b'E' => Header::End { path: name()? },
            b'D' => Header::Remove { path: name()? },
            b'R' if tail.len() < 4 => return needs(4),
            b'R' => {
                let length = path_length(&tail[..4], at)?;
                if tail.len() < 4 + length {
                    return needs(4 + length);
                }
                Header::Rename { path: name()?, to: path(&tail[4..], at)? }
            }
            // The stock reader takes an unknown chunk to be laid out like a payload.
            _ if flags & FLAG_IGNORABLE != 0 && tail.len() < 20 => return needs(20),
            _ if flags & FLAG_IGNORABLE != 0 => Header::Skipped { length: number(&tail[..8]) },
            _ => return Err(StreamError::UnknownKind { kind, at }),
        };
        Ok(Progress::Complete(header))
    }
}

enum Progress {
    /// Bytes the header has at least.
    Needs(usize),
    Complete(Header),
}

/// Reads a little-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn path_length(bytes: &[u8], at: u64) -> Result<usize, StreamError> {
    let length = usize::try_from(number(bytes)).unwrap_or(usize::MAX);
    if length > PATH_LIMIT {
        return Err(StreamError::BadPath { path: format!("<{length} bytes>"), at });
    }
    Ok(length)
}

/// Reads a path and refuses one that could lead anywhere but below its target directory.
fn path(bytes: &[u8], at: u64) -> Result<String, StreamError> {
    let bad = || StreamError::BadPath { path: String::from_utf8_lossy(bytes).into_owned(), at };
    let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
    // mariadb-backup writes some paths as `./name`.
    let text = text.strip_prefix("./").unwrap_or(text);
    let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    if text.contains('\0') || !text.split('/').all(inside) {
        return Err(bad());
    }
    Ok(text.to_owned())
}
