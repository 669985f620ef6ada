//! How an archive's own directories tell the time: `dt={yyyy-MM-dd}/hr={HH}` or `%Y/%m/%d`.
//!
//! A template is matched part by part against the directories of a key, the last of its parts also against the
//! file's name. Braces hold Java's letters, as Firehose's prefixes do (`yyyy MM dd HH mm ss`), a percent sign stands
//! before strftime's; `*` is any text without a slash. The first part may stand at the end of a directory's name,
//! because Firehose joins a static prefix without a slash.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The fields of a date and time, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl Field {
    const ALL: [Self; 6] = [Self::Year, Self::Month, Self::Day, Self::Hour, Self::Minute, Self::Second];

    fn digits(self) -> usize {
        if self == Self::Year { 4 } else { 2 }
    }

    /// By Java's letters.
    fn of_letters(letters: &str) -> Option<Self> {
        let words = ["yyyy", "MM", "dd", "HH", "mm", "ss"];
        words.iter().position(|word| *word == letters).and_then(|at| Self::ALL.get(at).copied())
    }

    /// By strftime's letter.
    fn of_letter(letter: char) -> Option<Self> {
        let letters = ['Y', 'm', 'd', 'H', 'M', 'S'];
        letters.iter().position(|other| *other == letter).and_then(|at| Self::ALL.get(at).copied())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
    Any,
}

/// What a template found, field by field; a later find of the same field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found([Option<i16>; 6]);

impl Found {
    fn set(&mut self, field: Field, value: i16) {
        if let Some(place) = self.0.get_mut(field as usize) {
            *place = Some(value);
        }
    }

    /// The fields from the year on, up to the first that is not known.
    pub(super) fn known(&self) -> Vec<i16> {
        self.0.iter().map_while(|value| *value).collect()
    }
}

/// A template, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Vec<Piece>>,
}

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It names no year.
    #[error("a layout needs a year, as in {{yyyy}}/{{MM}}/{{dd}}/{{HH}} or dt=%Y-%m-%d")]
    NoYear,
    /// Braces or a percent sign with something else in it.
    #[error(
        "a layout has {{yyyy}} {{MM}} {{dd}} {{HH}} {{mm}} {{ss}}, also joined as in {{yyyy-MM-dd}}, or %Y %m %d %H %M %S %F"
    )]
    UnknownField,
    /// Two fields, or a field and `*`, that cannot be told apart.
    #[error("a layout has a double slash, or begins with one")]
    EmptyPart,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let parts = path.split('/').map(parse_part).collect::<Result<Vec<_>, _>>()?;
        if !parts.iter().flatten().any(|piece| *piece == Piece::Field(Field::Year)) {
            return Err(TemplateError::NoYear);
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn parse_part(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '{' => {
                let (inside, behind) = rest[1..].split_once('}').ok_or(TemplateError::UnknownField)?;
                parse_letters(inside, &mut pieces)?;
                rest = behind;
                continue;
            }
            '%' => {
                let letter = rest.chars().nth(1).ok_or(TemplateError::UnknownField)?;
                match letter {
                    '%' => push_text(&mut pieces, '%'),
                    'F' => parse_letters("yyyy-MM-dd", &mut pieces)?,
                    _ => pieces
                        .push(Piece::Field(Field::of_letter(letter).ok_or(TemplateError::UnknownField)?)),
                }
                rest = rest.get(1 + letter.len_utf8()..).unwrap_or_default();
                continue;
            }
            '*' if pieces.last() != Some(&Piece::Any) => pieces.push(Piece::Any),
            '*' => {}
            '}' => return Err(TemplateError::UnknownField),
            text => push_text(&mut pieces, text),
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    if pieces.is_empty() { Err(TemplateError::EmptyPart) } else { Ok(pieces) }
}

/// Java's pattern letters: runs of one letter are fields, the rest stands for itself.
fn parse_letters(pattern: &str, pieces: &mut Vec<Piece>) -> Result<(), TemplateError> {
    let mut rest = pattern;
    let before = pieces.len();
    while let Some(first) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(first).len();
        let (letters, behind) = rest.split_at(run);
        if first.is_ascii_alphabetic() {
            pieces.push(Piece::Field(Field::of_letters(letters).ok_or(TemplateError::UnknownField)?));
        } else {
            letters.chars().for_each(|text| push_text(pieces, text));
        }
        rest = behind;
    }
    if pieces.len() == before { Err(TemplateError::UnknownField) } else { Ok(()) }
}

fn push_text(pieces: &mut Vec<Piece>, character: char) {
    if let Some(Piece::Text(text)) = pieces.last_mut() {
        text.push(character);
    } else {
        pieces.push(Piece::Text(character.to_string()));
    }
}

impl Template {
    /// How many directories it has, the last of which may be a file's name.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Matches the first parts of the template with `dirs`, one each.
    pub(super) fn find_dirs(&self, dirs: &[&str]) -> Option<Found> {
        let mut found = Found::default();
        for (at, (dir, part)) in dirs.iter().zip(&self.parts).enumerate() {
            // Firehose joins its prefix to the first directory.
            let starts = if at == 0 { dir.len() } else { 0 };
            let mut starts = (0..=starts).filter(|&start| dir.is_char_boundary(start));
            let fits = |start: usize, found: &mut Found| {
                let before = dir.as_bytes().get(start.wrapping_sub(1)).copied();
                begins_at(part, before) && matches(part, dir.get(start..).unwrap_or_default(), true, found)
            };
            starts.find(|&start| {
                let mut trial = found;
                let fits = fits(start, &mut trial);
                found = if fits { trial } else { found };
                fits
            })?;
        }
        (dirs.len() <= self.parts.len()).then_some(found)
    }

