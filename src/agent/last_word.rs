//! The outcome as a container's termination message, which Kubernetes cuts at 4096 bytes.
#![expect(clippy::disallowed_methods, reason = "the termination message is a file of the container")]

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::model::outcome::Outcome;

/// What Kubernetes keeps of a termination message.
const LIMIT_BYTES: usize = 4096;

/// A text this long still says what it is about; shorter ones are left alone while others can be cut.
const SHORT_BYTES: usize = 300;

/// Below this no text is worth keeping, so none is cut further.
const SHORTEST_BYTES: usize = 40;

/// What tells what happened: the log has it in full.
const TOLD: [&str; 3] = ["warnings", "causes", "message"];

/// And what is to be typed next, of which half is worse than nothing.
const TOLD_OR_TO_TYPE: [&str; 4] = ["warnings", "causes", "message", "hint"];

/// So many causes, and so many warnings, stay when the whole is too long.
const KEPT: usize = 3;

/// Writes the outcome, shortened until it fits: half a JSON document would say nothing at all.
///
/// # Errors
/// The file cannot be written.
pub fn write<R: Serialize>(outcome: &Outcome<R>, path: &Path) -> io::Result<()> {
    std::fs::write(path, text_of(outcome)?)
}

fn text_of<R: Serialize>(outcome: &Outcome<R>) -> io::Result<String> {
    let mut text = serde_json::to_string(outcome)?;
    if text.len() <= LIMIT_BYTES {
        return Ok(text);
    }
    let mut document = serde_json::to_value(outcome)?;
    while text.len() > LIMIT_BYTES && shorten(&mut document) {
        text = document.to_string();
    }
    Ok(text)
}

/// Takes out what is missed least; `false` when nothing is left to take.
///
/// What is good, how much is bad, and the code are never touched: they decide what is done next.
fn shorten(document: &mut Value) -> bool {
    ["unlisted", "removed", "uploaded", "downloaded"].into_iter().any(|list| drop_last(document, list))
        || drop_warnings(document)
        || drop_causes(document)
        || halve_longest(document, SHORT_BYTES, &TOLD)
        || drop_last(document, "bad")
        || drop_last(document, "failed")
        || drop_last(document, "findings")
        || halve_longest(document, SHORTEST_BYTES, &TOLD)
        || halve_longest(document, SHORTEST_BYTES, &TOLD_OR_TO_TYPE)
}

/// Drops the last of a report's list, wherever the kind of run puts the report.
fn drop_last(document: &mut Value, list: &str) -> bool {
    fn find<'a>(report: &'a mut Value, list: &str) -> Option<&'a mut Vec<Value>> {
        let fields = report.as_object_mut()?;
        if fields.contains_key(list) {
            return fields.get_mut(list)?.as_array_mut();
        }
        fields.values_mut().find_map(|field| find(field, list))
    }
    document.get_mut("done").and_then(|report| find(report, list)).and_then(Vec::pop).is_some()
}

fn drop_warnings(document: &mut Value) -> bool {
    let Some(Value::Array(warnings)) = document.get_mut("warnings") else { return false };
    let more = warnings.len().saturating_sub(KEPT);
    if more <= 1 {
        return false;
    }
    warnings.truncate(KEPT);
    warnings.push(format!("and {more} more; see the log").into());
    true
}

/// Drops the middle ones: the first goes with the message, the last is the root of it all.
fn drop_causes(document: &mut Value) -> bool {
    let Some(Value::Array(causes)) = document.pointer_mut("/failed/causes") else { return false };
    if causes.len() <= KEPT {
        return false;
    }
    causes.drain(KEPT - 1..causes.len() - 1);
    true
}

/// Cuts the longest text for people in half, of those of that kind, if it is longer than that.
fn halve_longest(document: &mut Value, limit: usize, kinds: &[&str]) -> bool {
    let Some(longest) = texts(document, kinds).into_iter().max_by_key(|text| bytes(text)) else { return false };
    if bytes(longest) <= limit {
        return false;
    }
    if let Value::String(text) = longest {
        let half = text.chars().count() / 2;
        *text = text.chars().take(half).chain(['…']).collect();
    }
    true
}

/// Returns the texts of those kinds: they are there only for people to read.
fn texts<'a>(document: &'a mut Value, kinds: &[&str]) -> Vec<&'a mut Value> {
    let mut found = Vec::new();
    let Some(fields) = document.as_object_mut() else { return found };
    let mut all = Vec::new();
    for (name, field) in fields {
        match (name.as_str(), field) {
            ("failed", Value::Object(failure)) => {
                all.extend(failure.iter_mut().map(|(name, text)| (name.as_str(), text)));
            }
            of => all.push(of),
        }
    }
    for (_, field) in all.into_iter().filter(|(name, _)| kinds.contains(name)) {
        match field {
            Value::Array(several) => found.extend(several),
            one => found.push(one),
        }
    }
    found
}

