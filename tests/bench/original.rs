//! The original's pipeline, step by step and in its order, on the same data in the same run: every
//! stored backup is hashed again, then `mariadb-backup | gzip`, a second pass for the md5 sum, a third
//! one to S3. Its waits in Kubernetes are not in here.

use crate::measure::Sample;
use crate::world::{World, drop_caches, raw_command};

/// Where its backups lie.
const FOLDER: &str = "/mnt/original";

/// Its rclone filter.
const FILTER: &str = "--filter='+ base/**' --filter='- /**'";

/// What its steps took.
pub(crate) struct Original {
    pub(crate) check: Sample,
    pub(crate) backup: Sample,
    pub(crate) hash: Sample,
    pub(crate) upload: Sample,
}

impl Original {
    /// What a local backup takes: the copy and its sum.
    pub(crate) fn local(&self) -> Sample {
        self.backup.then(self.hash)
    }

    /// Everything, with S3.
    pub(crate) fn whole(&self) -> Sample {
        self.check.then(self.local()).then(self.upload)
    }
}

/// Takes one backup as it does, with `existing` older ones, local and in S3.
pub(crate) fn back_up(world: &World, existing: usize) -> Original {
    let backup = |name: &str| {
        format!(
            "mkdir -p {FOLDER}/base/{name} && chown mysql:mysql {FOLDER}/base/{name} && \
             {} --extra-lsndir={FOLDER}/base/{name} 2> /mnt/original.log | gzip > {FOLDER}/base/{name}/backup.stream.gz \
             && touch {FOLDER}/base/{name}/backup.successful",
            raw_command("xbstream", 1)
        )
    };
    drop_caches();
    let first = world.shell(&backup("old-1"));
    for n in 2..=existing {
        // Not a byte may be the same in the eyes of a copying tool.
        world.server.shell(&format!(
            "cp -r {FOLDER}/base/old-1 {FOLDER}/base/old-{n}; printf '%08d' {n} | \
             dd of={FOLDER}/base/old-{n}/backup.stream.gz bs=1 seek=4000000 conv=notrunc 2> /dev/null"
        ));
    }
    world.shell(&format!("/mnt/rclone copy {FOLDER} s3:backups/original -c --immutable"));
    world.shell(&format!("/mnt/rclone hashsum md5 {FOLDER} {FILTER} > /mnt/original.sums"));
    drop_caches();
    let check = world.shell(&format!("/mnt/rclone hashsum md5 {FOLDER} --checkfile=/mnt/original.sums {FILTER}"));
    // The copy of the first one counts: its minutes at 20 MB/s need no second one.
    let hash = world.shell(&format!("/mnt/rclone hashsum md5 {FOLDER}/base/old-1"));
    world.server.shell(&format!(
        "cp -r {FOLDER}/base/old-1 {FOLDER}/base/new; printf '%08d' 99 | \
             dd of={FOLDER}/base/new/backup.stream.gz bs=1 seek=4000000 conv=notrunc 2> /dev/null"
    ));
    let upload = world.shell(&format!("/mnt/rclone copy {FOLDER} s3:backups/original -c --immutable {FILTER}"));
    world.shell(&format!("/mnt/rclone purge s3:backups/original; rm -rf {FOLDER}"));
    Original { check, backup: first, hash, upload }
}
