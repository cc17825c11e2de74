//! The outcome as a container's termination message, which Kubernetes cuts at 4096 bytes.
#![expect(clippy::disallowed_methods, reason = "the termination message is a file of the container")]

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::model::outcome::{End, Outcome};

/// What Kubernetes keeps of a termination message.
const LIMIT_BYTES: usize = 4096;

/// How much of a long text stays when the whole is too long.
const SHORT_CHARS: usize = 300;

/// Writes the outcome, shortened until it fits: half a JSON document would say nothing at all.
///
/// # Errors
/// The file cannot be written.
pub fn write<R: Serialize + Clone>(outcome: &Outcome<R>, path: &Path) -> io::Result<()> {
    let mut text = serde_json::to_string(outcome)?;
    if text.len() > LIMIT_BYTES {
        text = serde_json::to_string(&shortened(outcome))?;
    }
    std::fs::write(path, text)
}

fn shortened<R: Clone>(outcome: &Outcome<R>) -> Outcome<R> {
    let mut short = outcome.clone();
    let shorten = |text: &mut String| {
        if let Some((cut, _)) = text.char_indices().nth(SHORT_CHARS) {
            text.truncate(cut);
            text.push('…');
        }
    };
    if let End::Failed(failure) = &mut short.end {
        shorten(&mut failure.message);
        failure.causes.truncate(3);
        failure.causes.iter_mut().for_each(shorten);
        failure.hint.iter_mut().for_each(shorten);
    }
    let more = short.warnings.len().saturating_sub(3);
    short.warnings.truncate(3);
    short.warnings.iter_mut().for_each(shorten);
    if more > 0 {
        short.warnings.push(format!("and {more} more; see the log"));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::model::outcome::Failure;

    #[test]
    fn a_long_outcome_still_fits_and_is_still_json() {
        let mut failure = Failure::new(ExitCode::FailedInCluster, "ä".repeat(9000)).with_hint("h".repeat(9000));
        failure.causes = vec!["c".repeat(9000); 20];
        let outcome: Outcome<()> = Outcome::failed(failure, vec!["w".repeat(9000); 20]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("message");
        write(&outcome, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() <= LIMIT_BYTES, "{} bytes", text.len());
        let back: Outcome<()> = serde_json::from_str(&text).unwrap();
        assert_eq!(back.code(), ExitCode::FailedInCluster);
    }
}
