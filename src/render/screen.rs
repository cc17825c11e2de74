//! Where output goes: data to stdout, everything else to stderr, and lines that move at the bottom of a terminal.
//!
//! Every line passes through here, so that lines that stay and lines that move never tear each other apart.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error;
use super::style::Style;
use super::table::harmless;
use super::terminal::{Terminal, ignore_closed, size, told_size};
use super::wrap::{wrapped, wrapped_page};
use crate::model::outcome::Failure;

/// The program's outputs.
pub struct Screen {
    stdout: Box<dyn Write + Send>,
    stderr: Arc<Mutex<Terminal>>,
    style: Style,
    stderr_is_terminal: bool,
    stdout_is_terminal: bool,
    has_drawn: bool,
    ticker: Option<Ticker>,
}

/// What a line that moves shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// The phase.
    pub label: String,
    /// Who is at work, where that has to be said.
    pub who: Option<String>,
    /// Amounts, rate and time left, or what is done.
    pub text: String,
    /// What is told besides where there is room.
    pub aside: Option<String>,
    /// Done and expected; `None` where nobody knows.
    pub share: Option<(u64, u64)>,
    /// Whether the text tells amounts.
    pub measures: bool,
}

impl Gauge {
    /// A line about something that is not measured.
    #[must_use]
    pub fn new(label: &str, text: &str) -> Self {
        Self { label: label.to_owned(), who: None, text: text.to_owned(), aside: None, share: None, measures: false }
    }

    /// All that is told.
    #[must_use]
    pub fn whole(&self) -> String {
        self.text.clone() + &self.aside.as_ref().map(|aside| format!(" {aside}")).unwrap_or_default()
    }

    /// The same, of somebody.
    #[must_use]
    pub fn of(self, who: &str) -> Self {
        Self { who: Some(who.to_owned()), ..self }
    }
}

/// How often the lines that move are drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Draws what moves, also while nothing is reported: so it is seen that the program lives.
struct Ticker {
    /// Let go of to end it.
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Ticker {
    fn start(terminal: Arc<Mutex<Terminal>>) -> Self {
        let (end, ended) = channel();
        let thread = thread::spawn(move || {
            while ended.recv_timeout(FRAME) == Err(RecvTimeoutError::Timeout) {
                locked(&terminal).draw();
            }
        });
        Self { end, thread }
    }

    fn stop(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            tracing::debug!("what moves was not drawn to its end");
        }
    }
}

fn locked(terminal: &Mutex<Terminal>) -> MutexGuard<'_, Terminal> {
    terminal.lock().unwrap_or_else(PoisonError::into_inner)
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
        let stderr = Arc::new(Mutex::new(Terminal::new(stderr, size)));
        Self { stdout, stderr, style, stderr_is_terminal, stdout_is_terminal: false, has_drawn: false, ticker: None }
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
        let page = self.fitted(page);
        match (self.stdout_is_terminal, self.has_drawn) {
            // Home, and everything below away: no flicker, and nothing of a longer page before is left.
            (true, _) => self.data(&format!("\x1b[H\x1b[J{page}")),
            (false, true) => self.data(&format!("---\n{page}")),
            (false, false) => self.data(&page),
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
        // On the same terminal, what moves stands where the data goes.
        let shares = self.ticker.is_some() && self.stdout_is_terminal;
        let mut terminal = locked(&self.stderr);
        if shares {
            terminal.wipe();
        }
        ignore_closed(self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush()));
        if shares {
            terminal.draw();
        }
    }

    /// Writes a page of data for people: on a narrow terminal its values are broken between words.
    pub fn page(&mut self, page: &str) {
        let page = self.fitted(page);
        self.data(&page);
    }

    fn fitted(&self, page: &str) -> String {
        match told_size().filter(|_| self.stdout_is_terminal) {
            Some(size) => wrapped_page(page, size.columns),
            None => page.to_owned(),
        }
    }

    /// Writes data that is no text.
    pub fn bytes(&mut self, bytes: &[u8]) {
        ignore_closed(self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()));
    }

    /// Writes a line of data that came from the cluster.
    pub fn line(&mut self, text: &str) {
        self.page(&format!("{}\n", harmless(text)));
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

    fn stderr(&mut self, text: &str) {
        match told_size().filter(|_| self.stderr_is_terminal) {
            Some(size) => locked(&self.stderr).write(&wrapped(text, size.columns)),
            None => locked(&self.stderr).write(text),
        }
    }

    /// Shows what moves, in place of what moved before; nothing where there is no terminal.
    pub fn gauges(&mut self, gauges: Vec<Gauge>) {
        if !self.stderr_is_terminal {
            return;
        }
        locked(&self.stderr).show(gauges);
        if self.ticker.is_none() {
            locked(&self.stderr).draw();
            self.ticker = Some(Ticker::start(Arc::clone(&self.stderr)));
        }
    }

    /// Shows one line that moves.
    pub fn gauge(&mut self, gauge: Gauge) {
        self.gauges(vec![gauge]);
    }

    /// Takes away what moves.
    pub fn clear_gauges(&mut self) {
        if let Some(ticker) = self.ticker.take() {
            ticker.stop();
        }
        let mut terminal = locked(&self.stderr);
        terminal.show(vec![]);
        terminal.wipe();
    }
}
