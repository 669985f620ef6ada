//! What a user has said of how a run is carried out, and nothing else: the flags of a resume, and what a saved plan
//! remembers of those that it was made with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Addressing, AwsAccess, CacheConfig, CacheMode, RateCap, SendPath, Share, Tuning};
use crate::record::ByteCount;

/// Flags of [`Tuning`]: what is `None` stays as the run, the plan or the default has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuningChanges {
    /// See [`Tuning::share`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// See [`Tuning::max_rate`]; replaces both bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<RateCap>,
    /// See [`Tuning::max_quarantine`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_quarantine: Option<u64>,
    /// See [`Tuning::accept_refusals`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_refusals: Option<bool>,
    /// See [`CacheConfig::dir`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<PathBuf>,
    /// See [`CacheConfig::size`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_size: Option<ByteCount>,
    /// See [`CacheConfig::mode`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_mode: Option<CacheMode>,
    /// What is behind this may not be offline; how the cache is kept otherwise stays.
    #[serde(skip)]
    pub online: bool,
    /// See [`Tuning::s3`]; each part by itself.
    pub s3: AwsAccess,
    /// See [`Tuning::s3_anonymous`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_anonymous: Option<bool>,
    /// See [`Tuning::s3_request_payer`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_request_payer: Option<bool>,
    /// See [`Tuning::s3_bucket_owner`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_bucket_owner: Option<String>,
    /// See [`Tuning::s3_addressing`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_addressing: Option<Addressing>,
    /// See [`Tuning::kinesis`]; each part by itself.
    pub kinesis: AwsAccess,
    /// See [`Tuning::send`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<SendPath>,
}

impl TuningChanges {
    /// Each part from here, or else from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let behind = other.cache_mode.map(|mode| self.lifted(mode));
        Self {
            share: self.share.or(other.share),
            max_rate: self.max_rate.or(other.max_rate),
            max_quarantine: self.max_quarantine.or(other.max_quarantine),
            accept_refusals: self.accept_refusals.or(other.accept_refusals),
            cache_dir: self.cache_dir.or(other.cache_dir),
            cache_size: self.cache_size.or(other.cache_size),
            online: self.online || (self.cache_mode.is_none() && other.online),
            cache_mode: self.cache_mode.or(behind),
            s3: self.s3.or(other.s3),
            s3_anonymous: self.s3_anonymous.or(other.s3_anonymous),
            s3_request_payer: self.s3_request_payer.or(other.s3_request_payer),
            s3_bucket_owner: self.s3_bucket_owner.or(other.s3_bucket_owner),
            s3_addressing: self.s3_addressing.or(other.s3_addressing),
            kinesis: self.kinesis.or(other.kinesis),
            send: self.send.or(other.send),
        }
    }

    /// `base` with these changes made.
    #[must_use]
    pub fn apply(self, base: Tuning) -> Tuning {
        let mode = self.lifted(base.cache.mode);
        Tuning {
            share: self.share.unwrap_or(base.share),
            max_rate: self.max_rate.unwrap_or(base.max_rate),
            cache: CacheConfig {
                dir: self.cache_dir.unwrap_or(base.cache.dir),
                size: self.cache_size.or(base.cache.size),
                mode: self.cache_mode.unwrap_or(mode),
            },
            s3: self.s3.or(base.s3),
            s3_anonymous: self.s3_anonymous.unwrap_or(base.s3_anonymous),
            s3_request_payer: self.s3_request_payer.unwrap_or(base.s3_request_payer),
            s3_bucket_owner: self.s3_bucket_owner.or(base.s3_bucket_owner),
            max_quarantine: self.max_quarantine.or(base.max_quarantine),
            accept_refusals: self.accept_refusals.unwrap_or(base.accept_refusals),
            s3_addressing: self.s3_addressing.unwrap_or(base.s3_addressing),
            kinesis: self.kinesis.or(base.kinesis),
            send: self.send.unwrap_or(base.send),
        }
    }

    /// What these changes leave of `mode`, if they name no other.
    fn lifted(&self, mode: CacheMode) -> CacheMode {
        if self.online && mode == CacheMode::Offline { CacheMode::Keep } else { mode }
    }
}
