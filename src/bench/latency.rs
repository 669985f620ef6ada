//! How long requests took, as a table and JSON show it.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Milliseconds; all `null` if no request was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct PutLatency {
    /// Half of the answers came sooner.
    pub(super) p50: Option<f64>,
    /// 99 of 100 did.
    pub(super) p99: Option<f64>,
    /// 999 of 1,000 did.
    pub(super) p999: Option<f64>,
    /// The last one.
    pub(super) max: Option<f64>,
}

impl PutLatency {
    /// Of a histogram in microseconds.
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds below 2^53")]
        let millis = |micros: u64| (!histogram.is_empty()).then_some(micros as f64 / 1_000.0);
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: millis(histogram.max()) }
    }
}
