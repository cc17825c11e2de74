//! Putting the agent's own program where a foreign image can run it.
//!
//! An init container of the agent's image copies it into a volume that the runner, which runs in
//! the server's image, mounts too.
#![expect(clippy::disallowed_methods, reason = "copying its own executable is all this does")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;

/// This process' program, as the kernel keeps it: it has no other name that is sure to lead to it.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What the copy is called.
const NAME: &str = "mariadb-backup-agent";

/// Copies this process' program into `directory` and returns where it is now.
pub fn install(directory: &Path) -> Result<PathBuf, Failure> {
    let target = directory.join(NAME);
    let copied = fs::create_dir_all(directory)
        .and_then(|()| fs::copy(THIS_PROGRAM, &target))
        .and_then(|_| fs::set_permissions(&target, Permissions::from_mode(0o755)));
    copied.map_err(|error| {
        let what = format!("cannot copy this program to {}", target.display());
        Failure::new(ExitCode::Error, what).with_cause(error.to_string())
    })?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_this_program_and_anybody_may_run_it() {
        let directory = tempfile::tempdir().unwrap();
        let target = install(&directory.path().join("bin")).unwrap();
        let metadata = fs::metadata(&target).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
        assert_eq!(metadata.len(), fs::metadata(THIS_PROGRAM).unwrap().len());
    }
}
