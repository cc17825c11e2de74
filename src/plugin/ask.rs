//! Questions that must be answered before something is done; no is the default.
//!
//! The answer is waited for beside the program, so that Ctrl-C ends it there as anywhere else.

use std::io::BufRead;

use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// Asks `(y/N)`; where nobody can be asked, fails at once with `unasked`, for `--yes` must say it then.
pub(crate) async fn confirm(
    question: &str,
    unasked: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<(), Failure> {
    let answer = answer(question, unasked, screen, asking).await?.to_lowercase();
    if ["y", "yes"].contains(&answer.as_str()) { Ok(()) } else { Err(not_confirmed()) }
}

/// Asks for a name to be typed, where what is about to be done cannot be taken back by anybody.
pub(crate) async fn confirm_name(
    question: &str,
    name: &str,
    unasked: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<(), Failure> {
    if answer(question, unasked, screen, asking).await? == name { Ok(()) } else { Err(not_confirmed()) }
}

async fn answer(
    question: &str,
    unasked: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<String, Failure> {
    let Some(mut asking) = asking else {
        return Err(Failure::new(ExitCode::Usage, unasked).with_hint("add --yes"));
    };
    screen.note(question);
    let read = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        // An answer that cannot be read is none.
        asking.read_line(&mut answer).map(|_| answer.trim().to_owned()).unwrap_or_default()
    });
    tokio::select! {
        answer = read => Ok(answer.unwrap_or_default()),
        _ = tokio::signal::ctrl_c() => {
            // The terminal has written `^C` at the start of this line.
            screen.note("");
            Err(Failure::new(ExitCode::Interrupted, "interrupted; nothing was ordered"))
        }
    }
}

fn not_confirmed() -> Failure {
    Failure::new(ExitCode::Error, "not confirmed; nothing was ordered")
}
