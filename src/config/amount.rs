//! Numbers with units: shares, rates, sizes, durations.
//!
//! A number is decimal digits with at most one point; signs, exponents, `NaN` and `inf` are no numbers
//! here. Sizes are computed in integers, so that `0.1GB` is exactly 100,000,000 B, and what does not fit
//! 63 bits is an error instead of the largest value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::ByteCount;

/// Digits before and after the point together. More is a slip of the hand.
const DIGITS_MAX: usize = 20;

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a share.
    #[error("a share is a number above 0 and at most 1, as in 0.5")]
    Share,
    /// Not a size.
    #[error("a size is a number and a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), as in 50GB")]
    Size,
    /// A size below 1 B.
    #[error("a size of 0 makes no sense here")]
    SizeZero,
    /// A size of 2^63 B or more.
    #[error("the size is too large: 8 EiB and more cannot be")]
    SizeTooLarge,
    /// Not a rate.
    #[error("a rate is 20MB/s, 5000rec/s, or both as in 20MB/s,5000rec/s")]
    Rate,
    /// A rate below 1 B or 1 record a second, with which a run would never end.
    #[error("a rate of 0 would never end: give at least 1B/s or 1rec/s")]
    RateZero,
    /// A rate of records that no machine has.
    #[error("the rate is too large: a million million records a second and more cannot be")]
    RateTooLarge,
    /// Records or bytes capped twice.
    #[error("the same kind of rate is given twice")]
    RateTwice,
    /// Not a duration.
    #[error("a duration is a whole number and a unit (s, m, h, d, w), as in 90s, 15m or 2d")]
    Duration,
    /// Not a latency.
    #[error("a latency is a whole number of ms or s up to a minute, as in 20ms")]
    Latency,
    /// More than ten years.
    #[error("the duration is too long: ten years are the most")]
    DurationTooLong,
}

/// The part of each shard's limits that a run takes: above 0, at most 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

impl Share {
    /// Two percent stay free for the difference of two clocks.
    pub const DEFAULT: Self = Self(0.98);

    /// Takes `share` if it is above 0 and at most 1.
    pub fn new(share: f64) -> Result<Self, AmountError> {
        // NaN lies in no range.
        if (f64::MIN_POSITIVE..=1.0).contains(&share) { Ok(Self(share)) } else { Err(AmountError::Share) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = AmountError;

    fn try_from(share: f64) -> Result<Self, AmountError> {
        Self::new(share)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl FromStr for Share {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (_, unit) = split_number(text).ok_or(AmountError::Share)?;
        if !unit.is_empty() {
            return Err(AmountError::Share);
        }
        Self::new(text.parse().map_err(|_| AmountError::Share)?)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Upper bounds of the whole run, on top of what the shards allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateCap {
    /// Records each second.
    pub records_per_second: Option<u64>,
    /// Bytes (data and partition keys) each second.
    pub bytes_per_second: Option<u64>,
}

impl RateCap {
    /// Both caps at once; an error if they bound the same.
    pub fn and(self, other: Self) -> Result<Self, AmountError> {
        let either = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(_), Some(_)) => Err(AmountError::RateTwice),
            (a, b) => Ok(a.or(b)),
        };
        Ok(Self {
            records_per_second: either(self.records_per_second, other.records_per_second)?,
            bytes_per_second: either(self.bytes_per_second, other.bytes_per_second)?,
        })
    }

    fn from_one(text: &str) -> Result<Self, AmountError> {
        let amount = text.strip_suffix("/s").ok_or(AmountError::Rate)?;
        if let Some(number) = amount.strip_suffix("rec") {
            let (number, unit) = split_number(number.trim_end()).ok_or(AmountError::Rate)?;
            if !unit.is_empty() {
                return Err(AmountError::Rate);
            }
            let records =
                number.times(1).filter(|&n| n < 1_000_000_000_000).ok_or(AmountError::RateTooLarge)?;
            let records = if records == 0 { return Err(AmountError::RateZero) } else { records };
            return Ok(Self { records_per_second: Some(records), bytes_per_second: None });
        }
        match parse_size(amount) {
            Ok(bytes) => Ok(Self { records_per_second: None, bytes_per_second: Some(bytes.0) }),
            Err(AmountError::SizeZero) => Err(AmountError::RateZero),
            Err(AmountError::SizeTooLarge) => Err(AmountError::SizeTooLarge),
            Err(_) => Err(AmountError::Rate),
        }
    }
}

impl FromStr for RateCap {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        text.split(',').try_fold(Self::default(), |caps, one| caps.and(Self::from_one(one.trim())?))
    }
}

impl fmt::Display for RateCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes_per_second, self.records_per_second) {
            (None, None) => f.write_str("none"),
            (Some(bytes), None) => write!(f, "{bytes}B/s"),
            (None, Some(records)) => write!(f, "{records}rec/s"),
            (Some(bytes), Some(records)) => write!(f, "{bytes}B/s,{records}rec/s"),
        }
    }
}

/// `50GB`, `1.5 GiB`, `4096B`. Decimal units are powers of 1,000, binary ones of 1,024; the case of
/// letters does not matter. A bare number is an error: whether it is bytes or megabytes is a guess.
pub fn parse_size(text: &str) -> Result<ByteCount, AmountError> {
    let (number, unit) = split_number(text).ok_or(AmountError::Size)?;
    let scale: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(AmountError::Size),
    };
    match number.times(scale).filter(|&bytes| bytes <= i64::MAX.unsigned_abs()) {
        None => Err(AmountError::SizeTooLarge),
        Some(0) => Err(AmountError::SizeZero),
        Some(bytes) => Ok(ByteCount(bytes)),
    }
}

/// `90s`, `15m`, `6h`, `2d`, `1w`; `0s` is one too.
pub fn parse_duration(text: &str) -> Result<Duration, AmountError> {
    let (number, unit) = split_number(text).ok_or(AmountError::Duration)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(AmountError::Duration),
    };
    if number.decimals > 0 {
        return Err(AmountError::Duration);
    }
    let ten_years = 3_653 * 86_400;
    let total = number.times(seconds).filter(|&total| total <= ten_years);
    total.map(Duration::from_secs).ok_or(AmountError::DurationTooLong)
}

/// `20ms`, `1s`, up to a minute; `0ms` is one too.
pub fn parse_latency(text: &str) -> Result<Duration, AmountError> {
    let (number, unit) = split_number(text).ok_or(AmountError::Latency)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        _ => return Err(AmountError::Latency),
    };
    let total = number.times(millis).filter(|&total| number.decimals == 0 && total <= 60_000);
    total.map(Duration::from_millis).ok_or(AmountError::Latency)
}

/// `digits / 10^decimals`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    decimals: u32,
}

impl Decimal {
    /// The product, cut off after the point; `None` above 64 bits.
    fn times(self, factor: u64) -> Option<u64> {
        let product = self.digits.checked_mul(u128::from(factor))?;
        u64::try_from(product.checked_div(10_u128.checked_pow(self.decimals)?)?).ok()
    }
}

/// The number a text begins with, and the rest.
fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    if whole.is_empty() || fraction.contains('.') || fraction.len() > DIGITS_MAX {
        return None;
    }
    // So many digits are a number, but one that is too large for anything: saturate, and let the caller say so.
    let digits = format!("{whole}{fraction}").parse().unwrap_or(u128::MAX);
    Some((Decimal { digits, decimals: u32::try_from(fraction.len()).ok()? }, rest))
}
