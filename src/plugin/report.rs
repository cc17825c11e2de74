//! The end of a run as its reader sees it: one line of data, one summary, and the exit code.

use jiff::SignedDuration;
use serde_json::json;

use super::cli::DocumentForm;
use crate::exit_code::ExitCode;
use crate::model::outcome::{End, Outcome};
use crate::model::report::{CheckReport, CopyReport, RunReport};
use crate::render::document::{Form, document};
use crate::render::screen::Screen;
use crate::render::{age, bytes};

/// Shows how a backup ended; `bare` leaves only its name on standard output.
pub(crate) fn backup(outcome: &Outcome<RunReport>, bare: bool, screen: &mut Screen) -> ExitCode {
    if let End::Done(RunReport::Backup(report)) = &outcome.end {
        screen.note(&copy_summary(report));
        let what_happened = if bare { "" } else { " created" };
        screen.line(&format!("backup/{}{what_happened}", report.backup.name()));
    }
    end(outcome, screen)
}

/// Shows how a verification ended.
pub(crate) fn verification(
    job: &str,
    outcome: &Outcome<RunReport>,
    form: Option<DocumentForm>,
    screen: &mut Screen,
) -> ExitCode {
    match form {
        Some(DocumentForm::Json) => whole(job, outcome, Form::Json, screen),
        Some(DocumentForm::Yaml) => whole(job, outcome, Form::Yaml, screen),
        None => {}
    }
    if let End::Done(RunReport::Verify(report)) = &outcome.end {
        if form.is_none() {
            for line in verdicts(report) {
                screen.line(&line);
            }
        }
        for backup in &report.unlisted {
            screen.warn(&format!("backup {backup} is on the volume but not in the catalogue"));
        }
        let read = bytes::human(report.bytes);
        screen.note(&format!(
            "{} good, {} wrong files, {read} read",
            count(report.good_count as usize, "backup"),
            report.bad_count
        ));
    }
    end(outcome, screen)
}

/// Shows the end of a run whose kind is only known from its outcome.
pub(crate) fn any(job: &str, outcome: &Outcome<RunReport>, screen: &mut Screen) -> ExitCode {
    match &outcome.end {
        End::Done(RunReport::Verify(_)) => verification(job, outcome, None, screen),
        _ => backup(outcome, false, screen),
    }
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

fn whole(job: &str, outcome: &Outcome<RunReport>, form: Form, screen: &mut Screen) {
    let mut value = json!({"apiVersion": "mariadb-backup.io/v1", "kind": "RunOutcome", "job": job});
    let outcome = serde_json::to_value(outcome).expect("an outcome that was read can be written");
    if let (Some(value), serde_json::Value::Object(outcome)) = (value.as_object_mut(), outcome) {
        value.extend(outcome.into_iter().filter(|(key, _)| key != "schema"));
    }
    screen.data(&document(&value, form));
}

fn copy_summary(report: &CopyReport) -> String {
    let took = report.finished.duration_since(report.started);
    format!(
        "backup of {} done in {}: {} stored, replica desynced for {}",
        bytes::human(report.stream_bytes),
        span(took),
        bytes::human(report.stream.size),
        millis(report.desync.window_millis),
    )
}

fn span(duration: SignedDuration) -> String {
    duration.as_millis().try_into().map_or_else(|_| "no time".to_owned(), millis)
}

/// Seconds with one digit where that matters, else as ages are written.
fn millis(millis: u64) -> String {
    let tenths = millis.div_ceil(100);
    if tenths < 100 {
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        age::human(std::time::Duration::from_millis(millis))
    }
}

fn verdicts(report: &CheckReport) -> Vec<String> {
    let good = report.good.iter().map(|backup| format!("backup/{backup} verified"));
    let bad = report.bad.iter().map(|line| format!("wrong: {line}"));
    let untold = u64::from(report.bad_count).saturating_sub(report.bad.len() as u64);
    let more = (untold > 0).then(|| format!("wrong: {untold} more files"));
    let unnamed = (report.good_count as usize).saturating_sub(report.good.len());
    let unnamed = (unnamed > 0).then(|| format!("{} verified", count(unnamed, "more backup")));
    good.chain(unnamed).chain(bad).chain(more).collect()
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_name_every_backup_and_count_what_is_not_told() {
        let report = CheckReport {
            good: vec!["base/2026-01-01_00-00-00".parse().unwrap()],
            good_count: 2,
            bad: vec!["base/2026-01-02_00-00-00/manifest.json: missing".to_owned()],
            bad_count: 3,
            bytes: 5,
            ..CheckReport::default()
        };
        insta::assert_snapshot!(verdicts(&report).join("\n"), @r"
        backup/2026-01-01_00-00-00 verified
        1 more backup verified
        wrong: base/2026-01-02_00-00-00/manifest.json: missing
        wrong: 2 more files
        ");
        let outcome = Outcome::done(RunReport::Verify(report), vec![]);
        let mut screen = Screen::new(Box::new(vec![]), Box::new(vec![]), crate::render::style::Style::default(), false);
        assert_eq!(verification("job", &outcome, None, &mut screen), ExitCode::VerificationFailed);
    }

    #[test]
    fn short_times_have_a_digit_more() {
        assert_eq!([millis(40), millis(1234), millis(61_000), millis(130_000)], ["0.1s", "1.3s", "61s", "2m10s"]);
    }
}
