//! The end of a run as its reader sees it: lines of data, one summary, and the exit code.

mod check;
mod copy;
mod drill;
mod keep;
mod look;
mod restore;
mod words;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cli::RunForm;
use super::follow::stamped;
use crate::exit_code::ExitCode;
use crate::model::outcome::{End, Outcome};
use crate::model::report::RunReport;
use crate::render::document::{Form, document};
use crate::render::screen::Screen;
pub(crate) use restore::lines as plan_lines;

/// What a report is shown as: data, and words about it for the person in front of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    headers: Option<String>,
    lines: Vec<String>,
    warnings: Vec<String>,
    summary: Vec<String>,
}

/// What is wished for of the data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// A document instead of lines.
    pub(crate) form: Option<RunForm>,
    /// No headers above columns.
    pub(crate) no_headers: bool,
}

/// Shows how a run ended; with a form, its whole outcome is the data, or the last of it.
pub(crate) fn run(job: &str, outcome: &Outcome<RunReport>, wish: Wish, screen: &mut Screen) -> ExitCode {
    let Wish { form, no_headers } = wish;
    if let Some(form) = form {
        tell(job, outcome, form, screen);
    }
    if let End::Done(report) = &outcome.end {
        let shown = shown(report);
        let headers = shown.headers.iter().filter(|_| !no_headers);
        for line in headers.chain(&shown.lines).filter(|_| form.is_none()) {
            screen.line(line);
        }
        for warning in &shown.warnings {
            screen.warn(warning);
        }
        for line in &shown.summary {
            screen.note(line);
        }
    }
    end(outcome, screen)
}

/// Writes the outcome for other programs: as JSON on one line, as each report before it was.
pub(crate) fn tell(job: &str, outcome: &Outcome<RunReport>, form: RunForm, screen: &mut Screen) {
    let whole = whole(job, outcome);
    screen.data(&match form {
        RunForm::Json => format!("{whole}\n"),
        RunForm::Yaml => document(&whole, Form::Yaml),
    });
}

/// Shows how a run ended where that is the data, as everything before it was.
pub(crate) fn to_its_end(outcome: &Outcome<RunReport>, stamp: Option<Timestamp>, screen: &mut Screen) -> ExitCode {
    if let End::Done(report) = &outcome.end {
        let shown = shown(report);
        let warnings = shown.warnings.iter().map(|warning| format!("Warning: {warning}"));
        for line in shown
            .headers
            .into_iter()
            .chain(shown.lines.iter().cloned())
            .chain(warnings)
            .chain(shown.summary.iter().cloned())
        {
            screen.line(&stamped(stamp, &line));
        }
    }
    end(outcome, screen)
}

/// Shows how a backup ended; only its name is the data.
pub(crate) fn name_only(outcome: &Outcome<RunReport>, screen: &mut Screen) -> ExitCode {
    if let End::Done(RunReport::Backup(report)) = &outcome.end {
        for line in copy::shown(report).summary {
            screen.note(&line);
        }
        screen.line(&format!("backup/{}", report.backup.name()));
    }
    end(outcome, screen)
}

/// Shows a failure, and returns the code of the outcome.
pub(crate) fn end(outcome: &Outcome<RunReport>, screen: &mut Screen) -> ExitCode {
    match &outcome.end {
        End::Failed(failure) => screen.fail(failure),
        // Whoever asked whether all is well must never read a yes when it is not.
        End::Done(RunReport::Verify(report)) if report.bad_count > 0 => return ExitCode::VerificationFailed,
        End::Done(_) => {}
    }
    outcome.code()
}

fn shown(report: &RunReport) -> Shown {
    match report {
        RunReport::Backup(report) => copy::shown(report),
        RunReport::Verify(report) => check::shown(report),
        RunReport::Drill(report) => drill::shown(report),
        RunReport::Preview(preview) => restore::preview(preview),
        RunReport::Restore(report) => restore::shown(report),
        RunReport::Keep(summary) => keep::shown(summary),
        RunReport::Recover(report) => look::recovered(report),
        RunReport::Status(report) => look::replicas(report),
        RunReport::Inventory(report) => look::stores(report),
    }
}

fn whole(job: &str, outcome: &Outcome<RunReport>) -> Value {
    let mut value = json!({"apiVersion": "mariadb-backup.io/v1", "kind": "RunOutcome", "job": job});
    let outcome = serde_json::to_value(outcome).expect("an outcome that was read can be written");
    if let (Some(value), Value::Object(outcome)) = (value.as_object_mut(), outcome) {
        value.extend(outcome.into_iter().filter(|(key, _)| key != "schema"));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::CheckReport;
    use crate::render::style::Style;

    #[test]
    fn a_verification_that_found_something_never_ends_with_0() {
        let report = CheckReport { bad_count: 1, ..CheckReport::default() };
        let outcome = Outcome::done(RunReport::Verify(report), vec![]);
        let mut screen = Screen::new(Box::new(vec![]), Box::new(vec![]), Style::default(), false);
        assert_eq!(run("job", &outcome, Wish::default(), &mut screen), ExitCode::VerificationFailed);
    }
}
