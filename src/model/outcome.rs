//! How a run ended, in the words its reader needs: what was tried, on what, why it failed, what next.
//!
//! The outcome travels from the runner to the conductor and from there to the plugin in a
//! container's termination message (at most 4 KiB), which outlives the log and cannot be confused
//! with it. It is the only truth about success: a pod's phase is not.

use std::error::Error;

use serde::{Deserialize, Serialize};

use super::command::Places;
use crate::exit_code::ExitCode;

/// An error that knows its exit code and the next thing to type.
pub trait Explain: Error {
    /// The code the process ends with when this error ends it.
    fn code(&self) -> ExitCode;

    /// The next command to type or the next thing to look at.
    fn hint(&self) -> Option<String>;

    /// A failure that was reported by another process and is passed on with this error.
    fn reported(&self) -> Option<&Failure> {
        None
    }

    /// Takes the error over with everything it knows.
    fn into_failure(self) -> Failure
    where
        Self: Sized,
    {
        Failure::of(&self)
    }
}

/// An error in a form that can travel: the sentence, its causes, the hint and the code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Failure {
    /// The exit code that fits.
    pub code: ExitCode,
    /// What was tried, on what.
    pub message: String,
    /// Why, from the nearest cause to the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The next thing to type or look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// Makes a failure without causes.
    #[must_use]
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Adds the next thing to type or look at.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a cause below those already there.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Completes the commands it names, so that they lead there.
    #[must_use]
    pub fn placed(self, places: &Places) -> Self {
        Self {
            code: self.code,
            message: places.placed(&self.message),
            causes: self.causes.iter().map(|cause| places.placed(cause)).collect(),
            hint: self.hint.map(|hint| places.placed(&hint)),
        }
    }

    /// What failed and why, the root of it last, on one line of bounded length: for records.
    #[must_use]
    pub fn in_short(&self) -> String {
        let parts: Vec<&str> = [&self.message].into_iter().chain(&self.causes).map(String::as_str).collect();
        let line = parts.join(": ").split_whitespace().collect::<Vec<_>>().join(" ");
        match line.len() {
            0..=SHORT_BYTES => line,
            _ => format!("{}…", &line[..line.floor_char_boundary(SHORT_BYTES)]),
        }
    }

    /// Takes over an error with everything it knows.
    #[must_use]
    pub fn of(error: &dyn Explain) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes.extend(error.reported().into_iter().flat_map(|failure| failure.causes.clone()));
        Self { code: error.code(), message: error.to_string(), causes, hint: error.hint() }
    }
}

/// An error with all its causes, in one sentence: for where there is one line only.
#[must_use]
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// So much of a failure stands in a record; the rest is in its run's log.
const SHORT_BYTES: usize = 300;

/// The end of a run, as its last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome<R> {
    /// Version of this document's shape.
    pub schema: u32,
    /// What came of it: the result, or why there is none.
    #[serde(flatten)]
    pub end: End<R>,
    /// What the reader should know although the run went on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Either the result or the failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End<R> {
    /// The run did what was asked.
    Done(R),
    /// The run failed.
    Failed(Failure),
}

/// The version of [`Outcome`] this build writes and reads.
pub const OUTCOME_SCHEMA: u32 = 1;

impl<R> Outcome<R> {
    /// The outcome of a run that did what was asked.
    #[must_use]
    pub fn done(result: R, warnings: Vec<String>) -> Self {
        Self { schema: OUTCOME_SCHEMA, end: End::Done(result), warnings }
    }

    /// The outcome of a run that failed.
    #[must_use]
    pub fn failed(failure: Failure, warnings: Vec<String>) -> Self {
        Self { schema: OUTCOME_SCHEMA, end: End::Failed(failure), warnings }
    }

    /// The same outcome with another kind of result.
    #[must_use]
    pub fn map<S>(self, change: impl FnOnce(R) -> S) -> Outcome<S> {
        let end = match self.end {
            End::Done(result) => End::Done(change(result)),
            End::Failed(failure) => End::Failed(failure),
        };
        Outcome { schema: self.schema, end, warnings: self.warnings }
    }

    /// The exit code of a process whose run ended like this.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        match &self.end {
            End::Done(_) if self.warnings.is_empty() => ExitCode::Done,
            End::Done(_) => ExitCode::DoneWithWarnings,
            End::Failed(failure) => failure.code,
        }
    }
}
