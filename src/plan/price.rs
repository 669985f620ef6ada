//! What a replay costs: shards, PUT payload units, requests to S3.
//!
//! Prices stand in `prices.toml` with their date and can be replaced by the user's own. Shards are paid by the hour
//! that has begun. What other services charge on the way (NAT gateways, transfer between regions, KMS) is not known
//! here.
//!
//! Pure.

use serde::{Deserialize, Serialize};

/// Bytes of a PUT payload unit. Source: Kinesis Data Streams pricing page, read 2026-11-22.
const PUT_UNIT_BYTES: u64 = 25 * 1024;
/// What a record in on-demand mode is rounded up to. Source: the same page.
const ON_DEMAND_UNIT_BYTES: u64 = 1024;
const GB: f64 = 1_073_741_824.0;
const HOURS_PER_MONTH: f64 = 730.0;
const DAY_HOURS: f64 = 24.0;
const WEEK_HOURS: f64 = 168.0;

/// A table of prices.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// When it was collected.
    pub date: String,
    /// For which region.
    pub region: String,
    provisioned: Provisioned,
    on_demand: OnDemand,
    s3: Requests,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provisioned {
    shard_hour: f64,
    put_units_million: f64,
    extended_retention_shard_hour: f64,
    long_term_gb_month: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDemand {
    stream_hour: f64,
    gb_in: f64,
    gb_out: f64,
    extended_retention_gb_month: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    get_thousand: f64,
    list_thousand: f64,
}

/// What is paid for, of a number of records.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Payload {
    /// Data and keys, in bytes.
    pub bytes: f64,
    /// PUT payload units.
    pub put_units: f64,
    /// Bytes as on-demand mode counts them.
    pub on_demand_bytes: f64,
}

/// How long a stream is there, and keeps what it is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stay {
    /// Seconds that it is paid for.
    pub seconds: f64,
    /// Hours that it is set to keep records.
    pub retention_hours: f64,
    /// Hours that a record is kept at most: as long as that, or as there is a stream.
    pub kept_hours: f64,
}

/// What a replay and its stream cost, by what is paid for, in US dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Hours that have begun: of each shard, or of a stream on demand.
    pub hours: f64,
    /// What they cost.
    pub hours_usd: f64,
    /// PUT payload units.
    pub put_units: f64,
    /// What these cost; on demand, what the bytes that go in and out do.
    pub payload_usd: f64,
    /// What it costs to keep records for longer than a day.
    pub retention_usd: f64,
    /// Requests to S3.
    pub requests: f64,
    /// What they cost.
    pub requests_usd: f64,
}

impl Cost {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.hours_usd + self.payload_usd + self.retention_usd + self.requests_usd
    }
}

impl Payload {
    /// Of single records with these sizes, carried to `records` of them.
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    pub fn of(costs: impl Iterator<Item = u32>, records: f64) -> Self {
        let (mut count, mut bytes, mut units, mut rounded) = (0_u64, 0_u64, 0_u64, 0_u64);
        for cost in costs.map(u64::from) {
            count += 1;
            bytes += cost;
            units += cost.div_ceil(PUT_UNIT_BYTES);
            rounded += cost.div_ceil(ON_DEMAND_UNIT_BYTES) * ON_DEMAND_UNIT_BYTES;
        }
        let each = records / count.max(1) as f64;
        Self {
            bytes: bytes as f64 * each,
            put_units: units as f64 * each,
            on_demand_bytes: rounded as f64 * each,
        }
    }

    /// The same in entries of about `entry_bytes`.
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    pub fn aggregated(bytes: f64, entry_bytes: f64) -> Self {
        let units = (entry_bytes / PUT_UNIT_BYTES as f64).ceil().max(1.0);
        Self { bytes, put_units: bytes / entry_bytes * units, on_demand_bytes: bytes }
    }
}

