//! Questions that must be answered before something is done: `(y/N)`, and no is the default.

use std::io::BufRead;

use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// Asks; where nobody can be asked, fails at once with `unasked`, for `--yes` must say it then.
pub(crate) fn confirm(
    question: &str,
    unasked: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<(), Failure> {
    let Some(mut asking) = asking else {
        return Err(Failure::new(ExitCode::Usage, unasked).with_hint("add --yes"));
    };
    screen.note(question);
    let mut answer = String::new();
    let read = asking.read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Error, "not confirmed; nothing was ordered"))
}

/// Asks for a name to be typed, where what is about to be done cannot be taken back by anybody.
pub(crate) fn confirm_name(
    question: &str,
    name: &str,
    unasked: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<(), Failure> {
    let Some(mut asking) = asking else {
        return Err(Failure::new(ExitCode::Usage, unasked).with_hint("add --yes"));
    };
    screen.note(question);
    let mut answer = String::new();
    if asking.read_line(&mut answer).is_ok() && answer.trim() == name {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Error, "not confirmed; nothing was ordered"))
}
