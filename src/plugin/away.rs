//! An API server that does not answer for a while, to whoever watches it.

use crate::adapters::kubernetes::changes::Changes;
use crate::render::screen::Screen;

/// What is said when nobody answers.
pub(crate) const AWAY: &str = "the API server does not answer, so what is shown may be old; trying again";

/// What is said when somebody does again.
pub(crate) const BACK: &str = "the API server answers again";

/// Says that nobody answers, and waits until somebody does.
pub(crate) async fn wait_out(changes: &Changes, screen: &mut Screen) {
    screen.note(AWAY);
    changes.until_in_reach().await;
    screen.note(BACK);
}