impl Prices {
    /// Those in the repository.
    ///
    /// # Errors
    /// None, as a test sees to.
    pub fn built_in() -> Result<Self, String> {
        Self::parse(include_str!("prices.toml"))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let prices: Self =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().replace('\n', " "))?;
        let all = prices.all();
        if all.iter().all(|price| price.is_finite() && *price >= 0.0) {
            Ok(prices)
        } else {
            Err("a price is a number, 0 or more".to_owned())
        }
    }

    fn all(&self) -> [f64; 10] {
        let (p, d, s) = (&self.provisioned, &self.on_demand, &self.s3);
        [
            p.shard_hour,
            p.put_units_million,
            p.extended_retention_shard_hour,
            p.long_term_gb_month,
            d.stream_hour,
            d.gb_in,
            d.gb_out,
            d.extended_retention_gb_month,
            s.get_thousand,
            s.list_thousand,
        ]
    }

    /// A provisioned stream of `shards`.
    pub fn provisioned(&self, payload: &Payload, shards: u32, stay: Stay) -> Cost {
        let (hours, price) = (f64::from(shards) * begun_hours(stay.seconds), &self.provisioned);
        let extended = if stay.retention_hours > DAY_HOURS { hours } else { 0.0 };
        let months = (stay.kept_hours - WEEK_HOURS).max(0.0) / HOURS_PER_MONTH;
        Cost {
            hours,
            hours_usd: hours * price.shard_hour,
            put_units: payload.put_units,
            payload_usd: payload.put_units * price.put_units_million / 1e6,
            retention_usd: extended * price.extended_retention_shard_hour
                + payload.bytes / GB * months * price.long_term_gb_month,
            ..Cost::default()
        }
    }

    /// A stream on demand, which one worker reads.
    pub fn on_demand(&self, payload: &Payload, stay: Stay) -> Cost {
        let (hours, price) = (begun_hours(stay.seconds), &self.on_demand);
        let months = (stay.kept_hours - DAY_HOURS).max(0.0) / HOURS_PER_MONTH;
        Cost {
            hours,
            hours_usd: hours * price.stream_hour,
            payload_usd: payload.on_demand_bytes / GB * (price.gb_in + price.gb_out),
            retention_usd: payload.bytes / GB * months * price.extended_retention_gb_month,
            ..Cost::default()
        }
    }

    /// Listing and fetching `objects` from S3.
    pub fn requests(&self, objects: f64) -> Cost {
        let lists = (objects / 1_000.0).ceil();
        let requests_usd = (objects * self.s3.get_thousand + lists * self.s3.list_thousand) / 1_000.0;
        Cost { requests: objects + lists, requests_usd, ..Cost::default() }
    }
}

fn begun_hours(seconds: f64) -> f64 {
    (seconds / 3_600.0).ceil().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6 * expected.max(1.0), "{found} instead of {expected}");
    }

    fn stay(seconds: f64, retention_hours: f64) -> Stay {
        Stay { seconds, retention_hours, kept_hours: retention_hours }
    }

    #[test]
    fn the_table_in_the_repository_is_one_and_a_broken_one_is_named() {
        let prices = Prices::built_in().unwrap();
        assert_eq!((prices.date.as_str(), prices.region.as_str()), ("2026-11-22", "us-east-1"));
        let text = include_str!("prices.toml");
        assert!(Prices::parse(&text.replace("0.015", "-0.015")).unwrap_err().contains("0 or more"));
        assert!(Prices::parse(&text.replace("shard_hour", "shard_day")).unwrap_err().contains("shard_day"));
        assert!(Prices::parse("").is_err());
    }

    #[test]
    fn a_thousand_million_records_cost_what_arithmetic_says() {
        let prices = Prices::built_in().unwrap();
        let payload = Payload::of([1_000, 1_000].into_iter(), 1e9);
        near(payload.put_units, 1e9);
        // 16 shards for 18 hours, and 1,000 million units.
        let cost = prices.provisioned(&payload, 16, stay(17.5 * 3_600.0, 24.0));
        near(cost.total(), 16.0 * 18.0 * 0.015 + 14.0);
        near(cost.hours, 16.0 * 18.0);
        near(payload.on_demand_bytes, 1.024e12);
        let on_demand = prices.on_demand(&payload, stay(3_600.0, 24.0));
        near(on_demand.total(), 0.04 + 1.024e12 / GB * 0.12);
        let packed = Payload::aggregated(1e12, 25_600.0);
        near(prices.provisioned(&packed, 1, stay(1.0, 24.0)).total(), 0.015 + 1e12 / 25_600.0 * 0.014e-6);
        near(prices.requests(200_000.0).total(), 0.08 + 200.0 * 0.005 / 1_000.0);
    }

    #[test]
    fn a_longer_retention_costs_more() {
        let prices = Prices::built_in().unwrap();
        let payload = Payload { bytes: GB, put_units: 0.0, on_demand_bytes: GB };
        near(prices.provisioned(&payload, 2, stay(3_600.0, 48.0)).total(), 2.0 * (0.015 + 0.02));
        let longer = stay(3_600.0, 169.0);
        assert!(prices.provisioned(&payload, 2, longer).total() > 2.0 * 0.035);
        // Of a stream that is deleted before, nothing is kept for so long.
        let deleted = Stay { kept_hours: 1.0, ..longer };
        near(prices.provisioned(&payload, 2, deleted).total(), 2.0 * 0.035);
        assert!(prices.on_demand(&payload, deleted).total() < prices.on_demand(&payload, longer).total());
    }

    #[test]
    fn a_record_is_at_least_one_unit_and_a_large_one_several() {
        let payload = Payload::of([1, 25 * 1024, 25 * 1024 + 1].into_iter(), 3.0);
        near(payload.put_units, 4.0);
        near(Payload::of(std::iter::empty(), 3.0).put_units, 0.0);
    }
}
