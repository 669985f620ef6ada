//! What a benchmark found, as CSV: a row for each step, with all that shaped it.
//!
//! The columns are an interface, described in `docs/benchmarks.md`; they are added to at the end, never renamed.

use std::fmt::Write as _;

use super::table::Bench;

impl Bench {
    /// The table, for a spreadsheet: numbers as JSON has them.
    pub(super) fn csv(&self) -> String {
        let mut text = String::from(
            "shards,record_size,burst_model,records_per_second,mb_per_second,limit_records_per_second,utilisation,\
             utilisation_min,throttled_share,put_p50_ms,put_p99_ms,put_p999_ms,put_max_ms,cpu_share,stream_cpu_share,\
             cpu_seconds_per_gb,rss_anon_mb,limited_by,read_ahead_filled,order,share,\
             aggregate,max_rate,send,lasting_records_per_second\n",
        );
        let maybe = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
        for step in &self.steps {
            let put = step.put_latency_ms;
            let cells = [
                step.shards.to_string(),
                step.record_size.to_string(),
                step.burst_model.unwrap_or_default().to_owned(),
                format!("{:.3}", step.records_per_second),
                format!("{:.6}", step.mb_per_second),
                maybe(step.limit_records_per_second),
                maybe(step.utilisation),
                maybe(step.utilisation_min),
                format!("{:.6}", step.throttled_share),
                maybe(put.p50),
                maybe(put.p99),
                maybe(put.p999),
                maybe(put.max),
                format!("{:.6}", step.cpu_share),
                format!("{:.6}", step.stream_cpu_share),
                maybe(step.cpu_seconds_per_gb),
                maybe(step.rss_anon_mb),
                step.limited_by.to_owned(),
                step.read_ahead_filled.to_string(),
                self.order.to_owned(),
                self.share.to_string(),
                self.aggregate.to_string(),
                // Two bounds have a comma between them.
                self.max_rate.as_deref().unwrap_or_default().replace(',', " "),
                self.send.unwrap_or_default().to_owned(),
                maybe(step.lasting_records_per_second),
            ];
            let _ = writeln!(text, "{}", cells.join(","));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::bench;

    #[test]
    fn the_spreadsheet_has_a_cell_for_each_column() {
        let csv = bench().csv();
        let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [25, 25, 25]);
    }
}
