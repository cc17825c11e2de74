//! Where output goes: data to stdout, everything else to stderr, and one bar at the bottom of a terminal.
//!
//! Every line passes through here, so that a line and the bar never tear each other apart.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error;
use super::style::Style;
use super::table::harmless;
use super::wrap::wrapped;
use crate::model::outcome::Failure;

/// The program's outputs.
pub struct Screen {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    style: Style,
    stderr_is_terminal: bool,
    bar: Option<ProgressBar>,
}

/// What the bar shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// The phase.
    pub label: String,
    /// Amounts, rate and time left.
    pub text: String,
    /// Done and expected; `None` while there is nothing to measure.
    pub share: Option<(u64, u64)>,
}

impl Screen {
    /// Makes a screen over two outputs.
    #[must_use]
    pub fn new(
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        style: Style,
        stderr_is_terminal: bool,
    ) -> Self {
        Self { stdout, stderr, style, stderr_is_terminal, bar: None }
    }

    /// The style of text on stderr.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether a moving bar can be shown.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.stderr_is_terminal
    }

    /// Writes data, which must end with its own line break.
    pub fn data(&mut self, text: &str) {
        let write = |out: &mut Box<dyn Write + Send>| out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match &self.bar {
            Some(bar) => bar.suspend(|| ignore_closed(write(&mut self.stdout))),
            None => ignore_closed(write(&mut self.stdout)),
        }
    }

    /// Writes a line of data that came from the cluster.
    pub fn line(&mut self, text: &str) {
        self.data(&format!("{}\n", harmless(text)));
    }

    /// Writes a line for the person in front of it.
    pub fn note(&mut self, text: &str) {
        self.stderr(&format!("{}\n", harmless(text)));
    }

    /// Writes a line that was made harmless and coloured before.
    pub fn painted_note(&mut self, text: &str) {
        self.stderr(&format!("{text}\n"));
    }

    /// Writes a warning.
    pub fn warn(&mut self, text: &str) {
        self.stderr(&error::warning(text, self.style));
    }

    /// Writes a failure.
    pub fn fail(&mut self, failure: &Failure) {
        self.stderr(&error::failure(failure, self.style));
    }

    /// The terminal's width; a pipe has none.
    fn width(&self) -> Option<usize> {
        let size = self.stderr_is_terminal.then(|| rustix::termios::tcgetwinsize(std::io::stderr()).ok())?;
        size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
    }

    fn stderr(&mut self, text: &str) {
        let text = match self.width() {
            Some(width) => wrapped(text, width),
            None => text.to_owned(),
        };
        let write = |out: &mut Box<dyn Write + Send>| out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match &self.bar {
            Some(bar) => bar.suspend(|| ignore_closed(write(&mut self.stderr))),
            None => ignore_closed(write(&mut self.stderr)),
        }
    }

    /// Shows or moves the bar; nothing where there is no terminal.
    pub fn gauge(&mut self, gauge: &Gauge) {
        if !self.stderr_is_terminal {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(150));
            bar
        });
        let template = if gauge.share.is_some() { MEASURED } else { WAITING };
        bar.set_style(
            ProgressStyle::with_template(template).expect("tested below").progress_chars("=> ").tick_chars("|/-\\ "),
        );
        if let Some((done, total)) = gauge.share {
            bar.set_length(total.max(1));
            bar.set_position(done.min(total));
        }
        bar.set_prefix(harmless(&gauge.label));
        bar.set_message(harmless(&gauge.text));
    }

    /// Takes the bar away.
    pub fn clear_gauge(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

const MEASURED: &str = "{spinner} {prefix} [{wide_bar}] {msg}";
const WAITING: &str = "{spinner} {prefix} {wide_msg}";

/// A reader that has seen enough (`list | head`) is no error of ours; anything else on the way to a
/// terminal or a pipe has nobody left to be told to.
fn ignore_closed(result: std::io::Result<()>) {
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        tracing::debug!(%error, "output not written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_understood() {
        for template in [MEASURED, WAITING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
