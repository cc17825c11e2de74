//! Long lines on a narrow terminal: broken between words, never within one.
//!
//! A line with a command in it is left to the terminal, whose own breaks are not copied with it.

/// How much further in a broken line goes on.
const INDENT: usize = 4;
/// Narrower than this, breaking lines makes nothing easier to read.
const NARROWEST: usize = 20;

/// Breaks the lines of a text that are wider than a terminal.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> String {
    if width < NARROWEST {
        return text.to_owned();
    }
    text.split('\n').map(|line| wrapped_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, width: usize) -> String {
    if shown(line) <= width || line.contains("kubectl ") {
        return line.to_owned();
    }
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let mut text = " ".repeat(indent);
    let mut column = indent;
    let mut is_first = true;
    for word in line.trim_start().split(' ') {
        if !is_first && column + 1 + shown(word) > width {
            text.push('\n');
            text.push_str(&" ".repeat(indent + INDENT));
            column = indent + INDENT;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += shown(word);
        is_first = false;
    }
    text
}

/// How many characters are seen of a text that may be coloured.
fn shown(text: &str) -> usize {
    let mut is_colour = false;
    let seen = text.chars().filter(|c| {
        let starts = *c == '\x1b';
        let hidden = is_colour || starts;
        is_colour = hidden && *c != 'm';
        !hidden
    });
    seen.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_broken_between_words_and_goes_on_further_in() {
        let text = "\x1b[31merror:\x1b[0m cannot list pods\n  connection refused by the server\n";
        insta::assert_snapshot!(wrapped(text, 24).replace("\x1b[31m", "").replace("\x1b[0m", ""), @r"
        error: cannot list pods
          connection refused by
              the server
        ");
    }

    #[test]
    fn a_command_to_copy_stays_in_one_line() {
        let text = "hint: kubectl mariadb-backup logs mariadb-phy-backup-x -n db\n";
        assert_eq!(wrapped(text, 24), text);
    }
}
