//! Text from outside as a terminal may see it, and as a person reads it.
//!
//! What a terminal would obey or misread is escaped: control characters, what turns the direction of text, what is not
//! seen at all. Everything else is shown as it is, quotes and backslashes included: nobody reads Rust here.

use std::fmt::{self, Write as _};

/// What is shown as it is although Rust's own escaping would not.
const PLAIN: [char; 3] = ['\'', '"', '\\'];

/// Whether a terminal shows `c` as what it is, and does nothing else.
#[must_use]
pub(crate) fn is_shown(c: char) -> bool {
    PLAIN.contains(&c) || c.escape_debug().eq([c])
}

/// `text`, fit to be shown.
#[must_use]
pub(crate) fn shown(text: &str) -> Shown<'_> {
    Shown { text, quote: "" }
}

/// The same between quotation marks: where it ends is seen.
#[must_use]
pub(crate) fn in_quotes(text: &str) -> Shown<'_> {
    Shown { text, quote: "\"" }
}

/// Text that is fit to be shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    text: &'a str,
    quote: &'static str,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.quote)?;
        for part in self.text.split_inclusive(PLAIN) {
            let text = part.strip_suffix(PLAIN);
            // Of a whole text, so that an accent stays with its letter.
            write!(f, "{}", text.unwrap_or(part).escape_debug())?;
            if let Some(mark) = part.chars().next_back().filter(|_| text.is_some()) {
                f.write_char(mark)?;
            }
        }
        f.write_str(self.quote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_terminal_would_misread_is_escaped() {
        for (text, as_shown) in [
            ("", ""),
            ("it's", "it's"),
            (r#"{"path":"C:\\x"}"#, r#"{"path":"C:\\x"}"#),
            ("größe 日本 🎉 e\u{301}", "größe 日本 🎉 e\u{301}"),
            ("'\u{1b}[2J\"\n", "'\\u{1b}[2J\"\\n"),
            ("a\u{202e}b\u{200b}c\u{feff}\\", "a\\u{202e}b\\u{200b}c\\u{feff}\\"),
        ] {
            assert_eq!(shown(text).to_string(), as_shown);
            assert_eq!(in_quotes(text).to_string(), format!("\"{as_shown}\""));
        }
        assert!(is_shown('\'') && is_shown('ö') && !is_shown('\u{7}') && !is_shown('\u{2028}'));
    }
}