/// Returns the length as it is written, in which one character can take up to six bytes.
fn bytes(text: &Value) -> usize {
    text.to_string().len()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::exit_code::ExitCode;
    use crate::model::backup_id::BackupId;
    use crate::model::outcome::{End, Failure};
    use crate::model::report::{CheckReport, KeepReport, Marks, NAMED_BACKUPS, NAMED_UNLISTED, RunReport};

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

    #[test]
    fn the_root_of_a_failure_is_kept() {
        let mut failure = Failure::new(ExitCode::FailedInCluster, "m".repeat(5000));
        failure.causes = (0..9).map(|n| n.to_string()).collect();
        let text = text_of(&Outcome::<()>::failed(failure, Vec::new())).unwrap();
        let back: Outcome<()> = serde_json::from_str(&text).unwrap();
        let End::Failed(failure) = back.end else { panic!("{text}") };
        assert_eq!(failure.causes, ["0", "1", "8"]);
    }

    #[test]
    fn what_is_to_be_typed_next_is_the_last_to_be_cut() {
        let hint = "kubectl ".repeat(300);
        let mut failure = Failure::new(ExitCode::NeedsPerson, "m".repeat(3000)).with_hint(&hint);
        failure.causes = vec!["c".repeat(900); 3];
        let text = text_of(&Outcome::<()>::failed(failure, vec!["w".repeat(600); 5])).unwrap();
        assert!(text.len() <= LIMIT_BYTES, "{} bytes", text.len());
        let back: Outcome<()> = serde_json::from_str(&text).unwrap();
        let End::Failed(failure) = back.end else { panic!("{text}") };
        assert_eq!(failure.hint, Some(hint));
    }

    fn ids(count: usize) -> Vec<BackupId> {
        let id = |n| format!("incr/2026-01-31_23-59-59/2026-02-01_00-00-{n:02}").parse().unwrap();
        (0..count).map(id).collect()
    }

    /// Text of any kind: plain, of any script, and such as JSON must escape.
    fn text(most: usize) -> impl Strategy<Value = String> {
        let character = prop_oneof![Just('a'), any::<char>(), Just('\u{1}'), Just('"'), Just('備')];
        prop_oneof![Just('a'), Just('\u{1}'), character].prop_flat_map(move |fill| {
            let fill = prop_oneof![Just(fill), any::<char>()];
            vec(fill, 0..most).prop_map(|chars| chars.into_iter().collect::<String>())
        })
    }

    fn report() -> impl Strategy<Value = CheckReport> {
        let counts = (0..=NAMED_BACKUPS, 0..=NAMED_UNLISTED);
        (counts, vec(text(600), 0..=10)).prop_map(|((good, unlisted), bad)| CheckReport {
            good: ids(good),
            good_count: u32::MAX,
            bad,
            bad_count: u32::MAX,
            unlisted: ids(unlisted),
            bytes: u64::MAX,
            ..CheckReport::default()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_check_fits_with_all_that_is_good_and_the_number_of_what_is_bad(
            report in report(),
            warnings in vec(text(900), 0..6),
        ) {
            // Of a runner, and of a conductor, which says what kind of run it was.
            let runner = Outcome::done(report.clone(), warnings.clone());
            let text = text_of(&runner).unwrap();
            prop_assert!(text.len() <= LIMIT_BYTES, "{} bytes", text.len());
            let back: Outcome<CheckReport> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.code(), runner.code());
            let text = text_of(&runner.map(RunReport::Verify)).unwrap();
            prop_assert!(text.len() <= LIMIT_BYTES, "{} bytes", text.len());
            let again: Outcome<RunReport> = serde_json::from_str(&text).unwrap();
            let (End::Done(back), End::Done(RunReport::Verify(again))) = (back.end, again.end) else { panic!() };
            for back in [back, again] {
                prop_assert_eq!(&back.good, &report.good);
                prop_assert_eq!((back.good_count, back.bad_count, back.bytes), (u32::MAX, u32::MAX, u64::MAX));
                prop_assert!(report.bad.starts_with(&back.bad) && report.unlisted.starts_with(&back.unlisted));
                prop_assert!(back.unlisted.is_empty() || back.bad == report.bad);
            }
        }

        #[test]
        fn every_account_of_keeping_fits_with_all_its_marks(failed in vec(text(300), 0..=10)) {
            let marks = || Marks(vec![true; 50]);
            let failed_count = u32::MAX;
            let report =
                KeepReport { removed: marks(), uploaded: marks(), failed_count, failed, ..KeepReport::default() };
            let text = text_of(&Outcome::done(report.clone(), Vec::new())).unwrap();
            prop_assert!(text.len() <= LIMIT_BYTES, "{} bytes", text.len());
            let back: Outcome<KeepReport> = serde_json::from_str(&text).unwrap();
            let End::Done(back) = back.end else { panic!() };
            prop_assert!(report.failed.starts_with(&back.failed));
            prop_assert_eq!(KeepReport { failed: report.failed.clone(), ..back }, report);
        }

        #[test]
        fn every_failure_fits_with_its_code(
            message in text(3000),
            causes in vec(text(900), 0..6),
            hint in text(900),
            warnings in vec(text(900), 0..6),
        ) {
            let failure = Failure { causes, ..Failure::new(ExitCode::Refused, message).with_hint(hint) };
            let text = text_of(&Outcome::<()>::failed(failure, warnings)).unwrap();
            prop_assert!(text.len() <= LIMIT_BYTES, "{} bytes", text.len());
            let back: Outcome<()> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.code(), ExitCode::Refused);
        }
    }
}
