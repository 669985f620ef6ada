//! What the environment says: directories, terminals, and the endpoints that AWS' own tools would use.
//!
//! A plain struct, so that tests need not touch the real one. The variables of single flags
//! (`RESPOOL_…`) are read by clap; everything else that depends on the environment is read here, once.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::config::Endpoint;
use crate::error::Error;

/// A terminal's width where it is not known.
const WIDTH_DEFAULT: usize = 100;

/// The environment as far as it matters.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts about the terminal, independent of each other")]
pub struct Environment {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`, if absolute.
    pub xdg_cache_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`, if absolute.
    pub xdg_state_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`, if absolute.
    pub xdg_config_home: Option<PathBuf>,
    /// `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`, unless they are to be ignored.
    pub aws_endpoint_s3: Option<String>,
    /// `AWS_ENDPOINT_URL_KINESIS`, else `AWS_ENDPOINT_URL`, unless they are to be ignored.
    pub aws_endpoint_kinesis: Option<String>,
    /// Likewise for DynamoDB.
    pub aws_endpoint_dynamodb: Option<String>,
    /// Likewise for CloudWatch.
    pub aws_endpoint_cloudwatch: Option<String>,
    /// Likewise for Firehose.
    pub aws_endpoint_firehose: Option<String>,
    /// Whether stdin is a terminal.
    pub stdin_is_terminal: bool,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether stderr is a terminal.
    pub stderr_is_terminal: bool,
    /// `NO_COLOR` is set, or `TERM` is `dumb`.
    pub no_color: bool,
    /// `COLUMNS`.
    pub columns: Option<usize>,
    /// What `3d` ago is counted from.
    pub now: Timestamp,
    /// Drawn anew in each process: from it come random keys.
    pub seed: u64,
}

impl Environment {
    /// The real one.
    #[must_use]
    pub fn read() -> Self {
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let ignore =
            text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let endpoint = |name| text(name).or_else(|| text("AWS_ENDPOINT_URL")).filter(|_| !ignore);
        Self {
            home: absolute("HOME"),
            xdg_cache_home: absolute("XDG_CACHE_HOME"),
            xdg_state_home: absolute("XDG_STATE_HOME"),
            xdg_config_home: absolute("XDG_CONFIG_HOME"),
            aws_endpoint_s3: endpoint("AWS_ENDPOINT_URL_S3"),
            aws_endpoint_kinesis: endpoint("AWS_ENDPOINT_URL_KINESIS"),
            aws_endpoint_dynamodb: endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
            aws_endpoint_cloudwatch: endpoint("AWS_ENDPOINT_URL_CLOUDWATCH"),
            aws_endpoint_firehose: endpoint("AWS_ENDPOINT_URL_FIREHOSE"),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            no_color: variable("NO_COLOR").is_some() || text("TERM").as_deref() == Some("dumb"),
            columns: text("COLUMNS").and_then(|columns| columns.parse().ok()),
            now: Timestamp::now(),
            seed: random_seed(),
        }
    }

    /// Where the cache lies if the user does not say.
    pub(super) fn cache_dir(&self) -> Result<PathBuf, Error> {
        let base = self.xdg_cache_home.clone().or_else(|| Some(self.home.as_ref()?.join(".cache")));
        let base =
            base.ok_or_else(|| Error::usage("neither XDG_CACHE_HOME nor HOME is set: give --cache-dir"))?;
        Ok(base.join("respool"))
    }

    /// Where runs are kept if the user does not say.
    pub(super) fn state_dir(&self) -> Result<PathBuf, Error> {
        let base = self.xdg_state_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/state")));
        let base =
            base.ok_or_else(|| Error::usage("neither XDG_STATE_HOME nor HOME is set: give --state-dir"))?;
        Ok(base.join("respool"))
    }

    /// Where the configuration lies if the user does not say.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let base = self.xdg_config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")));
        base.map(|base| base.join("respool/config.toml"))
    }

    /// The endpoint for S3 that AWS' own tools would use.
    pub(super) fn endpoint_s3(&self) -> Result<Option<Endpoint>, Error> {
        endpoint("AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL", self.aws_endpoint_s3.as_deref())
    }

    /// The endpoint for Kinesis that AWS' own tools would use.
    pub(super) fn endpoint_kinesis(&self) -> Result<Option<Endpoint>, Error> {
        endpoint("AWS_ENDPOINT_URL_KINESIS or AWS_ENDPOINT_URL", self.aws_endpoint_kinesis.as_deref())
    }

    /// The endpoint for DynamoDB that AWS' own tools would use.
    pub(super) fn endpoint_dynamodb(&self) -> Result<Option<Endpoint>, Error> {
        endpoint("AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL", self.aws_endpoint_dynamodb.as_deref())
    }

    /// The endpoint for CloudWatch that AWS' own tools would use.
    pub(super) fn endpoint_cloudwatch(&self) -> Result<Option<Endpoint>, Error> {
        endpoint("AWS_ENDPOINT_URL_CLOUDWATCH or AWS_ENDPOINT_URL", self.aws_endpoint_cloudwatch.as_deref())
    }

    /// The endpoint for Firehose that AWS' own tools would use.
    pub(super) fn endpoint_firehose(&self) -> Result<Option<Endpoint>, Error> {
        endpoint("AWS_ENDPOINT_URL_FIREHOSE or AWS_ENDPOINT_URL", self.aws_endpoint_firehose.as_deref())
    }

    /// Columns for what a person reads.
    pub(super) fn width(&self) -> usize {
        self.columns.unwrap_or(WIDTH_DEFAULT).clamp(40, 160)
    }
}

fn endpoint(variables: &str, text: Option<&str>) -> Result<Option<Endpoint>, Error> {
    let parse = |text: &str| text.parse().map_err(|error| Error::usage(format!("{variables}: {error}")));
    text.map(parse).transpose()
}

/// A variable that is set to something.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The hash map's own random keys serve as a source: no secret hangs on it, only that two runs differ.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("respool")
}
