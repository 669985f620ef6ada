//! The fields of a template: what each is called, how it is written, and what those that were found stand for together.

use jiff::{Timestamp, ToSpan as _, civil};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const HALVES: [&str; 2] = ["AM", "PM"];
/// A year of two digits from here on is of the last century, as POSIX says.
const SHORT_YEAR_TURN: i64 = 69;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Year,
    ShortYear,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// On a dial of twelve.
    HalfHour,
    /// Before noon or after it.
    Half,
    Minute,
    Second,
    /// Seconds since 1970.
    Epoch,
    /// It says nothing that the date does not.
    Weekday,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// So many digits, whatever follows.
    Digits(usize),
    /// From so many digits to so many; no digit follows.
    Number(usize, usize),
    /// Two characters, the first of which may be a blank.
    Padded,
    /// One of these words, in English, whatever its case.
    Word(&'static [&'static str]),
    /// Its first three letters.
    Short(&'static [&'static str]),
}

/// A field as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    meaning: Meaning,
    form: Form,
}

impl Field {
    const fn new(meaning: Meaning, form: Form) -> Self {
        Self { meaning, form }
    }

    /// By Java's letters.
    pub(super) fn of_letters(letters: &str) -> Option<Self> {
        use Form::{Digits, Number, Short, Word};
        let (meaning, form) = match letters {
            "yyyy" => (Meaning::Year, Digits(4)),
            "yy" => (Meaning::ShortYear, Digits(2)),
            "MM" => (Meaning::Month, Digits(2)),
            "M" => (Meaning::Month, Number(1, 2)),
            "MMM" => (Meaning::Month, Short(&MONTHS)),
            "MMMM" => (Meaning::Month, Word(&MONTHS)),
            "dd" => (Meaning::Day, Digits(2)),
            "d" => (Meaning::Day, Number(1, 2)),
            "DDD" => (Meaning::DayOfYear, Digits(3)),
            "D" => (Meaning::DayOfYear, Number(1, 3)),
            "HH" => (Meaning::Hour, Digits(2)),
            "H" => (Meaning::Hour, Number(1, 2)),
            "hh" => (Meaning::HalfHour, Digits(2)),
            "h" => (Meaning::HalfHour, Number(1, 2)),
            "a" => (Meaning::Half, Word(&HALVES)),
            "mm" => (Meaning::Minute, Digits(2)),
            "ss" => (Meaning::Second, Digits(2)),
            "EEE" => (Meaning::Weekday, Short(&WEEKDAYS)),
            "EEEE" => (Meaning::Weekday, Word(&WEEKDAYS)),
            _ => return None,
        };
        Some(Self::new(meaning, form))
    }

    /// By strftime's letter; `unpadded` if a minus stands before it.
    pub(super) fn of_letter(letter: char, unpadded: bool) -> Option<Self> {
        let letters = match (letter, unpadded) {
            ('Y', _) => "yyyy",
            ('y', false) => "yy",
            ('m', false) => "MM",
            ('m', true) => "M",
            ('b' | 'h', _) => "MMM",
            ('B', _) => "MMMM",
            ('d', false) => "dd",
            ('d' | 'e', true) => "d",
            ('j', false) => "DDD",
            ('j', true) => "D",
            ('H', false) => "HH",
            ('H' | 'k', true) => "H",
            ('I', false) => "hh",
            ('I' | 'l', true) => "h",
            ('p' | 'P', _) => "a",
            ('M', false) => "mm",
            ('S', false) => "ss",
            ('a', _) => "EEE",
            ('A', _) => "EEEE",
            ('e', false) => return Some(Self::new(Meaning::Day, Form::Padded)),
            ('k', false) => return Some(Self::new(Meaning::Hour, Form::Padded)),
            ('l', false) => return Some(Self::new(Meaning::HalfHour, Form::Padded)),
            // From 1973 to 5138: shorter numbers are something else.
            ('s', _) => return Some(Self::new(Meaning::Epoch, Form::Number(9, 11))),
            _ => return None,
        };
        Self::of_letters(letters)
    }

    /// Whether it says which year it is.
    pub(super) fn tells_year(self) -> bool {
        matches!(self.meaning, Meaning::Year | Meaning::ShortYear | Meaning::Epoch)
    }

