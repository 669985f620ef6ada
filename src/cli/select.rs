//! Flags that say which objects and records are meant, and how bytes become records.
#![expect(clippy::doc_markdown, reason = "the help of a command line is no Markdown")]

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser};
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::HEADING_WHAT;
use super::environment::Environment;
use super::options::directory;
use crate::archive::Selection;
use crate::archive::layout::{Layout, LayoutRule};
use crate::archive::selection::{KeyPattern, parse_zone};
use crate::archive::window::{ObjectWindow, TimeBound};
use crate::config::{
    Decoding, Delimiter, EventTime, FramingChoice, Input, RestoreTier, SLACK_DEFAULT, TimeFormat,
    parse_duration,
};
use crate::error::Error;
use crate::route::pointer::JsonPointer;

/// Which objects and records.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_WHAT)]
pub(super) struct SelectArgs {
    /// Start of the window: 2026-11-02, 2026-11-02T06:00:00Z, or ago as in 3d or 6h; UTC unless said
    /// otherwise [default: the archive's beginning]
    #[arg(long, value_name = "TIME", env = "RESPOOL_FROM", allow_hyphen_values = true)]
    from: Option<TimeBound>,
    /// End of the window, not included [default: the archive's end]
    #[arg(long, value_name = "TIME", env = "RESPOOL_UNTIL", allow_hyphen_values = true)]
    until: Option<TimeBound>,
    /// An object is named after its oldest record: read objects from this much before the window too
    /// [default: 15m]
    #[arg(long, value_name = "DURATION", env = "RESPOOL_SLACK", value_parser = parse_duration)]
    #[arg(allow_hyphen_values = true)]
    slack: Option<Duration>,
    /// How keys tell the time: auto (Firehose's yyyy/MM/dd/HH/), a template as dt={yyyy-MM-dd}/hr={HH} or
    /// %Y/%m/%d, modified (they do not: when the object was written), or all (nothing does)
    #[arg(long, value_name = "LAYOUT", env = "RESPOOL_LAYOUT", default_value = "auto")]
    layout: LayoutRule,
    /// The time zone of the keys, as in Asia/Tokyo (Firehose's CustomTimeZone) [default: UTC]
    #[arg(long, value_name = "ZONE", env = "RESPOOL_TIMEZONE", value_parser = parse_zone)]
    timezone: Option<TimeZone>,
    /// Only keys that match, below the archive's prefix: * is any text, / included [may be repeated]
    #[arg(long, value_name = "PATTERN", env = "RESPOOL_INCLUDE")]
    include: Vec<KeyPattern>,
    /// No keys that match [may be repeated]
    #[arg(long, value_name = "PATTERN", env = "RESPOOL_EXCLUDE")]
    exclude: Vec<KeyPattern>,
    /// The objects are those in this file, and nothing is listed: keys, one a line; the manifest.json or a CSV of
    /// an S3 Inventory; an earlier run's manifest.jsonl; or its late.jsonl, for what came late
    #[arg(long, value_name = "FILE", env = "RESPOOL_OBJECTS")]
    objects: Option<PathBuf>,
    /// Only records whose own time lies in the window, by this field: a JSON pointer as /ts. Objects up to --slack
    /// behind the window are read too
    #[arg(long, value_name = "POINTER", env = "RESPOOL_EVENT_TIME")]
    event_time: Option<JsonPointer>,
    /// How that field is written: auto, rfc3339, s, ms, us, ns, or a strptime format [default: auto]
    #[arg(long, value_name = "FORMAT", env = "RESPOOL_EVENT_TIME_FORMAT")]
    event_time_format: Option<TimeFormat>,
    /// Replay what Firehose could not deliver: the records in the objects of its error prefixes
    #[arg(long, env = "RESPOOL_ERROR_OUTPUT", value_parser = FalseyValueParser::new())]
    #[arg(conflicts_with_all = ["framing", "delimiter"])]
    error_output: bool,
    /// Leave out objects that lie in Glacier or another archive tier
    #[arg(long, env = "RESPOOL_SKIP_ARCHIVED", value_parser = FalseyValueParser::new())]
    #[arg(conflicts_with = "restore")]
    skip_archived: bool,
    /// Ask S3 to restore objects that lie in Glacier or another archive tier, for a week, and wait: minutes to two days
    #[arg(long, value_name = "TIER", env = "RESPOOL_RESTORE")]
    #[arg(value_parser = PossibleValuesParser::new(RestoreTier::WORDS).try_map(|word| word.parse::<RestoreTier>()))]
    restore: Option<RestoreTier>,
    #[command(flatten)]
    decode: DecodeArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_WHAT)]
