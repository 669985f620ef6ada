//! Which parts of a bucket to list for a window, found by looking.
//!
//! A bucket lists one prefix page by page, 1,000 keys each; only several prefixes can be listed at once,
//! and years of an archive need not be listed for one day. So the walk asks for the directories below a
//! prefix, keeps those that can lie in the window, and goes on below them: years, months, days, hours.
//! What is no directory of the calendar is looked into a few levels deep, and else listed whole. A key
//! that lies beside the directories comes with the page that shows them. Every key is thus either seen,
//! or below a directory whose date lies outside the window; no layout has to be assumed.
//!
//! Pure: it decides from what was found; [`listing`](super::listing) carries it out.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::layout::CalendarLevel;
use super::selection::Selection;

/// One prefix to list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Walk {
    pub(super) prefix: String,
    pub(super) depth: Depth,
}

/// How a prefix is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Depth {
    /// One level, with the directories below; so many levels outside the calendar led here.
    Level(u8),
    /// Everything below.
    Whole,
}

/// Levels of directories outside the calendar that are looked into: `tenant/stream/2026/…` is found.
const FOREIGN_LEVELS_MAX: u8 = 3;

/// Directories outside the calendar on one level, above which their parent is listed whole. Firehose may
/// put a random string in front: then a directory holds one object.
const FOREIGN_DIRS_MAX: usize = 200;

/// A window of so many days is listed by the hour; a longer one by the day, except for its edges.
const LISTED_BY_HOUR_MAX: SignedDuration = SignedDuration::from_hours(45 * 24);

impl Walk {
    /// Where a walk begins.
    pub(super) fn root(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), depth: Depth::Level(0) }
    }

    /// What to list next, after `dirs` were found one level below this prefix. `None`: there are too many
    /// directories to look into; this prefix is to be listed whole, and what was found is void.
    #[cfg(test)]
    fn next(&self, dirs: &[String], selection: &Selection) -> Option<Vec<Self>> {
        let mut below = Below::new(self, selection);
        below.add(dirs.iter().cloned());
        below.next()
    }

    fn level(&self, selection: &Selection) -> Option<CalendarLevel> {
        selection.calendar_dir(&self.prefix).map(|dir| dir.level)
    }

    /// How to list a directory of the calendar; `None` if it lies outside the window.
    fn calendar_depth(&self, dir: &str, selection: &Selection) -> Option<Depth> {
        let window = &selection.window;
        let found = selection.calendar_dir(dir)?;
        // The first calendar on the way is the one that counts, as it is for the time of a key.
        if self.level(selection).is_some_and(|level| level > CalendarLevel::Year && found.level <= level) {
            return Some(Depth::Whole);
        }
        // A year alone decides nothing: other numbers look like one.
        if found.level > CalendarLevel::Year && !window.overlaps(found.time) {
            return None;
        }
        let by_hour = window.length().is_some_and(|length| length <= LISTED_BY_HOUR_MAX);
        Some(match found.level {
            CalendarLevel::Year | CalendarLevel::Month => self.depth,
            CalendarLevel::Day if by_hour || !window.covers(found.time) => self.depth,
            CalendarLevel::Day | CalendarLevel::Hour | CalendarLevel::Minute => Depth::Whole,
        })
    }
}