    pub(super) fn is_half_hour(self) -> bool {
        self.meaning == Meaning::HalfHour
    }

    pub(super) fn is_half(self) -> bool {
        self.meaning == Meaning::Half
    }

    /// Whether it begins with a digit.
    pub(super) fn is_number(self) -> bool {
        matches!(self.form, Form::Digits(_) | Form::Number(..) | Form::Padded)
    }

    /// Whether it ends only where no digit follows.
    pub(super) fn is_open(self) -> bool {
        matches!(self.form, Form::Number(..))
    }

    /// The value at the front of `text`, and what follows it.
    pub(super) fn read(self, text: &str) -> Option<(i64, &str)> {
        let number = |len: usize| {
            let (digits, rest) = text.split_at_checked(len)?;
            let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            Some((digits.parse().ok().filter(|_| all)?, rest))
        };
        match self.form {
            Form::Digits(len) => number(len),
            Form::Number(min, max) => {
                let len = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                number(len).filter(|_| (min..=max).contains(&len))
            }
            Form::Padded => match text.strip_prefix(' ') {
                Some(text) => Self { form: Form::Digits(1), ..self }.read(text),
                None => number(2),
            },
            Form::Word(words) => word(text, words, usize::MAX),
            Form::Short(words) => word(text, words, 3),
        }
    }
}

/// Which of `words`, cut after so many letters, stands at the front of `text`, counted from 1.
fn word<'a>(text: &'a str, words: &[&str], letters_max: usize) -> Option<(i64, &'a str)> {
    (1..).zip(words).find_map(|(number, word)| {
        let word = word.get(..letters_max.min(word.len()))?;
        let (found, rest) = text.split_at_checked(word.len())?;
        found.eq_ignore_ascii_case(word).then_some((number, rest))
    })
}

/// What a template found, field by field; a later find of the same field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::archive) struct Found {
    /// From the year to the second.
    fields: [Option<i16>; 6],
    day_of_year: Option<i16>,
    half_hour: Option<i16>,
    after_noon: Option<bool>,
    epoch: Option<i64>,
}

impl Found {
    pub(super) fn set(&mut self, field: Field, value: i64) {
        let [year, month, day, hour, minute, second] = &mut self.fields;
        let small = i16::try_from(value).ok();
        match field.meaning {
            Meaning::Year => *year = small,
            Meaning::ShortYear => {
                let century = if value < SHORT_YEAR_TURN { 2_000 } else { 1_900 };
                *year = small.map(|value| value + century);
            }
            Meaning::Month => *month = small,
            Meaning::Day => *day = small,
            Meaning::DayOfYear => self.day_of_year = small,
            Meaning::Hour => *hour = small,
            Meaning::HalfHour => self.half_hour = small,
            Meaning::Half => self.after_noon = Some(value == 2),
            Meaning::Minute => *minute = small,
            Meaning::Second => *second = small,
            Meaning::Epoch => self.epoch = Some(value),
            Meaning::Weekday => {}
        }
    }

    /// The fields from the year on, up to the first that is not known.
    pub(in crate::archive) fn known(&self) -> Vec<i16> {
        let [year, month, day, hour, minute, second] = self.fields;
        let date = self.date_in_year();
        let month = month.or_else(|| date.map(|date| date.month().into()));
        let day = day.or_else(|| date.map(|date| date.day().into()));
        let hour = hour.or_else(|| self.hour_on_dial());
        [year, month, day, hour, minute, second].into_iter().map_while(|value| value).collect()
    }

    /// The instant, if seconds since 1970 were found.
    pub(in crate::archive) fn instant(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.epoch?).ok()
    }

    fn date_in_year(&self) -> Option<civil::Date> {
        let [year, ..] = self.fields;
        let days = self.day_of_year.filter(|day| *day >= 1)? - 1;
        let first = civil::Date::new(year?, 1, 1).ok()?;
        first.checked_add(i32::from(days).days()).ok().filter(|date| date.year() == first.year())
    }

    fn hour_on_dial(&self) -> Option<i16> {
        let hour = self.half_hour.filter(|hour| (1..=12).contains(hour))?;
        Some(hour % 12 + if self.after_noon? { 12 } else { 0 })
    }
}
