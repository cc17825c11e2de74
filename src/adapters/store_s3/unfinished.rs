//! Uploads in parts: begun anew, or found again after an interruption.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{ChecksumAlgorithm, MultipartUpload, Part};
use md5::{Digest, Md5};

use super::Bucket;
use super::part_size::Parts;
use crate::model::manifest::hex;
use crate::ports::{PortError, Reason};

/// An upload in parts.
pub(super) struct Upload {
    /// The object's key.
    pub(super) key: String,
    /// What the server calls it.
    pub(super) id: String,
    /// The parts that are there already, by number.
    pub(super) known: BTreeMap<i32, KnownPart>,
}

/// A part that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownPart {
    /// Its length in bytes.
    pub(super) size: u64,
    /// What the server calls its content.
    pub(super) etag: String,
    /// Its SHA-256 in base64, where the server keeps that.
    pub(super) sha256: Option<String>,
}

impl KnownPart {
    /// Whether it is proven to be these bytes.
    pub(super) fn is(&self, bytes: &[u8], sha256: &str) -> bool {
        let is_same = || match &self.sha256 {
            Some(known) => known == sha256,
            // Without encryption by the server, this is the part's MD5; with it, it never matches.
            None => self.etag.trim_matches('"') == hex(&Md5::digest(bytes)),
        };
        self.size == bytes.len() as u64 && is_same()
    }
}

impl Bucket {
    /// Begins an upload in parts.
    pub(super) async fn new_upload(&self, key: &str) -> Result<Upload, PortError> {
        let asked = self.client.create_multipart_upload().bucket(&self.name).key(key);
        let begun = asked.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await;
        let begun = begun.map_err(|error| self.failed(format!("begin to upload {}", self.url(key)), &error))?;
        let Some(id) = begun.upload_id() else {
            let what = format!("{} does not name the upload of {}", self.server, self.url(key));
            return Err(PortError::new(Reason::Other, what));
        };
        Ok(Upload { key: key.to_owned(), id: id.to_owned(), known: BTreeMap::new() })
    }

    /// Returns the newest unfinished upload of a key that a file of that length can go on with, and
    /// gives up all others of that key.
    pub(super) async fn earlier_upload(&self, key: &str, expected: u64) -> Result<Option<(Upload, Parts)>, PortError> {
        // The whole key is asked for, because not every server finds uploads by a part of it.
        let mut uploads = self.uploads(key).await?;
        uploads.retain(|upload| upload.key() == Some(key));
        uploads.sort_by_key(|upload| std::cmp::Reverse(upload.initiated().copied()));
        let mut found = None;
        for upload in &uploads {
            let Some(id) = upload.upload_id() else { continue };
            if found.is_none() && keeps_our_sums(upload) {
                found = self.usable(key, id, expected).await?;
                if found.is_some() {
                    continue;
                }
            }
            self.abort(key, id).await?;
        }
        Ok(found)
    }

    /// Looks whether the parts of an upload can be used.
    async fn usable(&self, key: &str, id: &str, expected: u64) -> Result<Option<(Upload, Parts)>, PortError> {
        let known = self.parts_of(key, id).await?;
        // The last part is shorter than the others, which are all of one length.
        let bytes = known.values().map(|part| part.size).max().unwrap_or_default();
        let parts = Parts::of_earlier(bytes, expected, self.max_parts);
        Ok(parts.map(|parts| (Upload { key: key.to_owned(), id: id.to_owned(), known }, parts)))
    }

    async fn parts_of(&self, key: &str, id: &str) -> Result<BTreeMap<i32, KnownPart>, PortError> {
        let asked = self.client.list_parts().bucket(&self.name).key(key).upload_id(id);
        let mut pages = asked.into_paginator().send();
        let mut known = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(format!("list parts of {}", self.url(key)), &error))?;
            known.extend(page.parts().iter().filter_map(known_part));
        }
        Ok(known)
    }
}

/// Whether an upload was begun for sums by SHA-256, as far as the server tells.
fn keeps_our_sums(upload: &MultipartUpload) -> bool {
    upload.checksum_algorithm().is_none_or(|algorithm| *algorithm == ChecksumAlgorithm::Sha256)
}

fn known_part(part: &Part) -> Option<(i32, KnownPart)> {
    let sha256 = part.checksum_sha256().filter(|sum| !sum.is_empty()).map(str::to_owned);
    let size = u64::try_from(part.size()?).ok()?;
    Some((part.part_number()?, KnownPart { size, etag: part.e_tag()?.to_owned(), sha256 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_used_again_only_when_it_is_proven_to_be_the_same() {
        let part = |sha256: Option<&str>| KnownPart {
            size: 3,
            etag: "\"900150983cd24fb0d6963f7d28e17f72\"".to_owned(),
            sha256: sha256.map(str::to_owned),
        };
        assert!(part(Some("sum")).is(b"abc", "sum"));
        assert!(!part(Some("sum")).is(b"abc", "other"));
        assert!(!part(Some("sum")).is(b"abcd", "sum"));
        assert!(part(None).is(b"abc", "sum"));
        assert!(!part(None).is(b"abd", "sum"));
    }
}
