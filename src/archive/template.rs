//! How an archive's own directories tell the time: `dt={yyyy-MM-dd}/hr={HH}` or `%Y/%m/%d`.
//!
//! A template is matched part by part against the directories of a key, the last of its parts also against the
//! file's name. Braces hold Java's letters, as Firehose's prefixes do (`yyyy MM dd HH mm ss` and some more), a percent sign
//! stands before strftime's; `*` is any text without a slash. The first part may stand at the end of a directory's name,
//! because Firehose joins a static prefix without a slash.
//!
//! Only what can be read in one way is taken: weeks and zones are refused by name, and so is a number of no fixed length
//! before another.

mod field;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use field::Field;
pub(super) use field::Found;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
    Any,
}

/// A template, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Vec<Piece>>,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It names no year.
    #[error("a layout needs a year, as in {{yyyy}}/{{MM}}/{{dd}}/{{HH}} or dt=%Y-%m-%d, or %s")]
    NoYear,
    /// Braces or a percent sign with something else in it.
    #[error(
        "a layout cannot have {0}: it takes {{yyyy}} {{yy}} {{MM}} {{MMM}} {{dd}} {{DDD}} {{HH}} {{hh}} {{a}} {{mm}} {{ss}}, \
         also joined as in {{yyyy-MM-dd}}, or %Y %y %m %b %B %d %e %j %H %I %p %M %S %F %D %T %R %s, with %-m for a number \
         without zeros"
    )]
    UnknownField(String),
    /// An hour on a dial of twelve, without its half of the day.
    #[error("a layout with %I or {{hh}} needs %p or {{a}} too: an hour comes twice a day otherwise")]
    HalfHour,
    /// A number of no fixed length before another one.
    #[error("a layout has a number without zeros right before another number: where one ends cannot be told")]
    NoEnd,
    /// Two slashes with nothing between.
    #[error("a layout has a double slash, or begins with one")]
    EmptyPart,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        // The one field with slashes in it.
        let path = expand_date(path);
        let parts = path.split('/').map(parse_part).collect::<Result<Vec<_>, _>>()?;
        let fields = || {
            parts.iter().flatten().filter_map(|piece| match piece {
                Piece::Field(field) => Some(*field),
                Piece::Text(_) | Piece::Any => None,
            })
        };
        if !fields().any(Field::tells_year) {
            return Err(TemplateError::NoYear);
        }
        if fields().any(Field::is_half_hour) && !fields().any(Field::is_half) {
            return Err(TemplateError::HalfHour);
        }
        let open = |pair: &[Piece]| matches!(pair, [Piece::Field(one), Piece::Field(other)] if one.is_open() && other.is_number());
        if parts.iter().any(|part| part.windows(2).any(open)) {
            return Err(TemplateError::NoEnd);
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// `%D` is three directories.
fn expand_date(path: &str) -> String {
    let mut expanded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once('%') {
        expanded.push_str(before);
        let letter = behind.chars().next();
        match letter {
            Some('D') => expanded.push_str("%m/%d/%y"),
            _ => expanded.extend(std::iter::once('%').chain(letter)),
        }
        rest = behind.get(letter.map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    expanded + rest
}

fn parse_part(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let behind = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            '{' => {
                let (inside, behind) =
                    behind.split_once('}').ok_or_else(|| TemplateError::UnknownField(rest.to_owned()))?;
                parse_letters(inside, &mut pieces)?;
                behind
            }
            '%' => parse_percent(behind, &mut pieces)?,
            '}' => return Err(TemplateError::UnknownField("}".to_owned())),
            '*' => {
                if pieces.last() != Some(&Piece::Any) {
                    pieces.push(Piece::Any);
                }
                behind
            }
            text => {
                push_text(&mut pieces, text);
                behind
            }
        };
    }
    if pieces.is_empty() { Err(TemplateError::EmptyPart) } else { Ok(pieces) }
}

/// What stands behind a percent sign; gives what follows.
fn parse_percent<'a>(text: &'a str, pieces: &mut Vec<Piece>) -> Result<&'a str, TemplateError> {
    let (text, unpadded) = text.strip_prefix('-').map_or((text, false), |text| (text, true));
    let unknown =
        |letter: &str| TemplateError::UnknownField(format!("%{}{letter}", if unpadded { "-" } else { "" }));
    let letter = text.chars().next().ok_or_else(|| unknown(""))?;
    match (letter, unpadded) {
        ('%', false) => push_text(pieces, '%'),
        ('F', false) => parse_letters("yyyy-MM-dd", pieces)?,
        ('T', false) => parse_letters("HH:mm:ss", pieces)?,
        ('R', false) => parse_letters("HH:mm", pieces)?,
        _ => {
            let field = Field::of_letter(letter, unpadded);
            pieces.push(Piece::Field(field.ok_or_else(|| unknown(&letter.to_string()))?));
        }
    }
    Ok(text.get(letter.len_utf8()..).unwrap_or_default())
}

