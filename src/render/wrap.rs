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

/// The same for a page of labels with their values: a value goes on below where it began. Rows of a table, which
/// have more than one gap, are left alone.
#[must_use]
pub fn wrapped_page(page: &str, width: usize) -> String {
    let line = |line: &str| match value_column(line) {
        Some(column) if width >= column + NARROWEST => broken(line, width, column),
        _ => line.to_owned(),
    };
    page.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Where a line's value begins, behind its label or the room of one; within a numbered step, behind its number.
fn value_column(line: &str) -> Option<usize> {
    let label = line.find(": ").map_or(0, |colon| colon + 1).min(line.find("  ")?);
    let column = line[label..].find(|c| c != ' ' && c != ':').map(|gap| label + gap)?;
    let value = &line[column..];
    let number = value.chars().take_while(char::is_ascii_digit).count();
    let is_step = number > 0 && value[number..].starts_with(". ");
    let is_value = column > INDENT && !value.contains("  ");
    is_value.then_some(if is_step { column + number + 2 } else { column })
}

fn wrapped_line(line: &str, width: usize) -> String {
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let column = value_column(line).filter(|column| width >= column + NARROWEST);
    broken(line, width, column.unwrap_or(indent + INDENT))
}

fn broken(line: &str, width: usize, hanging: usize) -> String {
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
            text.push_str(&" ".repeat(hanging));
            column = hanging;
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
    fn a_value_of_a_page_goes_on_below_where_it_began_and_tables_are_left_alone() {
        let page = "Lost:      the last 106s: everything written since then\n\
                    Steps:     1. read every byte of the backup and compare it\n\
                    \x20          2. boot a server on it without any network\n\
                    POD                NODE     READY   STATE    SIZE   QUEUE\n\
                    This is the plan; nothing was changed, as it was only asked for.\n";
        insta::assert_snapshot!(wrapped_page(page, 40), @r"
        Lost:      the last 106s: everything
                   written since then
        Steps:     1. read every byte of the
                      backup and compare it
                   2. boot a server on it
                      without any network
        POD                NODE     READY   STATE    SIZE   QUEUE
        This is the plan; nothing was changed, as it was only asked for.
        ");
    }

    #[test]
    fn a_command_to_copy_stays_in_one_line() {
        let text = "hint: kubectl mariadb-backup logs mariadb-phy-backup-x -n db\n";
        assert_eq!(wrapped(text, 24), text);
    }
}
