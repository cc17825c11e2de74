//! What is left with a backup's mark about the files that went up in parts.
//!
//! For such a file the server keeps a sum over the sums of its parts, which cannot be computed from
//! the file's own. Left where the backup is signed off, it lets attributes alone tell whether that
//! file is still the one that was sent.

use std::collections::HashMap;

/// The key among the mark's user metadata.
const KEY: &str = "mariadb-backup-parts";

/// One file that went up in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uploaded {
    /// Its name in the backup's directory.
    pub(super) name: String,
    /// Bytes of every part but the last.
    pub(super) part_bytes: u64,
    /// The sum over its parts, as S3 writes it: base64, a dash, and the number of parts.
    pub(super) sum: String,
}

/// The user metadata to store with the mark.
pub(super) fn write(uploaded: &[Uploaded]) -> HashMap<String, String> {
    let one = |file: &Uploaded| format!("{} {} {}", file.name, file.part_bytes, file.sum);
    let text = uploaded.iter().map(one).collect::<Vec<_>>().join(", ");
    if text.is_empty() { HashMap::new() } else { HashMap::from([(KEY.to_owned(), text)]) }
}

/// Reads it back; `None` where nothing of the kind was stored.
pub(super) fn read(metadata: &HashMap<String, String>) -> Option<Vec<Uploaded>> {
    let one = |text: &str| {
        let mut words = text.split_whitespace().map(str::to_owned);
        let (name, part_bytes, sum) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        Some(Uploaded { name, part_bytes, sum })
    };
    metadata.get(KEY)?.split(", ").map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_uploaded_is_read_back() {
        let file = |name: &str| Uploaded { name: name.to_owned(), part_bytes: 8 << 20, sum: "a+/=-12".to_owned() };
        let files = vec![file("backup.mbstream.zst"), file("other")];
        assert_eq!(read(&write(&files)), Some(files));
        assert_eq!(read(&write(&[])), None);
        assert_eq!(read(&HashMap::from([(KEY.to_owned(), "garbage".to_owned())])), None);
    }
}
