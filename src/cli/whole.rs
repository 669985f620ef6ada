//! Whole numbers as they are typed: what is wrong with one is told in the words of its flag.

use std::ops::RangeInclusive;

use crate::record::number;

/// A number in `range`; `what` begins the sentence, as `a number of shards`. A range without an end ends with
/// the type.
pub(super) fn whole<T: TryFrom<u64>>(
    what: &'static str,
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let found = text.parse::<u64>().ok().filter(|found| digits && range.contains(found));
        found.and_then(|found| T::try_from(found).ok()).ok_or_else(|| {
            let (first, last) = (number(*range.start()), *range.end());
            let upper =
                if last == u64::MAX { " or more".to_owned() } else { format!(" to {}", number(last)) };
            format!("{what} is a whole number, {first}{upper}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_in_the_range_is_told_in_one_sentence() {
        let shards = whole::<u32>("a number of shards", 1..=4_096);
        assert_eq!((shards("1"), shards("4096")), (Ok(1), Ok(4_096)));
        for wrong in ["", "0", "4097", "-1", "+1", "1.5", "x", "4_096", "99999999999999999999"] {
            assert_eq!(shards(wrong).unwrap_err(), "a number of shards is a whole number, 1 to 4,096");
        }
        let count = whole::<u64>("a count", 0..=u64::MAX);
        assert_eq!(count("0"), Ok(0));
        assert_eq!(count("many").unwrap_err(), "a count is a whole number, 0 or more");
    }
}
