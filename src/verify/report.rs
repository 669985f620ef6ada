//! What a verification found, for a script and for a person.

use std::fmt::Write as _;

use serde::Serialize;

use crate::record::{ByteCount, agree, many};
use crate::run::report::{duration, number};
use crate::shown::shown;

/// Differences that stand in the report itself; all of them are in the file.
pub const DIFFERENCES_SHOWN: usize = 100;

/// The result of `respool verify`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct VerifyReport {
    /// The run.
    pub run: String,
    /// What a command that looks at the run has to say beside.
    #[serde(skip)]
    pub look: String,
    /// The stream, as the user named it.
    pub target: String,
    /// The process' exit code: 0, 1 if anything is missing or late, 4 if nothing is but the run is not done or objects
    /// could not be read again.
    pub exit_code: u8,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The part of the hash space that was verified, 0 to 1.
    pub sample: f64,
    /// Whether the records of each key were seen in the archive's order.
    pub in_order: bool,
    /// Records that must be in the stream.
    pub expected: u64,
    /// Those of them that are.
    pub present: u64,
    /// Those of the expected ones that retries of the run have sent.
    pub retried: u64,
    /// These retries.
    pub retries: Vec<String>,
    /// Those that are not in the stream.
    pub missing: u64,
    /// Those that are not, but may have been taken by the stream's retention.
    pub not_provable: u64,
    /// Records that stand behind a later one of their key.
    pub order_violations: u64,
    /// Further copies of records of the run that came since it began, also of runs behind it.
    pub duplicates: u64,
    /// Copies of them that were there before it began: of earlier runs, or of others.
    pub copies_before: u64,
    /// Records that are not of this run.
    pub foreign: u64,
    /// Whether the run was done; if not, what it had not come to was not asked for.
    pub finished: bool,
    /// Records that the run had not come to.
    pub not_due: u64,
    /// Objects that cannot be had again as they were, so that their records could not be compared.
    pub objects_lost: u64,
    /// Records in the run's quarantine, which are not asked for unless a retry has sent them.
    pub set_aside: u64,
    /// Whole objects there.
    pub objects_set_aside: u64,
    /// Every shard that was read.
    pub shards: Vec<ShardLine>,
    /// The first differences.
    pub differences: Vec<DifferenceLine>,
    /// All of them, one JSON object a line; `null` if there are none.
    pub path: Option<String>,
}

/// What was found in one shard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ShardLine {
    /// Its name.
    pub shard: String,
    /// Records that were read.
    pub records: u64,
    /// Their bytes, without keys.
    pub bytes: u64,
    /// Records of the run and its retries, each once.
    pub ours: u64,
    /// Further copies of them.
    pub duplicates: u64,
    /// Copies that were there before the run began.
    pub before: u64,
    /// Others.
    pub foreign: u64,
}

/// A record that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferenceLine {
    /// `missing`, `late` or `not_provable`.
    pub what: &'static str,
    /// The run that has sent it: the one that is verified, or a retry of it.
    pub run: String,
    /// The object's number in that run's manifest.
    pub object: u32,
    /// The record's number in the object.
    pub record: u32,
    /// The object's key.
    pub key: String,
}

