//! Schedules as a `CronJob` of Kubernetes understands them: five fields, or a word that stands for them.
//!
//! Read here so that a slip is named before anything is made, and to tell when the next time is.
//! Nothing that Kubernetes accepts is refused: its own rules are followed, such as that the day of
//! the month and the day of the week both have to fit only while one of them is a star.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// How far ahead the next time is looked for: two leap days can be eight years apart.
const HORIZON_DAYS: u32 = 9 * 366;

/// A schedule that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schedule \"{text}\" is not understood: {why}")]
pub struct BadCron {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// A schedule, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cron {
    /// At every minute that fits.
    Fields(Box<Fields>),
    /// At an interval that Kubernetes counts itself, such as `@every 6h`.
    Every,
}

/// The values that fit, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether the day of the month, or that of the week, is a star.
    any_day: bool,
}

/// One field: what it is called, its least and its most, and the names some of its values have.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    Field { name: "day of the week", least: 0, most: 6, names: &WEEKDAYS },
];

const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Cron {
    /// Reads a schedule.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(text: &str) -> Result<Self, BadCron> {
        let bad = |why: String| BadCron { text: text.to_owned(), why };
        if text.starts_with('@') {
            let word = WORDS.iter().find(|(word, _)| *word == text);
            return match word {
                Some((_, fields)) => Self::parse(fields),
                None if text.starts_with("@every ") => Ok(Self::Every),
                None => Err(bad(format!("the words are {}", WORDS.map(|(word, _)| word).join(", ")))),
            };
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            let five = FIELDS.map(|field| field.name).join(", ");
            return Err(bad(format!("it has {} fields instead of five ({five})", parts.len())));
        };
        let read = |index: usize, part: &str| bits(&FIELDS[index], part).map_err(bad);
        Ok(Self::Fields(Box::new(Fields {
            minutes: read(0, minute)?,
            hours: read(1, hour)?,
            days: read(2, day)?,
            months: read(3, month)?,
            weekdays: read(4, weekday)?,
            any_day: is_star(day) || is_star(weekday),
        })))
    }

    /// Whether there is no day on which it fits, such as the 31st of February. Kubernetes takes it all the same.
    #[must_use]
    pub fn never_comes(&self) -> bool {
        matches!(self, Self::Fields(fields) if fields.never_comes())
    }

    /// Returns the first time after `after` at which it fits; `None` when there is none that can be told.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let Self::Fields(fields) = self else { return None };
        let start = after.to_zoned(zone.clone()).date();
        for days in 0..HORIZON_DAYS {
            let date = start.checked_add(i64::from(days).days()).ok()?;
            if !fields.fits_day(date) {
                continue;
            }
            for (hour, minute) in fields.times() {
                let time = Time::new(hour, minute, 0, 0).ok()?;
                // A time that a change of the clocks leaves out comes when they have been changed.
                let at = date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
                if at > after {
                    return Some(at);
                }
            }
        }
        None
    }
}

/// The most days that a month has.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Fields {
    /// Whether no month that fits has a day that fits, and no day of the week makes up for it.
    fn never_comes(&self) -> bool {
        let fits = |bits: u64, value: u32| bits >> value & 1 == 1;
        let has_a_day = |length: u32| (1..=length).any(|day| fits(self.days, day));
        let has_any = (1..).zip(LENGTHS).any(|(month, length)| fits(self.months, month) && has_a_day(length));
        self.any_day && !has_any
    }

    fn fits_day(&self, date: Date) -> bool {
        let has = |bits: u64, value: i8| u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1);
        let of_month = has(self.days, date.day());
        let of_week = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.any_day { of_month && of_week } else { of_month || of_week }
    }

    fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let set = |bits: u64, most: i8| (0..=most).filter(move |value| bits >> value & 1 == 1);
        let minutes = self.minutes;
        set(self.hours, 23).flat_map(move |hour| set(minutes, 59).map(move |minute| (hour, minute)))
    }
}

fn is_star(part: &str) -> bool {
    part.split(',').any(|range| matches!(range.split('/').next(), Some("*" | "?")))
}

/// The values of one field.
fn bits(field: &Field, text: &str) -> Result<u64, String> {
    let mut bits = 0;
    for range in text.split(',') {
        let (from, to, step) = span(field, range)?;
        for value in (from..=to).step_by(step) {
            bits |= 1 << value;
        }
    }
    Ok(bits)
}