/// The directories one level below a prefix, gathered as its pages come in.
pub(super) struct Below<'a> {
    step: &'a Walk,
    selection: &'a Selection,
    calendar: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl<'a> Below<'a> {
    /// Nothing was found yet.
    pub(super) fn new(step: &'a Walk, selection: &'a Selection) -> Self {
        Self { step, selection, calendar: BTreeSet::new(), others: BTreeSet::new() }
    }

    /// Whether a directory counts for what is listed next.
    pub(super) fn heeds(&self, dir: &str) -> bool {
        self.selection.calendar_dir(dir).is_none() || self.step.calendar_depth(dir, self.selection).is_some()
    }

    /// One page's directories. Those of the calendar outside the window are forgotten at once: there may be years of
    /// hours. All others inside the window are kept, however many.
    pub(super) fn add(&mut self, dirs: impl IntoIterator<Item = String>) {
        for dir in dirs {
            if self.selection.calendar_dir(&dir).is_none() {
                self.others.insert(dir);
            } else if self.step.calendar_depth(&dir, self.selection).is_some() {
                self.calendar.insert(dir);
            }
        }
    }

    /// Whether there are too many directories to look into: then the prefix is to be listed whole, and no further page
    /// needs to be asked for.
    pub(super) fn is_flood(&self) -> bool {
        self.others.len() > FOREIGN_DIRS_MAX
    }

    /// What to list next; `None` if the prefix is to be listed whole, and what was found is void.
    pub(super) fn next(self) -> Option<Vec<Walk>> {
        let Depth::Level(foreign) = self.step.depth else { return Some(Vec::new()) };
        if self.is_flood() {
            return None;
        }
        let in_calendar = self.step.level(self.selection) > Some(CalendarLevel::Year);
        let deep = in_calendar || foreign >= FOREIGN_LEVELS_MAX;
        let below = if deep { Depth::Whole } else { Depth::Level(foreign + 1) };
        let others = self.others.into_iter().map(|prefix| Walk { prefix, depth: below });
        let calendar = self.calendar.into_iter().filter_map(|prefix| {
            let depth = self.step.calendar_depth(&prefix, self.selection)?;
            Some(Walk { prefix, depth })
        });
        Some(calendar.chain(others).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::window::ObjectWindow;

    fn window(from: &str, until: &str) -> Selection {
        let bound = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        ObjectWindow::new(bound(from), bound(until), SignedDuration::from_mins(15)).unwrap().into()
    }

    /// Walks `keys` as a bucket would answer; the keys it comes by, and the number of listings.
    fn walk(keys: &[String], prefix: &str, window: &Selection) -> (BTreeSet<String>, usize) {
        let (mut queue, mut seen, mut listings) = (vec![Walk::root(prefix)], BTreeSet::new(), 0);
        while let Some(step) = queue.pop() {
            listings += 1;
            let below = keys.iter().filter(|key| key.starts_with(&step.prefix));
            let dir_of = |key: &String| {
                let slash = key[step.prefix.len()..].find('/')?;
                Some(key[..=step.prefix.len() + slash].to_owned())
            };
            if step.depth == Depth::Whole {
                seen.extend(below.cloned());
                continue;
            }
            let dirs: BTreeSet<String> = below.clone().filter_map(dir_of).collect();
            match step.next(&dirs.into_iter().collect::<Vec<_>>(), window) {
                Some(next) => {
                    seen.extend(below.filter(|key| dir_of(key).is_none()).cloned());
                    queue.extend(next);
                }
                None => queue.push(Walk { depth: Depth::Whole, ..step }),
            }
        }
        (seen, listings)
    }

    fn archive() -> Vec<String> {
        let mut keys = Vec::new();
        for (year, month) in [(2025, 12), (2026, 1), (2026, 2)] {
            for day in 1..=28 {
                for hour in 0..24 {
                    for root in ["", "orders/", "legacy", "tenant/a/b/"] {
                        keys.push(format!(
                            "{root}{year}/{month:02}/{day:02}/{hour:02}/s-1-{year}-{month:02}-{day:02}-{hour:02}-30-00-u"
                        ));
                    }
                }
                keys.push(format!("daily/{year}/{month:02}/{day:02}/part-0"));
            }
        }
        keys.extend(
            ["2026/odd", "2026/01/odd", "2026/01/05/odd", "account2019/deep/x", "x", "a/b/c/d/e/f"]
                .map(Into::into),
        );
        keys
    }

    #[test]
    fn a_walk_finds_what_listing_everything_finds() {
        let keys = archive();
        for (from, until) in [
            ("2026-01-05T06:00:00Z", "2026-01-05T09:00:00Z"),
            ("2025-12-28T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("2026-01-05T00:00:00Z", ""),
            ("", "2025-12-03T00:00:00Z"),
            ("2025-12-03T12:00:00Z", "2026-02-27T12:00:00Z"),
            ("", ""),
        ] {
            let window = window(from, until);
            for prefix in ["", "orders/", "orders", "legacy", "leg", "2026/", "2026/01/0", "tenant/", "none"]
            {
                let (seen, _) = walk(&keys, prefix, &window);
                // A name without a time counts as written inside the window.
                let selects = |key: &&String| {
                    window.layout.key_time(key).is_none_or(|time| window.window.overlaps(time))
                };
                let found: Vec<_> = seen.iter().filter(selects).collect();
                let mut expected: Vec<_> =
                    keys.iter().filter(|key| key.starts_with(prefix)).filter(selects).collect();
                expected.sort();
                assert_eq!(found, expected, "{from}..{until} below {prefix:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_layout_makes_a_walk_lose_a_key(
            keys in odd_archive(),
            long in proptest::bool::ANY,
            rule in proptest::sample::select(vec!["auto", "modified", "{yyyy}/{MM}/{dd}", "{yyyy}{MM}{dd}", "{yyyy}/{MM}"]),
        ) {
            let keys: Vec<String> = keys.into_iter().collect();
            let mut window = window("2026-07-10T06:00:00Z", if long { "" } else { "2026-07-12T06:00:00Z" });
            window.layout.rule = rule.parse().unwrap();
            let (seen, _) = walk(&keys, "", &window);
            for key in &keys {
                let selected = window.layout.key_time(key).is_none_or(|time| window.window.overlaps(time));
                proptest::prop_assert!(!selected || seen.contains(key), "{}", key);
            }
        }
    }

    /// Keys whose directories may be, or only look like, a calendar's, in any order.
    fn odd_archive() -> impl proptest::strategy::Strategy<Value = BTreeSet<String>> {
        let part = proptest::sample::select(vec![
            "2026", "2025", "x2026", "07", "08", "11", "31", "a", "", "2026071", "20260711", "20250711",
        ]);
        let name = proptest::sample::select(vec![
            "x",
            "s-1-2026-07-11-07-31-00-u",
            "s-1-2025-07-11-07-31-00-u",
            "07",
        ]);
        let key = (proptest::collection::vec(part, 0..8), name);
        let key =
            proptest::strategy::Strategy::prop_map(key, |(dirs, name)| [dirs, vec![name]].concat().join("/"));
        proptest::collection::btree_set(key, 0..40)
    }

    #[test]
    fn a_short_window_costs_few_listings_and_a_long_one_goes_by_the_day() {
        let keys = archive();
        let (_, listings) = walk(&keys, "orders/", &window("2026-01-05T06:00:00Z", "2026-01-05T09:00:00Z"));
        // The root, two years, one month, one day, and the hours 5 (slack) to 8.
        assert_eq!(listings, 1 + 2 + 1 + 1 + 4);
        let (_, listings) = walk(&keys, "orders/", &window("2025-12-01T00:15:00Z", "2026-02-28T12:00:00Z"));
        assert!(listings < 1 + 2 + 3 + 84 + 24 + 24, "{listings}");
    }

    #[test]
    fn thousands_of_calendar_directories_are_no_flood_on_whichever_page_they_come() {
        let mut selection = window("", "");
        selection.layout.rule = "dt={yyyy}-{MM}-{dd}-{HH}".parse().unwrap();
        let hours = |day: usize| {
            (0..24).map(move |hour| format!("dt=2026-{:02}-{:02}-{hour:02}/", day / 28 + 1, day % 28 + 1))
        };
        let dirs: Vec<String> = (0..12 * 28).flat_map(hours).collect();
        let step = Walk::root("");
        let mut below = Below::new(&step, &selection);
        for page in dirs.chunks(1_000) {
            assert!(!below.is_flood());
            below.add(page.iter().cloned());
        }
        let next: Vec<_> = below.next().unwrap().into_iter().map(|step| step.prefix).collect();
        assert_eq!(next, dirs);
    }

    #[test]
    fn too_many_foreign_directories_are_listed_in_one_go() {
        let keys: Vec<String> = (0..=FOREIGN_DIRS_MAX).map(|n| format!("r{n:011x}/x")).collect();
        let (seen, listings) = walk(&keys, "", &Selection::default());
        assert_eq!((seen.len(), listings), (keys.len(), 2));
    }
}