impl VerifyReport {
    /// One line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| format!(r#"{{"error":"{error}"}}"#))
    }

    /// A page for a person.
    pub fn render(&self) -> String {
        let mut text = match self.exit_code {
            0 if self.not_provable > 0 => {
                "Nothing is wrong as far as it can be proved: the stream's retention may have taken some of it.\n\n".into()
            }
            4 if !self.finished => format!(
                "Nothing is wrong so far: {} {} in the stream, but the run is not done; it has not come to {} yet.\n\n",
                many(self.present, "record"),
                agree(self.present, "is", "are"),
                number(self.not_due)
            ),
            4 => format!(
                "Not all of it could be compared: {} of the archive cannot be had again as {}.\n\n",
                many(self.objects_lost, "object"),
                agree(self.objects_lost, "it was", "they were")
            ),
            0 => self.verified(),
            _ => format!(
                "The stream differs: {} {} missing, {} {} behind a later one of their key.\n\n",
                many(self.missing, "record"),
                agree(self.missing, "is", "are"),
                number(self.order_violations),
                agree(self.order_violations, "stands", "stand")
            ),
        };
        let mut row = |label: &str, value: &str| {
            let _ = writeln!(text, "  {label:<13}{value}");
        };
        row("run", &self.run);
        row("stream", &self.target);
        if self.sample < 1.0 {
            row("sample", &format!("{:.1} % of the hash space", self.sample * 100.0));
        }
        row("expected", &number(self.expected));
        row("present", &number(self.present));
        if self.retried > 0 {
            let (by, retries) = (number(self.retried), self.retries.join(", "));
            row("retried", &format!("{by} of the expected, sent by {retries}"));
        }
        for (label, count) in [
            ("missing", self.missing),
            ("not provable", self.not_provable),
            ("not due", self.not_due),
            ("late", self.order_violations),
            ("duplicates", self.duplicates),
            ("from before", self.copies_before),
            ("foreign", self.foreign),
            ("objects lost", self.objects_lost),
        ] {
            if count > 0 {
                row(label, &number(count));
            }
        }
        if self.set_aside + self.objects_set_aside > 0 {
            let (records, objects) =
                (many(self.set_aside, "record"), many(self.objects_set_aside, "whole object"));
            let are = agree(self.set_aside + self.objects_set_aside, "was", "were");
            let ls = format!("`respool quarantine ls {}{}`", self.run, self.look);
            let looked = if self.retried > 0 { "looked for as far as retried" } else { "not looked for" };
            row("quarantine", &format!("{records} and {objects} {are} set aside, and {looked}: {ls}"));
        }
        row("took", &duration(self.seconds));
        text.push('\n');
        for shard in &self.shards {
            let mut notes = String::new();
            for (count, what) in [
                (shard.duplicates, "duplicates"),
                (shard.before, "from before the run"),
                (shard.foreign, "foreign"),
            ] {
                if count > 0 {
                    let _ = write!(notes, "   {} {what}", number(count));
                }
            }
            let (records, bytes) = (many(shard.records, "record"), ByteCount(shard.bytes).to_string());
            let _ = writeln!(text, "  {}   {records:>20}   {bytes:>10}{notes}", shard.shard);
        }
        if let Some(path) = &self.path {
            text.push_str("\nDifferences:\n");
            for line in &self.differences {
                let key = shown(&line.key);
                let of = if line.run == self.run { String::new() } else { format!("  (retry {})", line.run) };
                let _ = writeln!(text, "  {:<12} {}:{}  {key}{of}", line.what, line.object, line.record);
            }
            let _ = writeln!(text, "  all of them are in {path}");
        }
        text
    }

    fn verified(&self) -> String {
        let order = if self.in_order { ", in order" } else { "" };
        let of = if self.sample < 1.0 { " of the sample" } else { "" };
        let (own, retried) = (self.expected.saturating_sub(self.retried), many(self.retried, "record"));
        let so = agree(self.retried, "so is the", "so are the");
        let has = agree(self.retries.len(), "a retry of the run has", "retries of the run have");
        let behind = format!(", and {so} {retried} that {has} sent");
        let behind = if self.retried > 0 { behind } else { String::new() };
        match own {
            0 if self.retried > 0 => {
                let are = agree(self.retried, "is", "are");
                format!(
                    "Verified: {retried}{of} that {has} sent {are} in the stream; the run itself has delivered none.\n\n"
                )
            }
            0 => "There is nothing to compare: the run has delivered no record.\n\n".into(),
            1 => format!("Verified: the one record{of} is in the stream{order}{behind}.\n\n"),
            own => format!("Verified: all {}{of} are in the stream{order}{behind}.\n\n", many(own, "record")),
        }
    }
}
