//! The lines that move, fitted to the terminal: what of them is shown, and in which order it gives way.

use super::screen::Gauge;
use super::table::harmless;
use super::terminal::Size;

/// Columns left free at the right: a terminal writes `^C` there, and wraps the line where there is no room.
const FREE: usize = 3;

/// A bar shorter than this tells nothing.
const LEAST_BAR: usize = 8;

/// What turns in front of each line as long as the program lives.
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// Writes the lines: the bars give way first, then what is told besides, then the bars altogether and the ends of
/// the texts. More than fit on the terminal are counted.
pub(super) fn lines(gauges: &[Gauge], size: Size, frame: usize) -> Vec<String> {
    let room = size.rows.saturating_sub(1).max(1);
    let shown = if gauges.len() > room { room - 1 } else { gauges.len() };
    let labels: Vec<String> = gauges.iter().map(label).collect();
    let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let columns = size.columns.saturating_sub(FREE);
    let spinner = SPINNER[frame % SPINNER.len()];
    let line = |(gauge, label): (&Gauge, &String)| {
        let begin = format!("{spinner} {label:<widest$} ");
        let line = format!("{begin}{}", behind(gauge, columns.saturating_sub(begin.chars().count())));
        line.chars().take(columns).collect::<String>().trim_end().to_owned()
    };
    let more = (gauges.len() > shown).then(|| {
        let text = format!("{spinner} and {} more", gauges.len() - shown);
        text.chars().take(columns).collect()
    });
    gauges.iter().zip(&labels).take(shown).map(line).chain(more).collect()
}

fn label(gauge: &Gauge) -> String {
    let who = gauge.who.as_deref().map(|who| format!(" {who}")).unwrap_or_default();
    harmless(&format!("{}{who}", gauge.label))
}

/// What stands behind the label, where there is so much room.
fn behind(gauge: &Gauge, room: usize) -> String {
    let on_one_line = |text: &str| harmless(text).replace(['\n', '\t'], " ");
    let texts = [on_one_line(&gauge.whole()), on_one_line(&gauge.text)];
    let length = |text: &String| room.saturating_sub(text.chars().count() + "[] ".len());
    let with_bar = |share: (u64, u64)| {
        let text = texts.iter().find(|text| length(text) >= LEAST_BAR)?;
        Some(format!("[{}] {text}", bar(share, length(text))))
    };
    gauge.share.and_then(with_bar).unwrap_or_else(|| texts[0].clone())
}

fn bar((done, total): (u64, u64), length: usize) -> String {
    let filled = u128::from(done.min(total)) * length as u128 / u128::from(total.max(1));
    let filled = usize::try_from(filled).unwrap_or(length);
    let head = if filled < length { ">" } else { "" };
    format!("{:<length$}", format!("{}{head}", "=".repeat(filled)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMOUNTS: &str = "400MiB/0.98GiB 100MiB/s ETA 6s";
    const TEXT: &str = "400MiB/0.98GiB 100MiB/s ETA 6s (100MiB stored)";

    fn copy(share: Option<(u64, u64)>) -> Gauge {
        Gauge { share, aside: Some("(100MiB stored)".to_owned()), ..Gauge::new("copy", AMOUNTS) }
    }

    fn fitted(gauges: &[Gauge], columns: usize) -> Vec<String> {
        lines(gauges, Size { columns, rows: 24 }, 0)
    }

    #[test]
    fn the_bar_takes_what_is_left_and_gives_way_first() {
        let measured = |columns| fitted(&[copy(Some((4, 10)))], columns).remove(0);
        assert_eq!(measured(80), format!("| copy [========>            ] {TEXT}"));
        assert_eq!(measured(60), format!("| copy [======>          ] {AMOUNTS}"));
        assert_eq!(measured(51), format!("| copy [===>    ] {AMOUNTS}"));
        assert_eq!(measured(50), "| copy 400MiB/0.98GiB 100MiB/s ETA 6s (100MiB s");
        assert_eq!(measured(30), "| copy 400MiB/0.98GiB 100Mi");
        assert_eq!(fitted(&[Gauge::new("order", "waiting")], 200), ["| order waiting"]);
    }

    #[test]
    fn the_lines_of_several_runners_stand_below_each_other() {
        let gauges = [copy(Some((10, 10))).of("fill-3"), copy(Some((0, 10))).of("fill-11")];
        let bars = ["==================", ">                 "];
        let lines = ["fill-3 ", "fill-11"].into_iter().zip(bars);
        let expected: Vec<_> = lines.map(|(who, bar)| format!("| copy {who} [{bar}] {TEXT}")).collect();
        assert_eq!(fitted(&gauges, 85), expected);
    }

    #[test]
    fn more_lines_than_the_terminal_has_are_counted() {
        let gauges: Vec<_> = (0..9).map(|number| Gauge::new("copy", "1MiB").of(&format!("fill-{number}"))).collect();
        let lines = lines(&gauges, Size { columns: 80, rows: 4 }, 1);
        assert_eq!(lines, ["/ copy fill-0 1MiB", "/ copy fill-1 1MiB", "/ and 7 more"]);
    }

    #[test]
    fn every_line_leaves_room_for_an_interrupt() {
        for columns in 0..200 {
            let gauges = [copy(Some((4, 10))), copy(Some((0, 0))).of("fill-3"), copy(None)];
            let widest = fitted(&gauges, columns).iter().map(|line| line.chars().count()).max().unwrap();
            assert!(widest + FREE <= columns.max(FREE), "{columns}: {widest}");
        }
    }
}
