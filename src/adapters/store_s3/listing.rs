//! What lies in the bucket, and taking it away again.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types::MultipartUpload;

use super::error::is_unknown_there;
use super::owner::Since;
use super::{Bucket, MARKS};
use crate::model::backup_id::BackupId;
use crate::ports::{PortError, Reason};

impl Bucket {
    /// Returns all paths inside the store that begin so.
    pub(super) async fn paths(&self, beginning: &str) -> Result<Vec<String>, PortError> {
        let all = self.below(beginning);
        let root = self.below("");
        let mut pages = self.client.list_objects_v2().bucket(&self.name).prefix(&all).into_paginator().send();
        let mut paths = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(format!("list {}", self.url(&all)), &error))?;
            let keys = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&root));
            paths.extend(keys.map(str::to_owned));
        }
        Ok(paths)
    }

    /// Returns the names of a backup's files.
    pub(super) async fn names_of(&self, backup: &BackupId) -> Result<Vec<String>, PortError> {
        let paths = self.paths(&format!("{}/", backup.directory())).await?;
        let mut names: Vec<_> = paths.iter().filter_map(|path| name_in(path, backup)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Returns the uploads in parts that were not finished, of keys that begin so.
    pub(super) async fn uploads(&self, beginning: &str) -> Result<Vec<MultipartUpload>, PortError> {
        let (mut uploads, mut key, mut id) = (Vec::new(), None, None);
        loop {
            let asked = self.client.list_multipart_uploads().bucket(&self.name).prefix(beginning);
            let page = match asked.set_key_marker(key).set_upload_id_marker(id).send().await {
                Ok(page) => page,
                // Then nothing can be gone on with, and the server has to clean up by itself.
                Err(error) if is_unknown_there(&error) => return Ok(Vec::new()),
                Err(error) => return Err(self.failed(format!("list uploads to {}", self.url(beginning)), &error)),
            };
            uploads.extend_from_slice(page.uploads());
            let next = page.next_key_marker().filter(|next| !next.is_empty());
            if page.is_truncated() != Some(true) || next.is_none() {
                return Ok(uploads);
            }
            (key, id) = (next.map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
        }
    }

    /// Gives up an upload in parts; one that is gone already is as good.
    pub(super) async fn abort(&self, key: &str, upload: &str) -> Result<(), PortError> {
        let asked = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(upload);
        let aborted = asked.send().await.map_err(|error| self.failed(format!("give up {}", self.url(key)), &error));
        aborted.map(drop).or_else(as_good_when_missing)
    }

    /// Removes one file of a backup. Single calls only: not every server takes several at once.
    pub(super) async fn remove_file(&self, backup: &BackupId, name: &str) -> Result<(), PortError> {
        let key = self.below(&format!("{}/{name}", backup.directory()));
        let removed = self.client.delete_object().bucket(&self.name).key(&key).send().await;
        let removed = removed.map_err(|error| self.failed(format!("remove {}", self.url(&key)), &error));
        removed.map(drop).or_else(as_good_when_missing)
    }

    /// Removes a backup, first what makes it count; `false` when it was not there.
    pub(super) async fn remove_backup(&self, backup: &BackupId) -> Result<bool, PortError> {
        self.make_sure_it_is_ours().await?;
        let names = self.names_of(backup).await?;
        let (marks, rest): (Vec<_>, Vec<_>) = names.iter().partition(|name| MARKS.contains(&name.as_str()));
        for name in marks.into_iter().chain(rest) {
            self.remove_file(backup, name).await?;
        }
        self.abort_all(backup).await?;
        Ok(!names.is_empty())
    }

    /// Removes all files of a backup that has no mark.
    pub(super) async fn remove_files(&self, backup: &BackupId) -> Result<(), PortError> {
        for name in self.names_of(backup).await? {
            self.remove_file(backup, &name).await?;
        }
        Ok(())
    }

    /// Gives up every upload to a backup's directory.
    pub(super) async fn abort_all(&self, backup: &BackupId) -> Result<(), PortError> {
        let root = self.below("");
        for upload in self.uploads(&self.below(&format!("{}/", backup.directory()))).await? {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
            // Not every server heeds the prefix, and what is beyond it is somebody else's.
            if key.strip_prefix(&root).and_then(|path| name_in(path, backup)).is_some() {
                self.abort(key, id).await?;
            }
        }
        Ok(())
    }

    /// Removes unfinished work but for that on the list, and names the directories it was in.
    pub(super) async fn sweep(&self, wanted: &[BackupId]) -> Result<Vec<String>, PortError> {
        if self.make_sure_it_is_ours().await? == Since::Now {
            return Ok(Vec::new());
        }
        let mut swept = BTreeSet::new();
        let root = self.below("");
        for upload in self.uploads(&root).await? {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
            let Some((backup, _)) = key.strip_prefix(&root).and_then(BackupId::of_path) else { continue };
            if !wanted.contains(&backup) {
                self.abort(key, id).await?;
                swept.insert(backup.directory());
            }
        }
        for (backup, names) in unfinished(&self.paths("").await?, wanted) {
            for name in names {
                self.remove_file(&backup, name).await?;
            }
            swept.insert(backup.directory());
        }
        Ok(swept.into_iter().collect())
    }
}

/// The file's name when a path is one of a backup's own files.
fn name_in<'a>(path: &'a str, backup: &BackupId) -> Option<&'a str> {
    BackupId::of_path(path).filter(|(of, _)| of == backup).map(|(_, name)| name)
}

/// The files of directories without a mark that are not wanted.
fn unfinished<'a>(paths: &'a [String], wanted: &[BackupId]) -> BTreeMap<BackupId, Vec<&'a str>> {
    let mut found: BTreeMap<BackupId, Vec<&str>> = BTreeMap::new();
    for (backup, name) in paths.iter().filter_map(|path| BackupId::of_path(path)) {
        found.entry(backup).or_default().push(name);
    }
    found.retain(|backup, names| !wanted.contains(backup) && !names.iter().any(|name| MARKS.contains(name)));
    found
}

fn as_good_when_missing(error: PortError) -> Result<(), PortError> {
    if error.reason == Reason::Missing { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unmarked_unwanted_directories_of_the_layout_are_unfinished() {
        let paths = [
            "base/2026-01-01_00-00-00/manifest.json",
            "base/2026-01-01_00-00-00/stream",
            "base/2026-01-02_00-00-00/stream",
            "base/2026-01-03_00-00-00/stream",
            "base/2026-01-04_00-00-00/backup.successful",
            "incr/2026-01-01_00-00-00/2026-01-05_00-00-00/stream",
            "base/notes/stream",
            "base/2026-01-02_00-00-00/deeper/stream",
            "stream",
        ]
        .map(str::to_owned);
        let wanted = ["base/2026-01-03_00-00-00".parse().unwrap()];
        let found = unfinished(&paths, &wanted);
        let directories: Vec<_> = found.keys().map(BackupId::directory).collect();
        assert_eq!(directories, ["base/2026-01-02_00-00-00", "incr/2026-01-01_00-00-00/2026-01-05_00-00-00"]);
        assert!(found.values().all(|names| *names == ["stream"]));
    }
}
