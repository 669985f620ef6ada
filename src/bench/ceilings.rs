//! What one core does of each stage, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::table::whole;
use crate::run::report::number;

/// What one core does of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Stage {
    /// Its name.
    #[serde(rename = "stage")]
    pub(super) name: &'static str,
    /// What it does.
    pub(super) what: &'static str,
    /// Bytes of a record.
    pub(super) record_size: u64,
    /// 10^6 bytes of decoded records per CPU second.
    pub(super) mb_per_second_per_core: f64,
    /// Records per CPU second.
    pub(super) records_per_second_per_core: f64,
}

/// All that `--null` finds.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) version: &'static str,
    pub(super) machine: String,
    pub(super) complete: bool,
    pub(super) stages: Vec<Stage>,
}

/// What no stage has alone.
const LEFT_OUT: &str = "A run reaches less than the sums: not in them are waits for memory that several stages want at once,\n\
                        requests of fewer records, journal and checkpoints.";

/// Of a second run and of a first one: the stages one after the other, on the same core.
const SUMS: [(&str, &[&str]); 2] = [
    ("from the cache", &["route", "engine", "encode", "send"]),
    (
        "from the archive",
        &["list", "fetch", "decode", "split", "publish", "route", "engine", "encode", "send"],
    ),
];

impl Found {
    /// The table, for a person.
    pub(super) fn render(&self) -> String {
        let mut text = format!("{}\nper core and CPU second, decoded bytes\n", self.machine);
        let mut sizes: Vec<u64> = self.stages.iter().map(|stage| stage.record_size).collect();
        sizes.dedup();
        let mut summed = false;
        for size in sizes {
            let _ =
                writeln!(text, "\n{:<17}{:>10}{:>16}", format!("{} B", number(size)), "MB/s", "records/s");
            let of_size: Vec<&Stage> = self.stages.iter().filter(|stage| stage.record_size == size).collect();
            let mut line = |name: &str, mb: f64, records: f64, what: &str| {
                let _ = writeln!(text, "{name:<17}{:>10}{:>16}   {what}", whole(mb), whole(records));
            };
            for stage in &of_size {
                line(stage.name, stage.mb_per_second_per_core, stage.records_per_second_per_core, stage.what);
            }
            for (name, parts) in SUMS {
                let stages: Vec<&&Stage> =
                    of_size.iter().filter(|stage| parts.contains(&stage.name)).collect();
                if stages.len() == parts.len() {
                    let mb = sum(stages.iter().map(|stage| stage.mb_per_second_per_core));
                    let records = sum(stages.iter().map(|stage| stage.records_per_second_per_core));
                    line(name, mb, records, &parts.join(", "));
                    summed = true;
                }
            }
        }
        if summed {
            let _ = writeln!(text, "\n{LEFT_OUT}");
        }
        text
    }
}

/// What is left of rates when one thing is done after the other.
fn sum(rates: impl Iterator<Item = f64>) -> f64 {
    1.0 / rates.map(f64::recip).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_on_one_core() {
        assert!((sum([200.0, 200.0].into_iter()) - 100.0).abs() < 1e-9);
        assert!((sum([100.0, 1e12].into_iter()) - 100.0).abs() < 1e-3);
    }

    #[test]
    fn the_table_has_sums_where_all_stages_are_there() {
        let stage = |name, mb| Stage {
            name,
            what: "x",
            record_size: 1_000,
            mb_per_second_per_core: mb,
            records_per_second_per_core: mb * 1_000.0,
        };
        let stages = vec![
            stage("route", 8_000.0),
            stage("engine", 8_000.0),
            stage("encode", 4_000.0),
            stage("send", 400.0),
        ];
        let mut found = Found { version: "0", machine: "m".into(), complete: true, stages };
        let text = found.render();
        assert!(text.contains("from the cache          333         333,333"), "{text}");
        assert!(!text.contains("from the archive"), "{text}");
        assert!(text.ends_with(&format!("\n\n{LEFT_OUT}\n")), "{text}");
        found.stages.retain(|stage| stage.name != "engine");
        let text = found.render();
        assert!(!text.contains("from the cache") && !text.contains(LEFT_OUT), "{text}");
    }
}
