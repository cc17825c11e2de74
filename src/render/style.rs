//! Colour: whether, and which.
//!
//! Decided once from the flag and the terminal, then only asked. Colour repeats what the words say;
//! nothing is told by colour alone.

/// What the user said about colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorWish {
    /// Colour where it goes to a terminal that can show it.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// Decides about colour, with the rules kubectl follows.
    #[must_use]
    pub fn decide(wish: ColorWish, is_terminal: bool, term: Option<&str>, no_color: Option<&str>) -> Self {
        let able = is_terminal && term.is_some_and(|term| term != "dumb") && no_color.is_none();
        Self {
            colour: match wish {
                ColorWish::Auto => able,
                ColorWish::Always => true,
                ColorWish::Never => false,
            },
        }
    }

    /// Whether text is coloured at all.
    #[must_use]
    pub fn is_coloured(self) -> bool {
        self.colour
    }

    /// Something went wrong.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Something to look at.
    #[must_use]
    pub fn doubtful(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Something went well.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something that may be read over.
    #[must_use]
    pub fn quiet(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_that_wants_it_or_an_order() {
        let decide = |wish, terminal, term, no_color| Style::decide(wish, terminal, term, no_color).is_coloured();
        assert!(decide(ColorWish::Auto, true, Some("xterm"), None));
        assert!(!decide(ColorWish::Auto, false, Some("xterm"), None));
        assert!(!decide(ColorWish::Auto, true, Some("dumb"), None));
        assert!(!decide(ColorWish::Auto, true, None, None));
        assert!(!decide(ColorWish::Auto, true, Some("xterm"), Some("")));
        assert!(decide(ColorWish::Always, false, None, Some("1")));
        assert!(!decide(ColorWish::Never, true, Some("xterm"), None));
    }
}