/// Java's pattern letters: runs of one letter are fields, the rest stands for itself.
fn parse_letters(pattern: &str, pieces: &mut Vec<Piece>) -> Result<(), TemplateError> {
    let mut rest = pattern;
    let before = pieces.len();
    while let Some(first) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(first).len();
        let (letters, behind) = rest.split_at(run);
        if first.is_ascii_alphabetic() {
            let field = Field::of_letters(letters);
            let unknown = || TemplateError::UnknownField(format!("{{{letters}}}"));
            pieces.push(Piece::Field(field.ok_or_else(unknown)?));
        } else {
            letters.chars().for_each(|text| push_text(pieces, text));
        }
        rest = behind;
    }
    if pieces.len() == before { Err(TemplateError::UnknownField("{}".to_owned())) } else { Ok(()) }
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
            let mut in_vain = InVain::new();
            let mut fits = |start: usize, found: &mut Found| {
                let before = dir.as_bytes().get(start.wrapping_sub(1)).copied();
                begins_at(part, before)
                    && matches(part, dir.get(start..).unwrap_or_default(), true, found, &mut in_vain)
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
        let mut in_vain = InVain::new();
        (0..name.len()).filter(|&start| name.is_char_boundary(start)).find_map(|start| {
            let before = name.as_bytes().get(start.wrapping_sub(1)).copied();
            let mut trial = found;
            let fits = begins_at(part, before)
                && matches(part, name.get(start..).unwrap_or_default(), false, &mut trial, &mut in_vain);
            fits.then(|| {
                found = trial;
                found
            })
        })
    }
}

/// A number does not begin in the middle of another.
fn begins_at(part: &[Piece], before: Option<u8>) -> bool {
    let number = matches!(part.first(), Some(Piece::Field(field)) if field.is_number());
    !(number && before.is_some_and(|byte| byte.is_ascii_digit()))
}

/// By the number of pieces from a `*` on: the longest text with which it was tried in vain. It will not fit a shorter
/// one, which is an end of that, and to try again and again would take time without end.
type InVain = BTreeMap<usize, usize>;

