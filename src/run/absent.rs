//! A stream that is not there: what is to be done depends on who looks for it. Who replays may make it, and a run has lost with it what it had delivered.

use std::path::Path;

use super::begun;
use super::checkpoint_log;
use super::directory::{self, Drained, RunDirectory, RunFile, RunGlance};
use super::forecast::what;
use super::journal::quarantine_lines;
use super::next::Keyless;
use crate::archive::ObjectWindow;
use crate::config::{ReplayConfig, RunFlags, RunSettings, StateDir, Target, Tuning, Typed, quoted};
use crate::record::many;

/// Who looks for a stream.
#[derive(Debug, Clone)]
pub enum Seeker<'a> {
    /// What begins to write.
    Replay,
    /// What only plans for it.
    Plan,
    /// Whoever asks about the stream that a worker reads otherwise.
    Live,
    /// What goes on with a run.
    Resume(Sent<'a>),
    /// What sends once more what a run has set aside.
    Retry(Sent<'a>),
    /// What reads back what a run has sent.
    Verify(Sent<'a>),
}

/// A run that has written into it.
#[derive(Debug, Clone)]
pub struct Sent<'a> {
    id: &'a str,
    settings: &'a RunSettings,
    flags: RunFlags,
    drained: Option<Drained>,
    /// Where its files lie.
    path: &'a Path,
    /// Records that it has delivered.
    delivered: u64,
    /// The command that tries again what it has set aside, as it was typed.
    retry: Option<String>,
    /// The command that began it, and the same by flags that can be said otherwise.
    typed: [Option<Typed>; 2],
}

impl<'a> Sent<'a> {
    /// What has to be said of a run that this process works on.
    pub fn by(directory: &'a RunDirectory, file: &'a RunFile) -> Self {
        let checkpoint = checkpoint_log::newest(directory.path()).ok().flatten();
        Self {
            id: directory.id(),
            settings: &file.settings,
            flags: directory.flags(&file.tuning),
            drained: None,
            path: directory.path(),
            delivered: checkpoint.map_or(0, |checkpoint| checkpoint.totals.delivered),
            retry: None,
            typed: typed(directory.path(), file, directory.state_dir()),
        }
    }

    /// The same of a run whose quarantine is tried again by `retry`.
    pub fn to_retry(run: &'a RunGlance, retry: &ReplayConfig) -> Self {
        let state_dir = &retry.state_dir;
        let delivered = run.delivered_so_far();
        Self {
            id: &run.id,
            settings: &run.file.settings,
            flags: RunFlags::new(state_dir, &run.file.tuning),
            drained: run.drained().filter(|seen| seen.delivered == delivered),
            path: &run.path,
            delivered,
            retry: retry.typed.same(),
            typed: typed(&run.path, &run.file, state_dir),
        }
    }

    /// The same if a worker was seen to have read all that it has delivered.
    #[must_use]
    pub fn and_drained(self, drained: Option<Drained>) -> Self {
        Self { drained, ..self }
    }

    /// That all of it was read, if that was seen: then nobody has to care that it is not there any more.
    pub fn was_read(&self) -> Option<String> {
        let Drained { at, by, delivered } = self.drained.as_ref()?;
        let (at, records) = (at.strftime("%Y-%m-%d %H:%M UTC"), many(*delivered, "record"));
        Some(if by == Drained::BY_LEASES {
            format!(
                "by {at} the worker had read all that run {} had delivered ({records}), as its leases said, so nothing is to be done",
                self.id
            )
        } else {
            format!(
                "by {at} all that run {} had delivered ({records}) had been read, by CloudWatch's estimate: if the worker's own \
                 figures say so too, nothing is to be done",
                self.id
            )
        })
    }

    fn gone(&self, at: &str, so: &str, tuning: &Tuning) -> String {
        match self.was_read() {
            Some(read) => format!(
                "the stream {}, into which run {} went, does not exist{at} any more: there is nothing left to compare, and {read}",
                self.settings.target, self.id
            ),
            None => self.lost(at, so, tuning),
        }
    }

    /// What is to be done about a retry: where nothing went with the stream, another one of its name will do.
    fn set_aside(&self, at: &str, tuning: &Tuning) -> String {
        let Self { id, settings, .. } = self;
        let target = &settings.target;
        let retry = self.retry.as_ref().map_or("the same".to_owned(), |retry| format!("`{retry}`"));
        let again = format!(
            "`respool stream create {target} --shards N{}`, then {retry}",
            tuning.kinesis.own_flags("kinesis")
        );
        let records = many(self.delivered, "record");
        let nothing_lost = match &self.drained {
            _ if self.delivered == 0 => format!("run {id} had delivered nothing into it"),
            Some(seen) if seen.is_proven() => {
                format!("a worker had read what run {id} had delivered, {records}")
            }
            Some(_) => {
                format!("a worker had read what run {id} had delivered, {records}, by CloudWatch's estimate")
            }
            None => {
                let lost = self.lost(at, "what was set aside alone makes no whole", tuning);
                return format!(
                    "{lost}. If a worker had read them before, only what was set aside is missing: {again}"
                );
            }
        };
        format!(
            "the stream {target}, into which run {id} went, does not exist{at} any more, and {nothing_lost}: make it again, and send \
             what was set aside: {again}. If it lives elsewhere, say --kinesis-region, --kinesis-profile or --kinesis-endpoint-url"
        )
    }

    /// The key of a new replay; of a run that has sent nothing, because nothing had that key, the one that was meant.
    fn key(&self) -> Option<String> {
        let key = self.settings.partition_key.as_ref().map(ToString::to_string);
        if self.delivered > 0 {
            return key;
        }
        let mut all = 0;
        let lines = quarantine_lines(self.path).ok().into_iter().flatten().inspect(|_| all += 1);
        let keyless = Keyless::among(lines, self.settings, self.path);
        match keyless.filter(|keyless| keyless.are_most_of(all)) {
            Some(keyless) => keyless.meant().map(str::to_owned),
            None => key,
        }
    }

    /// The command that begins it once more and makes the stream first.
    fn replay(&self, tuning: &Tuning) -> String {
        let (key, before) = (self.key(), self.settings.partition_key.as_ref().map(ToString::to_string));
        let [typed, by_flags] = self.typed.clone().map(|typed| typed.filter(|typed| !typed.retries));
        let command = if key == before {
            typed.or(by_flags).and_then(|typed| typed.with_create().anew())
        } else {
            by_flags.and_then(|typed| typed.with_create().with_key(key.as_deref().unwrap_or("KEY")))
        };
        command.unwrap_or_else(|| {
            format!(
                "respool replay {archive} --into {target} --create --partition-key {key}{window}{doors} --no-plan",
                archive = quoted(&self.settings.archive.to_string()),
                target = self.settings.target,
                key = key.as_deref().map_or_else(|| "KEY".to_owned(), quoted),
                window = window_flags(&self.settings.input.selection.window),
                doors = tuning.door_flags(),
            )
        })
    }

    fn lost(&self, at: &str, so: &str, tuning: &Tuning) -> String {
        let Self { id, settings, flags, .. } = self;
        let with_it =
            if self.delivered == 0 { "the run had delivered nothing" } else { "its records went with it" };
        format!(
            "the stream {target}, into which run {id} went, does not exist{at} any more, and {with_it}: {so}. A new \
             replay is needed: `{replay}` (it was {what}; `respool runs show {id}{look}`). If it was looked for in the wrong place, \
             say --kinesis-region, --kinesis-profile or --kinesis-endpoint-url",
            target = settings.target,
            replay = self.replay(tuning),
            what = what(settings),
            look = flags.look,
        )
    }
}

fn typed(path: &Path, file: &RunFile, state_dir: &StateDir) -> [Option<Typed>; 2] {
    let typed = directory::typed(path).filter(|typed| !typed.words.is_empty());
    [typed.clone(), begun::by_flags(typed, file, state_dir)]
}

/// The flags that select it once more, each with a blank before it.
fn window_flags(window: &ObjectWindow) -> String {
    let bounds = [("from", window.from()), ("until", window.until())];
    let given = bounds.into_iter().filter_map(|(flag, bound)| Some(format!(" --{flag} {}", bound?)));
    given.collect()
}

impl Seeker<'_> {
    /// What is to be typed where nothing is left of what a run has sent.
    pub fn next_command(&self, tuning: &Tuning) -> Option<String> {
        match self {
            Self::Replay | Self::Plan | Self::Live | Self::Retry(_) => None,
            Self::Verify(sent) if sent.delivered > 0 && sent.was_read().is_some() => None,
            Self::Resume(sent) | Self::Verify(sent) => Some(sent.replay(tuning)),
        }
    }

    /// That `target` is not there, and what to do; `at` says where it was looked for by `tuning`.
    pub fn told(&self, target: &Target, at: &str, tuning: &Tuning) -> String {
        const ELSEWHERE: &str = "if it lives elsewhere, say --region, --profile or --endpoint-url";
        match self {
            Self::Replay | Self::Plan => format!(
                "the stream {target} does not exist{at}: the same with --create makes it, and so does `respool stream \
                 create {target} --shards N{}`; {ELSEWHERE}",
                tuning.kinesis.own_flags("kinesis")
            ),
            Self::Live => {
                format!("the live stream {target} does not exist{at}: is its name right? {ELSEWHERE}")
            }
            Self::Resume(sent) => sent.lost(at, "there is nothing left to go on with", tuning),
            Self::Retry(sent) => sent.set_aside(at, tuning),
            Self::Verify(sent) if sent.delivered == 0 => sent.lost(at, "there is nothing to compare", tuning),
            Self::Verify(sent) => sent.gone(at, "nothing can show any more that they had arrived", tuning),
        }
    }
}