struct DecodeArgs {
    /// How an object is cut into records: at line feeds, as JSON values one after the other, whichever of these fits
    /// the object (auto), the elements of a JSON array or of {"Records":[…]} (CloudTrail), the events of CloudWatch
    /// Logs' payloads, behind their lengths, out of KPL aggregates, or not at all
    #[arg(
        long,
        value_name = "HOW",
        env = "RESPOOL_FRAMING",
        default_value = "auto",
        hide_default_value = true
    )]
    #[arg(value_parser = PossibleValuesParser::new(FramingChoice::WORDS).try_map(|word| word.parse::<FramingChoice>()))]
    framing: FramingChoice,
    /// Cut objects into records at this text, as in '\x1e' or '\r\n'
    #[arg(long, value_name = "TEXT", env = "RESPOOL_DELIMITER", conflicts_with = "framing")]
    #[arg(allow_hyphen_values = true)]
    delimiter: Option<Delimiter>,
    /// Of an object that ends early or is damaged, send the whole records before the damage; what is lost is named
    /// in quarantine
    #[arg(long, env = "RESPOOL_SALVAGE", value_parser = FalseyValueParser::new())]
    salvage: bool,
}

impl SelectArgs {
    pub(super) fn resolve(self, environment: &Environment) -> Result<Input, Error> {
        let instant = |bound: TimeBound| bound.resolve(environment.now);
        let (from, until) = (self.from.map(instant), self.until.map(instant));
        let slack = SignedDuration::try_from(self.slack.unwrap_or(SLACK_DEFAULT))
            .map_err(|error| Error::usage("--slack is too long").with_source(error))?;
        let refused = |error: crate::archive::WindowError| Error::usage(error.to_string());
        let mut window = ObjectWindow::new(from, until, slack).map_err(refused)?;
        let event_time = match self.event_time {
            None if self.event_time_format.is_some() => {
                return Err(Error::usage(
                    "--event-time-format is for the field of --event-time: say that too",
                ));
            }
            None => None,
            Some(_) if from.is_none() && until.is_none() => {
                return Err(Error::usage("--event-time without --from or --until leaves nothing out"));
            }
            Some(pointer) => {
                // An event arrives after it happened.
                let late = until.map(|until| until.checked_add(slack).unwrap_or(jiff::Timestamp::MAX));
                window = ObjectWindow::new(from, late, slack).map_err(refused)?;
                Some(EventTime { pointer, format: self.event_time_format.unwrap_or_default(), from, until })
            }
        };
        let DecodeArgs { framing, delimiter, salvage } = self.decode;
        let framing = match delimiter {
            _ if self.error_output => FramingChoice::ErrorOutput,
            Some(delimiter) => FramingChoice::Delimiter(delimiter),
            None => framing,
        };
        Ok(Input {
            selection: Selection {
                window,
                layout: Layout { rule: self.layout, zone: self.timezone.unwrap_or(TimeZone::UTC) },
                include: self.include,
                exclude: self.exclude,
                error_output: self.error_output,
            },
            objects: self.objects.map(|file| directory("--objects", &file)).transpose()?,
            skip_archived: self.skip_archived,
            restore: self.restore,
            event_time,
            decoding: Decoding { framing, salvage },
        })
    }
}
