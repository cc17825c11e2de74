//! The line that moves, fitted to the terminal: what of it is shown, and in which order it gives way.

use super::screen::Gauge;
use super::table::harmless;

/// Columns left free at the right: a terminal writes `^C` there, and wraps the line where there is no room.
pub(super) const FREE: usize = 3;

/// A bar shorter than this tells nothing.
const LEAST_BAR: usize = 8;

/// A line as the drawing library wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    pub(super) template: String,
    pub(super) label: String,
    pub(super) text: String,
}

/// Fits a line into a terminal of that many columns: the bar gives way first, then the end of the text.
pub(super) fn fitted(gauge: &Gauge, columns: usize) -> Fitted {
    let (label, text) = (harmless(&gauge.label), harmless(&gauge.text).replace(['\n', '\t'], " "));
    // The spinner, the label, and a space behind each.
    let taken = 3 + label.chars().count();
    let room = columns.saturating_sub(FREE + taken);
    let bar = room.saturating_sub(text.chars().count() + "[] ".len());
    let template = if gauge.share.is_some() && bar >= LEAST_BAR {
        format!("{{spinner}} {{prefix}} [{{bar:{bar}}}] {{msg}}")
    } else {
        "{spinner} {prefix} {msg}".to_owned()
    };
    Fitted { template, label, text: text.chars().take(room).collect() }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    use super::*;

    fn gauge(text: &str, share: Option<(u64, u64)>) -> Gauge {
        Gauge { label: "copy".to_owned(), text: text.to_owned(), share }
    }

    #[test]
    fn the_bar_takes_what_is_left_and_gives_way_first() {
        let text = "400MiB/0.98GiB 100MiB/s ETA 6s (100MiB stored)";
        let measured = |columns| fitted(&gauge(text, Some((4, 10))), columns);
        // Beside what is written there stand the brackets and a space.
        assert_eq!(measured(80).template, "{spinner} {prefix} [{bar:21}] {msg}");
        assert_eq!(measured(60).template, "{spinner} {prefix} {msg}");
        assert_eq!((measured(60).text.as_str(), measured(30).text.as_str()), (text, "400MiB/0.98GiB 100Mi"));
        assert_eq!(fitted(&gauge("waiting", None), 200).template, "{spinner} {prefix} {msg}");
    }

    #[test]
    fn every_line_is_understood_and_leaves_room_for_an_interrupt() {
        for columns in 0..200 {
            let line = fitted(&gauge("400MiB/0.98GiB", Some((4, 10))), columns);
            assert!(ProgressStyle::with_template(&line.template).is_ok(), "{}", line.template);
            let bar = line.template.split(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse().ok());
            let bar: usize = bar.map_or(0, |bar: usize| bar + 3);
            assert!(7 + bar + line.text.len() + FREE <= columns.max(7 + FREE), "{columns}: {line:?}");
        }
    }
}
