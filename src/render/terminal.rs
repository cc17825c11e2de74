//! The terminal as the moving line sees it: a few columns narrower than it is.
//!
//! The drawing library fills the line to its end. A terminal that then writes `^C` wraps, and the line
//! above would never be cleared; with some columns left there is room for it.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

use super::bar::FREE;

/// What a terminal that does not say so is taken for.
const USUAL_WIDTH: usize = 80;

/// The terminal behind stderr; what is drawn goes there in one piece, so that nothing flickers.
#[derive(Debug, Default)]
pub(super) struct Narrowed {
    drawn: Mutex<String>,
}

/// The width of the terminal behind stderr, where it tells one.
pub(super) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// The same, where one is needed.
pub(super) fn width_or_usual() -> usize {
    width().unwrap_or(USUAL_WIDTH)
}

impl Narrowed {
    fn drawn(&self) -> MutexGuard<'_, String> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, text: &str) {
        self.drawn().push_str(text);
    }

    fn moved(&self, cells: usize, direction: char) {
        if cells > 0 {
            self.draw(&format!("\x1b[{cells}{direction}"));
        }
    }
}

impl TermLike for Narrowed {
    fn width(&self) -> u16 {
        u16::try_from(width_or_usual().saturating_sub(FREE)).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, cells: usize) -> io::Result<()> {
        self.moved(cells, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, cells: usize) -> io::Result<()> {
        self.moved(cells, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, cells: usize) -> io::Result<()> {
        self.moved(cells, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, cells: usize) -> io::Result<()> {
        self.moved(cells, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        self.draw("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawn());
        io::stderr().write_all(drawn.as_bytes())
    }
}
