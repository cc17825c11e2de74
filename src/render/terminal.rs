//! The terminal behind stderr: lines that stay, and below them some that move.
//!
//! What is drawn goes out in one piece and over what was there, so that nothing flickers. A terminal that was
//! made narrower since has broken the drawn lines into more rows, and all of them are drawn over. The cursor
//! stands at the end of the last line and is never hidden: a program that is killed leaves nothing behind.

use std::io::{self, ErrorKind, Write};

use super::bar::lines;
use super::screen::Gauge;

/// What a terminal that does not say so is taken for.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// How much fits on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Stderr, and what moves at its end.
pub(super) struct Terminal {
    out: Box<dyn Write + Send>,
    size: Box<dyn Fn() -> Size + Send>,
    gauges: Vec<Gauge>,
    /// How many columns each line has that stands there now.
    drawn: Vec<usize>,
    frame: usize,
}

/// The size of the terminal behind stderr, where it tells one.
pub(super) fn told_size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    let size = Size { columns: usize::from(size.ws_col), rows: usize::from(size.ws_row) };
    Some(size).filter(|size| size.columns > 0)
}

/// The same, where one is needed.
pub(super) fn size() -> Size {
    let Size { columns, rows } = told_size().unwrap_or(USUAL);
    Size { columns, rows: if rows > 0 { rows } else { USUAL.rows } }
}

impl Terminal {
    /// A terminal on which nothing moves.
    pub(super) fn new(out: Box<dyn Write + Send>, size: impl Fn() -> Size + Send + 'static) -> Self {
        Self { out, size: Box::new(size), gauges: vec![], drawn: vec![], frame: 0 }
    }

    /// Decides what moves; it is seen when it is drawn next.
    pub(super) fn show(&mut self, gauges: Vec<Gauge>) {
        self.gauges = gauges;
    }

    /// Draws what moves, over what was drawn before.
    pub(super) fn draw(&mut self) {
        let text = self.moving();
        self.put(&text);
    }

    /// Writes text that stays, above what moves.
    pub(super) fn write(&mut self, text: &str) {
        let text = format!("{}{text}{}", self.wiped(), self.moving());
        self.put(&text);
    }

    /// Takes away what moves, until it is drawn again.
    pub(super) fn wipe(&mut self) {
        let text = self.wiped();
        self.put(&text);
    }

    fn moving(&mut self) -> String {
        if self.gauges.is_empty() {
            return self.wiped();
        }
        let lines = lines(&self.gauges, (self.size)(), self.frame);
        self.frame = self.frame.wrapping_add(1);
        // What is left of a longer line goes with its own row, what is left of more lines with the last.
        let text = format!("{}{}\x1b[J", self.to_the_first(), lines.join("\x1b[K\r\n"));
        self.drawn = lines.iter().map(|line| line.chars().count()).collect();
        text
    }

    fn wiped(&mut self) -> String {
        let text = self.to_the_first();
        self.drawn.clear();
        if text.is_empty() { text } else { format!("{text}\x1b[J") }
    }

    /// Moves to where the drawn lines begin, by the rows that they take up on the terminal as it is now.
    fn to_the_first(&self) -> String {
        let columns = (self.size)().columns;
        let rows: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        match rows {
            0 => String::new(),
            1 => "\r".to_owned(),
            rows => format!("\r\x1b[{}A", rows - 1),
        }
    }

    fn put(&mut self, text: &str) {
        if !text.is_empty() {
            ignore_closed(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()));
        }
    }
}

/// A reader that has seen enough (`list | head`) is no error of ours; anything else on the way to a
/// terminal or a pipe has nobody left to be told to.
pub(super) fn ignore_closed(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        tracing::debug!(%error, "output not written");
    }
}

#[cfg(test)]
mod tests;