    /// Finds the part behind the first `dirs` ones anywhere in a file's `name`, and adds what it tells.
    pub(super) fn find_name(&self, mut found: Found, dirs: usize, name: &str) -> Option<Found> {
        let part = self.parts.get(dirs)?;
        (0..name.len()).filter(|&start| name.is_char_boundary(start)).find_map(|start| {
            let before = name.as_bytes().get(start.wrapping_sub(1)).copied();
            let mut trial = found;
            let fits = begins_at(part, before)
                && matches(part, name.get(start..).unwrap_or_default(), false, &mut trial);
            fits.then(|| {
                found = trial;
                found
            })
        })
    }
}

/// A number does not begin in the middle of another.
fn begins_at(part: &[Piece], before: Option<u8>) -> bool {
    let number = matches!(part.first(), Some(Piece::Field(_)));
    !(number && before.is_some_and(|byte| byte.is_ascii_digit()))
}

/// Whether `text` is what `pieces` say, to its end or up to something that is no digit.
fn matches(pieces: &[Piece], text: &str, whole: bool, found: &mut Found) -> bool {
    let Some((piece, rest)) = pieces.split_first() else {
        return text.is_empty() || (!whole && !text.starts_with(|c: char| c.is_ascii_digit()));
    };
    match piece {
        Piece::Text(expected) => {
            text.strip_prefix(expected.as_str()).is_some_and(|text| matches(rest, text, whole, found))
        }
        Piece::Field(field) => {
            let Some((digits, text)) = text.split_at_checked(field.digits()) else { return false };
            let number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let Some(value) = digits.parse().ok().filter(|_| number) else { return false };
            found.set(*field, value);
            matches(rest, text, whole, found)
        }
        Piece::Any => (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| {
            let mut trial = *found;
            let fits = matches(rest, text.get(at..).unwrap_or_default(), whole, &mut trial);
            if fits {
                *found = trial;
            }
            fits
        }),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(template: &str, dirs: &[&str]) -> Option<Vec<i16>> {
        Some(template.parse::<Template>().unwrap().find_dirs(dirs)?.known())
    }

    #[test]
    fn directories_are_matched_from_the_first_part_on() {
        let hive = "dt={yyyy-MM-dd}/hr={HH}";
        assert_eq!(dirs(hive, &["dt=2026-07-01"]), Some(vec![2026, 7, 1]));
        assert_eq!(dirs(hive, &["dt=2026-07-01", "hr=05"]), Some(vec![2026, 7, 1, 5]));
        assert_eq!(dirs("{yyyy}/{MM}/", &["legacy2026", "07"]), Some(vec![2026, 7]));
        assert_eq!(dirs("%Y%m%d", &["20260701"]), Some(vec![2026, 7, 1]));
        assert_eq!(dirs("%F/*", &["2026-07-01", "anything"]), Some(vec![2026, 7, 1]));
        assert_eq!(dirs("y*_{MM}_{yyyy}", &["yx_07_2026"]), Some(vec![2026, 7]));
        // Without its year a month says nothing.
        assert_eq!(dirs("{MM}/{yyyy}", &["07"]), Some(vec![]));
        for no in [&["dt=2026-07-1"][..], &["dt=2026-07-01x"], &["dt=2026-07-01", "hr=5"], &["a", "b", "c"]] {
            assert_eq!(dirs(hive, no), None, "{no:?}");
        }
        assert_eq!(dirs("{yyyy}", &["12026"]), None);
    }

    #[test]
    fn a_name_may_hold_the_last_part_anywhere() {
        let template: Template = "{yyyy-MM-dd}/part-{HH}{mm}".parse().unwrap();
        let day = template.find_dirs(&["2026-07-01"]).unwrap();
        let found = template.find_name(day, 1, "part-0512-x.gz").unwrap();
        assert_eq!(found.known(), [2026, 7, 1, 5, 12]);
        assert_eq!(template.find_name(day, 1, "part-05123.gz"), None);
        let flat: Template = "%Y%m%d-%H%M%S".parse().unwrap();
        let found = flat.find_name(Found::default(), 0, "app.20260701-051234.log").unwrap();
        assert_eq!(found.known(), [2026, 7, 1, 5, 12, 34]);
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_reason() {
        for (text, error) in [
            ("", TemplateError::EmptyPart),
            ("/{yyyy}", TemplateError::EmptyPart),
            ("{yyyy}//{MM}", TemplateError::EmptyPart),
            ("{MM}/{dd}", TemplateError::NoYear),
            ("{yyy}", TemplateError::UnknownField),
            ("{yyyy", TemplateError::UnknownField),
            ("{}", TemplateError::UnknownField),
            ("%Q", TemplateError::UnknownField),
            ("%", TemplateError::UnknownField),
        ] {
            assert_eq!(text.parse::<Template>(), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_matched_without_panic(template in "[{}%ymdHMSFY*/a-c-]{0,14}", text in "\\PC{0,20}") {
            if let Ok(template) = template.parse::<Template>() {
                let _ = template.find_dirs(&[&text, &text]);
                let _ = template.find_name(Found::default(), 0, &text);
                proptest::prop_assert_eq!(template.to_string().parse(), Ok(template));
            }
        }
    }
}
