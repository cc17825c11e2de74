//! What a terminal shows in the end, by one of a few lines that breaks and joins rows as real ones do.

use std::sync::{Arc, Mutex};

use super::*;

/// A terminal that breaks lines anew when its width changes.
#[derive(Clone)]
struct Fake(Arc<Mutex<Shown>>);

struct Shown {
    size: Size,
    rows: Vec<Row>,
    /// Row and column.
    cursor: (usize, usize),
}

#[derive(Default)]
struct Row {
    text: Vec<char>,
    /// Whether the next row is the same line, broken.
    goes_on: bool,
}

impl Shown {
    fn row(&mut self) -> &mut Row {
        let missing = (self.cursor.0 + 1).saturating_sub(self.rows.len());
        self.rows.extend((0..missing).map(|_| Row::default()));
        &mut self.rows[self.cursor.0]
    }

    fn put(&mut self, c: char) {
        let column = self.cursor.1;
        let row = &mut self.row().text;
        row.resize(row.len().max(column + 1), ' ');
        row[column] = c;
        self.cursor.1 += 1;
        assert!(self.cursor.1 <= self.size.columns, "a line is wider than the terminal");
    }

    fn control(&mut self, count: &str, what: char) {
        let (row, column) = self.cursor;
        match what {
            'A' => self.cursor.0 = row.checked_sub(count.parse().unwrap()).expect("above the first row"),
            'K' | 'J' => {
                self.row().text.truncate(column);
                self.row().goes_on = false;
                if what == 'J' {
                    self.rows.truncate(row + 1);
                }
            }
            other => panic!("{other} is not understood"),
        }
    }

    fn take(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '\r' => self.cursor.1 = 0,
                '\n' => {
                    self.cursor = (self.cursor.0 + 1, 0);
                    self.row();
                }
                '\x1b' => {
                    let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                    self.control(&rest[1..end], char::from(rest.as_bytes()[end]));
                    rest = &rest[end + 1..];
                }
                c => self.put(c),
            }
        }
    }

    /// The lines, each as it was before it was broken.
    fn lines(&self) -> Vec<Vec<char>> {
        let mut lines: Vec<Vec<char>> = vec![];
        let mut goes_on = false;
        for row in &self.rows {
            match lines.last_mut().filter(|_| goes_on) {
                Some(line) => line.extend(&row.text),
                None => lines.push(row.text.clone()),
            }
            goes_on = row.goes_on;
        }
        lines
    }
}

impl Write for Fake {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().take(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Fake {
    fn of(columns: usize) -> (Self, Terminal) {
        let size = Size { columns, rows: 24 };
        let fake = Self(Arc::new(Mutex::new(Shown { size, rows: vec![], cursor: (0, 0) })));
        let asked = fake.clone();
        (fake.clone(), Terminal::new(Box::new(fake), move || asked.0.lock().unwrap().size))
    }

    /// Makes it wider or narrower, with the cursor where its line now ends.
    fn resize(&self, columns: usize) {
        let mut shown = self.0.lock().unwrap();
        let broken = |line: &Vec<char>| {
            let parts: Vec<&[char]> = if line.is_empty() { vec![&[]] } else { line.chunks(columns).collect() };
            let last = parts.len() - 1;
            let row = |(number, part): (usize, &&[char])| Row { text: part.to_vec(), goes_on: number < last };
            parts.iter().enumerate().map(row).collect::<Vec<_>>()
        };
        shown.rows = shown.lines().iter().flat_map(broken).collect();
        shown.size.columns = columns;
        shown.cursor = (shown.rows.len() - 1, shown.rows.last().unwrap().text.len());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines().iter().map(|line| line.iter().collect()).collect()
    }
}

fn gauge(who: &str, text: &str) -> Gauge {
    Gauge::new("refill", text).of(who)
}

#[test]
fn lines_that_stay_are_written_above_those_that_move() {
    let (fake, mut terminal) = Fake::of(60);
    terminal.write("first\n");
    terminal.show(vec![gauge("fill-3", "100MiB"), gauge("fill-5", "200MiB")]);
    terminal.draw();
    assert_eq!(fake.lines(), ["first", "| refill fill-3 100MiB", "| refill fill-5 200MiB"]);
    terminal.write("second\n");
    assert_eq!(fake.lines(), ["first", "second", "/ refill fill-3 100MiB", "/ refill fill-5 200MiB"]);
}

#[test]
fn a_line_goes_with_what_it_was_about_and_leaves_nothing() {
    let (fake, mut terminal) = Fake::of(60);
    terminal.show(vec![gauge("fill-3", "100MiB and a long text"), gauge("fill-5", "200MiB")]);
    terminal.draw();
    terminal.show(vec![gauge("fill-5", "300MiB")]);
    terminal.draw();
    assert_eq!(fake.lines(), ["/ refill fill-5 300MiB"]);
    terminal.show(vec![]);
    terminal.draw();
    terminal.write("the end\n");
    assert_eq!(fake.lines(), ["the end", ""]);
}

#[test]
fn a_terminal_made_narrower_keeps_no_rest_of_what_was_drawn_before() {
    for columns in [8, 10, 17, 20, 31, 40, 59, 60, 100] {
        let (fake, mut terminal) = Fake::of(60);
        terminal.write("stays\n");
        let long = "400MiB/0.98GiB 100MiB/s ETA 6s (100MiB stored)";
        terminal.show(vec![gauge("fill-3", long), gauge("fill-5", long)]);
        terminal.draw();
        fake.resize(columns);
        terminal.draw();
        let lines = fake.lines();
        assert_eq!((lines[0].as_str(), lines.len()), ("stays", 3), "{columns}: {lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= columns), "{columns}: {lines:?}");
    }
}
