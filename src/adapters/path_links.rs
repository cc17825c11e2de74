//! Programs in PATH, and links from one to another beside it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::ports::{PortError, Reason};

/// The directories of PATH, in order.
pub struct PathLinks {
    folders: Vec<PathBuf>,
}

/// What came of making a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// It was made.
    Made,
    /// It was there.
    There,
}

impl PathLinks {
    /// The directories of a PATH.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self { folders: path.split(':').map(PathBuf::from).filter(|folder| folder.is_absolute()).collect() }
    }

    /// The first directory that has a program of that name.
    #[must_use]
    pub fn folder_of(&self, program: &str) -> Option<PathBuf> {
        self.folders.iter().find(|folder| folder.join(program).is_file()).cloned()
    }

    /// Makes a name beside a program a link to it.
    ///
    /// The link has no path in it: whatever the program's own name leads to after an upgrade, the link does, too.
    ///
    /// # Errors
    /// Says what is there already under that name, or why nothing can be put there.
    pub fn link(&self, folder: &Path, name: &str, program: &str) -> Result<Linked, PortError> {
        let place = folder.join(name);
        if fs::read_link(&place).is_ok_and(|target| target == Path::new(program)) {
            return Ok(Linked::There);
        }
        match std::os::unix::fs::symlink(program, &place) {
            Ok(()) => Ok(Linked::Made),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let what = format!("there is already a {} that is no link to {program}", place.display());
                Err(PortError::new(Reason::Conflict, what)
                    .with_hint(format!("if it is not needed: rm {}, then try again", place.display())))
            }
            Err(error) => {
                let hint = format!("sudo ln -s {program} {}", place.display());
                let what = format!("cannot make the link {}", place.display());
                Err(PortError::new(Reason::Other, what).caused_by(error).with_hint(hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_once_beside_the_program_that_path_leads_to() {
        let [empty, full] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fs::write(full.path().join("program"), "").unwrap();
        let links = PathLinks::new(&format!("relative:{}:{}", empty.path().display(), full.path().display()));
        let folder = links.folder_of("program").unwrap();
        assert_eq!(folder, full.path());
        assert_eq!(links.link(&folder, "name", "program").unwrap(), Linked::Made);
        assert_eq!(links.link(&folder, "name", "program").unwrap(), Linked::There);
        assert_eq!(fs::read_link(folder.join("name")).unwrap(), Path::new("program"));
    }

    #[test]
    fn what_somebody_else_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("name"), "mine").unwrap();
        let refused = PathLinks::new("").link(folder.path(), "name", "program").unwrap_err();
        assert_eq!(refused.reason, Reason::Conflict);
        assert_eq!(fs::read_to_string(folder.path().join("name")).unwrap(), "mine");
    }
}
