//! Failures as text: what, why, and what to type next, each on a line of its own.

use super::style::Style;
use super::table::harmless;
use crate::model::outcome::Failure;

/// Writes a failure; every line ends with a line break.
#[must_use]
pub fn failure(failure: &Failure, style: Style) -> String {
    let what = format!("{} {}\n", style.bad("error:"), indented(&failure.message));
    let why = failure.causes.iter().map(|cause| format!("  {}\n", indented(cause)));
    let next = failure.hint.iter().map(|hint| format!("{} {}\n", style.good("hint:"), indented(hint)));
    std::iter::once(what).chain(why).chain(next).collect::<Vec<_>>().concat()
}

/// Writes a warning as kubectl does.
#[must_use]
pub fn warning(text: &str, style: Style) -> String {
    format!("{} {}\n", style.doubtful("Warning:"), indented(text))
}

fn indented(text: &str) -> String {
    harmless(text.trim()).replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let failure_value = Failure::new(ExitCode::Error, "cannot list pods in namespace db")
            .with_cause("connection refused\nby 127.0.0.1")
            .with_hint("kubectl cluster-info");
        insta::assert_snapshot!(failure(&failure_value, Style::default()), @r"
        error: cannot list pods in namespace db
          connection refused
            by 127.0.0.1
        hint: kubectl cluster-info
        ");
    }
}
