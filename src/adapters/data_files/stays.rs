//! What on a volume nobody could remove: found before a cluster is stopped for it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, IFlags, access, ioctl_getflags};

use super::if_there;

/// Of files that are opened only to be asked for their flags: no link is followed, no pipe waited for.
const LOOK_FLAGS: rustix::fs::OFlags = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK);

/// Returns the first thing below a directory that may not be removed, by its own flags or by the rights on what
/// it lies in. The names in the directory itself that are to stay are passed over.
pub(super) fn first(directory: &Path, but: &[&str]) -> io::Result<Option<PathBuf>> {
    let entries = match if_there(fs::read_dir(directory)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Some(directory.to_owned())),
        entries => entries?,
    };
    let Some(entries) = entries else { return Ok(None) };
    let mut holds_any = false;
    for entry in entries {
        let entry = entry?;
        if but.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        holds_any = true;
        let path = entry.path();
        // What goes away meanwhile is in nobody's way; a server may be at work.
        let Some(kind) = if_there(entry.file_type())? else { continue };
        if kind.is_dir()
            && let Some(found) = first(&path, &[])?
        {
            return Ok(Some(found));
        }
        if (kind.is_dir() || kind.is_file()) && has_flag(&path) {
            return Ok(Some(path));
        }
    }
    let is_closed = holds_any && access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err();
    Ok(is_closed.then(|| directory.to_owned()))
}

/// Whether a file is immutable, or may only grow. What may not be opened, or is on a file system without flags,
/// has none as far as anybody knows.
fn has_flag(path: &Path) -> bool {
    let flags = i32::try_from(LOOK_FLAGS.bits()).unwrap_or_default();
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else { return false };
    ioctl_getflags(&file).is_ok_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_removed_is_not_in_the_way_links_and_missing_directories_included() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("shop/deeper")).unwrap();
        fs::write(root.join("shop/deeper/t.ibd"), "x").unwrap();
        std::os::unix::fs::symlink("/", root.join("link")).unwrap();
        assert_eq!(first(root, &[]).unwrap(), None);
        assert_eq!(first(&root.join("gone"), &[]).unwrap(), None);
    }
}
