//! A stream that is not there: what is to be done depends on who looks for it. Who replays may make it, a plan can do
//! without it, and a run has lost with it what it had delivered.

use super::directory::{RunDirectory, RunFile};
use super::forecast::what;
use crate::config::{RunFlags, RunSettings, Target, Tuning, quoted};

/// Who looks for a stream.
#[derive(Debug, Clone)]
pub enum Seeker<'a> {
    /// What begins to write.
    Replay,
    /// A plan.
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
}

impl<'a> Sent<'a> {
    /// What has to be said of the run `id`.
    pub fn new(id: &'a str, settings: &'a RunSettings, flags: RunFlags) -> Self {
        Self { id, settings, flags }
    }

    /// The same of a run that this process works on.
    pub fn by(directory: &'a RunDirectory, file: &'a RunFile) -> Self {
        Self::new(directory.id(), &file.settings, directory.flags(&file.tuning))
    }

    fn lost(&self, at: &str, so: &str, tuning: &Tuning) -> String {
        let Self { id, settings, flags } = self;
        let key = settings.partition_key.as_ref().map(|key| quoted(&key.to_string()));
        format!(
            "the stream {target}, into which run {id} went, does not exist{at} any more, and its records went with it: {so}. A new \
             replay is needed: `respool replay {archive} --into {target} --create --partition-key {key}{doors}`, with the other \
             flags of before (it was {what}; `respool runs show {id}{look}`). If it was looked for in the wrong place, say \
             --kinesis-region, --kinesis-profile or --kinesis-endpoint-url",
            target = settings.target,
            archive = quoted(&settings.archive.to_string()),
            key = key.as_deref().unwrap_or("KEY"),
            doors = tuning.door_flags(),
            what = what(settings),
            look = flags.look,
        )
    }
}

impl Seeker<'_> {
    /// That `target` is not there, and what to do; `at` says where it was looked for by `tuning`.
    pub fn told(&self, target: &Target, at: &str, tuning: &Tuning) -> String {
        const ELSEWHERE: &str = "if it lives elsewhere, say --region, --profile or --endpoint-url";
        match self {
            Self::Replay => format!(
                "the stream {target} does not exist{at}: `respool replay` makes it with --create, and so does `respool stream \
                 create {target} --shards N{}`; {ELSEWHERE}",
                tuning.kinesis.own_flags("kinesis")
            ),
            Self::Plan => format!(
                "the stream {target} does not exist{at}: leave out --into, and say --shards 1,4,16 to plan before it is there \
                 (with --save FILE; then `respool replay --plan FILE --into {target} --create` makes it); {ELSEWHERE}"
            ),
            Self::Live => {
                format!("the live stream {target} does not exist{at}: is its name right? {ELSEWHERE}")
            }
            Self::Resume(sent) => sent.lost(at, "there is nothing left to go on with", tuning),
            Self::Retry(sent) => sent.lost(at, "what was set aside alone makes no whole", tuning),
            Self::Verify(sent) => sent.lost(at, "nothing can show any more that they had arrived", tuning),
        }
    }
}
