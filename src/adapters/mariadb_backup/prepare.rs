//! The tool as it prepares: without a server, on files of a backup.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{PROGRAMS, judge, version};
use crate::adapters::process::{Process, words};
use crate::ports::prove::{Preparation, PrepareRun, Preparer};
use crate::ports::runner::EngineEnd;
use crate::ports::{PortError, Reason};

/// Where a container sees the limit of its memory: version 2 and version 1 of cgroups.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Version 1 writes no limit as a number larger than any machine has.
const NO_LIMIT: u64 = 1 << 60;

/// mariadb-backup of the image this agent runs in, on backups in a scratch directory.
#[derive(Clone, Debug)]
pub struct MariadbPrepare {
    scratch: PathBuf,
    programs: Vec<String>,
}

impl MariadbPrepare {
    /// Makes one; nothing is started yet.
    #[must_use]
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self { scratch: scratch.into(), programs: PROGRAMS.map(str::to_owned).to_vec() }
    }

    fn spawn(&self, arguments: &[OsString]) -> Result<Process, PortError> {
        let failed = |error| PortError::new(Reason::Other, "cannot start mariadb-backup").caused_by(error);
        Process::start_first(&self.programs, arguments).map_err(failed)?.ok_or_else(|| {
            PortError::new(Reason::Missing, "this image has no mariadb-backup")
                .with_hint("run the runner in a server image that has it, of the backup's own series")
        })
    }

    /// The options of the backup's own server come first: the size of its pages, its keys.
    fn arguments(&self, step: &Preparation) -> Vec<OsString> {
        let with = |name: &str, value: &Path| {
            let mut argument = OsString::from(name);
            argument.push(value);
            argument
        };
        let base = self.scratch.join(&step.base);
        let mut arguments = vec![
            with("--defaults-file=", &base.join("backup-my.cnf")),
            "--prepare".into(),
            with("--target-dir=", &base),
            format!("--use-memory={}", step.memory_bytes).into(),
        ];
        arguments.extend(step.increment.as_ref().map(|name| with("--incremental-dir=", &self.scratch.join(name))));
        arguments
    }
}

#[async_trait]
impl Preparer for MariadbPrepare {
    fn memory_limit(&self) -> Option<u64> {
        LIMITS.iter().find_map(|path| limit_of(&fs::read_to_string(path).ok()?))
    }

    async fn version(&self) -> Result<String, PortError> {
        version(self.spawn(&["--version".into()])?).await
    }

    async fn start(&self, step: &Preparation) -> Result<Box<dyn PrepareRun>, PortError> {
        Ok(Box::new(Run(self.spawn(&self.arguments(step))?)))
    }
}

fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

struct Run(Process);

#[async_trait]
impl PrepareRun for Run {
    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn kill(&self) {
        self.0.kill();
    }

    async fn wait(&mut self) -> Result<EngineEnd, PortError> {
        let status = self.0.wait().await.map_err(|error| {
            PortError::new(Reason::Other, "cannot wait for the end of mariadb-backup").caused_by(error)
        })?;
        Ok(judge(status.success(), words(status), &self.0.last_lines()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backups_own_options_come_first_and_an_increment_last() {
        let tool = MariadbPrepare::new("/scratch");
        let mut step = Preparation { base: "base".to_owned(), increment: None, memory_bytes: 7 };
        let full = [
            "--defaults-file=/scratch/base/backup-my.cnf",
            "--prepare",
            "--target-dir=/scratch/base",
            "--use-memory=7",
        ];
        assert_eq!(tool.arguments(&step), full);
        step.increment = Some("inc-1".to_owned());
        assert_eq!(tool.arguments(&step)[full.len()..], ["--incremental-dir=/scratch/inc-1"]);
    }

    #[test]
    fn a_limit_is_read_as_both_kinds_of_cgroups_write_it() {
        assert_eq!(limit_of("536870912\n"), Some(512 << 20));
        assert_eq!((limit_of("max\n"), limit_of("9223372036854771712\n"), limit_of("")), (None, None, None));
    }
}
