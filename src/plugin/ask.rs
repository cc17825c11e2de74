//! Questions that must be answered before something is done; no is the default.
//!
//! The answer is waited for beside the program, so that Ctrl-C ends it there as anywhere else.

use std::io::BufRead;

use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::render::screen::Screen;

/// Asks `(y/N)`; where nobody can be asked, fails at once, for `--yes` must say it then.
pub(crate) async fn confirm(
    question: &str,
    asked_for: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<(), Failure> {
    let answer = answer(question, asked_for, screen, asking).await?.to_lowercase();
    if ["y", "yes"].contains(&answer.as_str()) { Ok(()) } else { Err(not_confirmed()) }
}

/// Shows what is about to be done, and asks for the cluster's name to be typed, where what is done cannot be
/// taken back by anybody.
pub(crate) async fn confirm_name(
    what: &str,
    (namespace, cluster): (&str, &str),
    asked_for: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<(), Failure> {
    // The same name may be in every namespace: what is typed without thinking should at least be read beside it.
    let question = format!("{what} Type the name of the cluster in namespace {namespace} ({cluster}) to go on:");
    if answer(&question, asked_for, screen, asking).await? == cluster {
        return Ok(());
    }
    let what = format!("not confirmed: that is not the cluster's name, which is {cluster}; nothing was changed");
    Err(Failure::new(ExitCode::Error, what))
}

/// The end of a command that has to ask where nobody can be asked.
pub(crate) fn unasked(asked_for: &str) -> Failure {
    let what = format!("{asked_for} has to be confirmed, and there is no terminal to ask on");
    Failure::new(ExitCode::Usage, what).with_hint("add --yes, or --dry-run to see what would be done")
}

async fn answer(
    question: &str,
    asked_for: &str,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> Result<String, Failure> {
    let Some(mut asking) = asking else {
        return Err(unasked(asked_for));
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
