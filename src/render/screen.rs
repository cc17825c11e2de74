//! Where output goes: data to stdout, everything else to stderr, and one bar at the bottom of a terminal.
//!
//! Every line passes through here, so that a line and the bar never tear each other apart.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::bar::fitted;
use super::error;
use super::style::Style;
use super::table::harmless;
use super::terminal::{self, Narrowed, width_or_usual};
use super::wrap::wrapped;
use crate::model::outcome::Failure;

/// The program's outputs.
pub struct Screen {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    style: Style,
    stderr_is_terminal: bool,
    stdout_is_terminal: bool,
    has_drawn: bool,
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

/// How often the moving line is drawn at most, in one second.
const FRAMES: u8 = 20;

impl Screen {
    /// Makes a screen over two outputs.
    #[must_use]
    pub fn new(
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        style: Style,
        stderr_is_terminal: bool,
    ) -> Self {
        Self { stdout, stderr, style, stderr_is_terminal, stdout_is_terminal: false, has_drawn: false, bar: None }
    }

    /// The same screen, whose stdout is a terminal.
    #[must_use]
    pub fn with_terminal_stdout(self, is_terminal: bool) -> Self {
        Self { stdout_is_terminal: is_terminal, ..self }
    }

    /// Whether a page can be written in place of the one before.
    #[must_use]
    pub fn can_redraw(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Writes a page of data in place of the one before; where nothing can be taken back, below it.
    pub fn redraw(&mut self, page: &str) {
        match (self.stdout_is_terminal, self.has_drawn) {
            // Home, and everything below away: no flicker, and nothing of a longer page before is left.
            (true, _) => self.data(&format!("\x1b[H\x1b[J{page}")),
            (false, true) => self.data(&format!("---\n{page}")),
            (false, false) => self.data(page),
        }
        self.has_drawn = true;
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

    /// Writes data that is no text.
    pub fn bytes(&mut self, bytes: &[u8]) {
        ignore_closed(self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()));
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
        if self.stderr_is_terminal { terminal::width() } else { None }
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
        let line = fitted(gauge, width_or_usual());
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(
                None,
                ProgressDrawTarget::term_like_with_hz(Box::<Narrowed>::default(), FRAMES),
            );
            bar.enable_steady_tick(Duration::from_millis(150));
            bar
        });
        let style = ProgressStyle::with_template(&line.template).expect("every line is tested where it is made");
        bar.set_style(style.progress_chars("=> ").tick_chars("|/-\\ "));
        if let Some((done, total)) = gauge.share {
            bar.set_length(total.max(1));
            bar.set_position(done.min(total));
        }
        bar.set_prefix(line.label);
        bar.set_message(line.text);
    }

    /// Takes the bar away.
    pub fn clear_gauge(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A reader that has seen enough (`list | head`) is no error of ours; anything else on the way to a
/// terminal or a pipe has nobody left to be told to.
fn ignore_closed(result: std::io::Result<()>) {
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        tracing::debug!(%error, "output not written");
    }
}