/// One range with its step: `*`, `5`, `1-5`, `*/10`, `5/10`.
fn span(field: &Field, text: &str) -> Result<(u32, u32, usize), String> {
    let Field { name, least, most, .. } = *field;
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let (from, to) = match range.split_once('-') {
        _ if range == "*" || range == "?" => (least, most),
        Some((from, to)) => (value(field, from)?, value(field, to)?),
        None if step.is_some() => (value(field, range)?, most),
        None => (value(field, range)?, value(field, range)?),
    };
    if from > to {
        return Err(format!("{name} \"{text}\" goes backwards"));
    }
    let step = match step {
        None => 1,
        Some(step) => {
            step.parse().ok().filter(|step| *step > 0).ok_or_else(|| format!("{name} has step \"{step}\""))?
        }
    };
    Ok((from, to, step))
}

fn value(field: &Field, text: &str) -> Result<u32, String> {
    let Field { name, least, most, names } = *field;
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let named = named.and_then(|index| u32::try_from(index).ok()).map(|index| index + least);
    let number = named.or_else(|| text.parse().ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{name} \"{text}\" is not within {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, after: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let next = Cron::parse(cron).unwrap().next(after.parse().unwrap(), &zone);
        next.map_or_else(|| "never".to_owned(), |at| at.to_string())
    }

    #[test]
    fn the_next_time_is_told_as_kubernetes_would() {
        let after = "2026-11-24T13:30:00Z";
        let cases = [
            ("30 2 * * *", "Etc/UTC", "2026-11-25T02:30:00Z"),
            ("30 13 * * *", "Etc/UTC", "2026-11-25T13:30:00Z"),
            ("*/20 * * * *", "Etc/UTC", "2026-11-24T13:40:00Z"),
            ("5/20 14-16/2 * * *", "Etc/UTC", "2026-11-24T14:05:00Z"),
            ("0 0 29 feb *", "Etc/UTC", "2028-02-29T00:00:00Z"),
            ("0 0 * * MON-FRI", "Etc/UTC", "2026-11-25T00:00:00Z"),
            // Either day will do where both are given; a star means the other one alone.
            ("0 0 1 * 5", "Etc/UTC", "2026-11-27T00:00:00Z"),
            ("0 0 1 * *", "Etc/UTC", "2026-12-01T00:00:00Z"),
            ("0 0 31 2 *", "Etc/UTC", "never"),
            ("@weekly", "Etc/UTC", "2026-11-29T00:00:00Z"),
            ("@every 6h", "Etc/UTC", "never"),
            ("30 2 * * *", "Europe/Berlin", "2026-11-25T01:30:00Z"),
        ];
        for (cron, zone, expected) in cases {
            assert_eq!(next(cron, after, zone), expected, "{cron} {zone}");
        }
    }

    #[test]
    fn a_slip_is_named_by_its_field() {
        let cases = [
            ("30 2 * *", "it has 4 fields instead of five (minute, hour, day of the month, month, day of the week)"),
            ("60 2 * * *", "minute \"60\" is not within 0 to 59"),
            ("0 2 * * 7", "day of the week \"7\" is not within 0 to 6"),
            ("0 2 * * sunday", "day of the week \"sunday\" is not within 0 to 6"),
            ("0 5-2 * * *", "hour \"5-2\" goes backwards"),
            ("*/0 * * * *", "minute has step \"0\""),
            ("0 2 * * ", "it has 4 fields instead of five (minute, hour, day of the month, month, day of the week)"),
            ("@nightly", "the words are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"),
        ];
        for (cron, why) in cases {
            assert_eq!(Cron::parse(cron).unwrap_err().why, why, "{cron}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_next_time_is_later_and_nothing_is_too_strange_to_be_read(text in "\\PC{0,20}|[0-9*/,-]{1,3}( [0-9*/,-]{1,3}){4}") {
            let after: Timestamp = "2026-11-24T13:30:00Z".parse().unwrap();
            if let Ok(cron) = Cron::parse(&text) {
                proptest::prop_assert!(cron.next(after, &TimeZone::UTC).is_none_or(|next| next > after));
            }
        }
    }

    #[test]
    fn a_day_that_no_month_has_never_comes_unless_a_day_of_the_week_makes_up_for_it() {
        let never = |text: &str| Cron::parse(text).unwrap().never_comes();
        for text in ["0 0 31 2 *", "0 0 30,31 feb *", "0 0 31 4,6,9,11 *"] {
            assert!(never(text), "{text}");
        }
        for text in ["0 0 31 2 1", "0 0 29 2 *", "0 0 31 2,3 *", "0 0 * * 0", "@daily", "@every 6h"] {
            assert!(!never(text), "{text}");
        }
    }
}