/// Whether `text` is what `pieces` say, to its end or up to something that is no digit.
fn matches(pieces: &[Piece], text: &str, whole: bool, found: &mut Found, in_vain: &mut InVain) -> bool {
    let Some((piece, rest)) = pieces.split_first() else {
        return text.is_empty() || (!whole && !text.starts_with(|c: char| c.is_ascii_digit()));
    };
    match piece {
        Piece::Text(expected) => text
            .strip_prefix(expected.as_str())
            .is_some_and(|text| matches(rest, text, whole, found, in_vain)),
        Piece::Field(field) => {
            let Some((value, text)) = field.read(text) else { return false };
            found.set(*field, value);
            matches(rest, text, whole, found, in_vain)
        }
        Piece::Any => {
            if in_vain.get(&pieces.len()).is_some_and(|&length| text.len() <= length) {
                return false;
            }
            let fits = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| {
                let mut trial = *found;
                let fits = matches(rest, text.get(at..).unwrap_or_default(), whole, &mut trial, in_vain);
                if fits {
                    *found = trial;
                }
                fits
            });
            if !fits {
                in_vain.insert(pieces.len(), text.len());
            }
            fits
        }
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
    fn many_stars_take_no_time_without_end() {
        let template = format!("{}b{{yyyy}}", "a*".repeat(100));
        assert_eq!(dirs(&template, &[&"a".repeat(1_000)]), None);
        assert_eq!(dirs(&template, &[&format!("{}b2026", "a".repeat(1_000))]), Some(vec![2026]));
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
            ("%I/%Y", TemplateError::HalfHour),
            ("%Y/%-m%d", TemplateError::NoEnd),
            ("%s%H", TemplateError::NoEnd),
        ] {
            assert_eq!(text.parse::<Template>(), Err(error), "{text}");
        }
        for (text, field) in [
            ("{yyy}", "{yyy}"),
            ("a/{yyyy", "{yyyy"),
            ("{}", "{}"),
            ("%Y}", "}"),
            ("%Q", "%Q"),
            ("%G-W%V", "%G"),
            ("%Y-W%V", "%V"),
            ("%Y%z", "%z"),
            ("%Y/%-S", "%-S"),
            ("%", "%"),
        ] {
            assert_eq!(
                text.parse::<Template>(),
                Err(TemplateError::UnknownField(field.to_owned())),
                "{text}"
            );
            let sentence = text.parse::<Template>().unwrap_err().to_string();
            assert!(sentence.starts_with(&format!("a layout cannot have {field}: ")), "{sentence}");
        }
    }

    #[test]
    fn all_that_people_write_in_prefixes_is_read() {
        for (template, key, expected) in [
            ("%y/%j", &["26", "182"][..], &[2026, 7, 1][..]),
            ("%Y%j", &["2024366"], &[2024, 12, 31]),
            ("%Y%j", &["2026366"], &[2026]),
            ("%d-%b-%Y", &["01-jul-2026"], &[2026, 7, 1]),
            ("%B %Y", &["May 2026"], &[2026, 5]),
            ("%a %b %e %Y", &["Wed Jul  1 2026"], &[2026, 7, 1]),
            ("%Y-%m-%e", &["2026-07-11"], &[2026, 7, 11]),
            ("%F/%I%p", &["2026-07-01", "12AM"], &[2026, 7, 1, 0]),
            ("%F/%I%p", &["2026-07-01", "01pm"], &[2026, 7, 1, 13]),
            ("%F/%T", &["2026-07-01", "05:12:34"], &[2026, 7, 1, 5, 12, 34]),
            ("%F/%R", &["2026-07-01", "05:12"], &[2026, 7, 1, 5, 12]),
            ("%D", &["07", "01", "26"], &[2026, 7, 1]),
            (
                "year=%Y/month=%-m/day=%-d/hour=%-H",
                &["year=2026", "month=7", "day=1", "hour=15"],
                &[2026, 7, 1, 15],
            ),
            ("{yy}/{M}/{d}/{hh}{a}", &["26", "7", "1", "03PM"], &[2026, 7, 1, 15]),
            ("{yyyy}-{DDD}", &["2026-182"], &[2026, 7, 1]),
            ("{MMM}{yyyy}", &["Jul2026"], &[2026, 7]),
        ] {
            assert_eq!(dirs(template, key).as_deref(), Some(expected), "{template} {key:?}");
        }
        for (template, key) in [("%Y-%-m", "2026-007"), ("%B", "Sept"), ("%s", "17514336"), ("%Y%j", "2026")]
        {
            let template = format!("{template}/%Y").parse::<Template>().unwrap();
            assert_eq!(template.find_dirs(&[key]), None, "{key}");
        }
        let epoch: Template = "batch-%s".parse().unwrap();
        let found = epoch.find_dirs(&["batch-1782864000"]).unwrap();
        assert_eq!(found.instant().unwrap().to_string(), "2026-07-01T00:00:00Z");
        let found = epoch.find_name(Found::default(), 0, "x.batch-1782864000.gz").unwrap();
        assert_eq!(found.instant().unwrap().as_second(), 1_782_864_000);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_matched_without_panic(template in "[{}%ymdHMSFYjbBeIpTDsR*/a-c-]{0,14}", text in "\\PC{0,20}") {
            if let Ok(template) = template.parse::<Template>() {
                let _ = template.find_dirs(&[&text, &text]);
                let _ = template.find_name(Found::default(), 0, &text);
                proptest::prop_assert_eq!(template.to_string().parse(), Ok(template));
            }
        }
    }
}
