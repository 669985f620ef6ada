//! The picture: throughput, utilisation, latency and CPU against the number of shards, and the table below.

use super::table::{Bench, Step};
use crate::page::{Axis, Chart, Figure, Guide, Mark, Page, Series};
use crate::run::report::number;

/// So much of one core counts as all of it.
const CORE_FULL: f64 = 0.95;
/// What a shard is to be kept at.
const UTILISATION_GOAL: f64 = 97.5;

/// The page of `bench`.
pub(super) fn draw(bench: &Bench) -> String {
    let mut page = Page::new("respool bench");
    page.paragraph(
        &format!("Into {}, from {}: {}.", what(&bench.target), what(&bench.source), bench.subtitle()),
        false,
    );
    let unfinished = if bench.complete { "" } else { " Interrupted: some steps are missing." };
    page.paragraph(
        &format!("respool {}, {}, {}.{unfinished}", bench.version, bench.machine, bench.started),
        true,
    );
    page.figures(&[throughput(bench), utilisation(bench), latency(bench), cpu(bench)].map(Figure::Lines));
    let (head, rows) = bench.rows();
    page.table(&head, &rows);
    for note in bench.notes() {
        page.paragraph(&note, true);
    }
    page.html()
}

fn what(place: &str) -> String {
    match place {
        "sim" => "embedded streams with Kinesis' limits".into(),
        "generated" => "made-up events".into(),
        place => place.into(),
    }
}

/// The steps that differ in nothing but their shards, with what they have in common.
fn groups(bench: &Bench) -> Vec<(String, Vec<&Step>)> {
    let mut groups: Vec<(u32, Option<&str>, Vec<&Step>)> = Vec::new();
    for step in &bench.steps {
        let same = groups.iter_mut().find(|group| (group.0, group.1) == (step.record_size, step.burst_model));
        match same {
            Some(group) => group.2.push(step),
            None => groups.push((step.record_size, step.burst_model, vec![step])),
        }
    }
    let models = groups.iter().any(|group| Some(group.1) != groups.first().map(|first| first.1));
    let mut named = Vec::with_capacity(groups.len());
    for (size, model, mut steps) in groups {
        steps.sort_by_key(|step| step.shards);
        let model = model.filter(|_| models).map(|model| format!(", {model}")).unwrap_or_default();
        named.push((format!("{} B{model}", number(u64::from(size))), steps));
    }
    named
}

/// A line for each group; `value` says how high a step stands.
fn lines(bench: &Bench, value: impl Fn(&Step) -> Option<f64>) -> Vec<Series> {
    let line = |(colour, (name, steps)): (usize, (String, Vec<&Step>))| {
        let points = steps.iter().filter_map(|step| Some((f64::from(step.shards), value(step)?))).collect();
        Series { name, colour, ideal: false, points }
    };
    groups(bench).into_iter().enumerate().map(line).collect()
}

fn shards(bench: &Bench) -> Axis {
    Axis::steps("shards", bench.steps.iter().map(|step| f64::from(step.shards)))
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|series| series.points.iter().map(|point| point.1))
}

fn throughput(bench: &Bench) -> Chart {
    let mut series = lines(bench, |step| Some(step.records_per_second));
    series.extend(limits(bench));
    Chart {
        title: "Throughput".into(),
        description:
            "Records acknowledged each second; dashed what the configured share of all shards takes, within any --max-rate.".into(),
        x: shards(bench),
        y: Axis::log("records/s", values(&series)),
        series,
        guides: Vec::new(),
        marks: core_full(bench),
    }
}

/// What the shards take, once for each size: how they measure their second changes nothing about it.
fn limits(bench: &Bench) -> Vec<Series> {
    let mut sizes: Vec<u32> = bench.steps.iter().map(|step| step.record_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let many = sizes.len() > 1;
    let line = |(colour, size): (usize, u32)| {
        let steps = bench.steps.iter().filter(|step| step.record_size == size);
        let mut points: Vec<(f64, f64)> =
            steps.filter_map(|step| Some((f64::from(step.shards), step.limit_records_per_second?))).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        points.dedup_by_key(|point| point.0);
        let size = number(u64::from(size));
        let name = if many { format!("limit at {size} B") } else { "the limit".into() };
        Series { name, colour, ideal: true, points }
    };
    sizes.into_iter().enumerate().map(line).filter(|limit| !limit.points.is_empty()).collect()
}

/// Where one core was full first.
fn core_full(bench: &Bench) -> Vec<Mark> {
    // What still reads ahead does more than it will.
    let full = bench.steps.iter().filter(|step| step.read_ahead_filled && step.cpu_share >= CORE_FULL);
    let first = full.map(|step| step.shards).min();
    first.map(|shards| Mark { at: f64::from(shards), label: "a core is full".into() }).into_iter().collect()
}

fn utilisation(bench: &Bench) -> Chart {
    let mut series = lines(bench, |step| Some(step.utilisation? * 100.0));
    let lowest = lines(bench, |step| Some(step.utilisation_min? * 100.0));
    let goal = series.iter().any(|line| !line.points.is_empty());
    if let [one] = &mut series[..] {
        one.name = "all shards".into();
        for line in lowest {
            series.push(Series { name: "the lowest shard".into(), colour: 1, ..line });
        }
    }
    let from = if values(&series).all(|value| value >= 90.0) { 90.0 } else { 0.0 };
    Chart {
        title: "Utilisation".into(),
        description: format!(
            "Part of the configured rate that was used, sustained; the axis begins at {from} %."
        ),
        x: shards(bench),
        y: Axis::linear("%", from, values(&series).chain([100.0])),
        series,
        guides: if goal {
            vec![Guide { at: UTILISATION_GOAL, label: "goal: 97.5 %".into() }]
        } else {
            Vec::new()
        },
        marks: Vec::new(),
    }
}

fn latency(bench: &Bench) -> Chart {
    let mut series = lines(bench, |step| step.put_latency_ms.p99);
    let one = series.len() == 1;
    if one {
        series = ["p50", "p99", "p99.9"]
            .into_iter()
            .enumerate()
            .flat_map(|(colour, name)| {
                let put = |step: &Step| step.put_latency_ms;
                let value = move |step: &Step| [put(step).p50, put(step).p99, put(step).p999][colour];
                lines(bench, value).into_iter().map(move |line| Series { name: name.into(), colour, ..line })
            })
            .collect();
    }
    Chart {
        title: "Latency of PutRecords".into(),
        description: if one {
            "Milliseconds from a request's departure to its answer.".into()
        } else {
            "Milliseconds from a request's departure to its answer: 99 of 100 came sooner.".into()
        },
        x: shards(bench),
        y: Axis::linear("ms", 0.0, values(&series)),
        series,
        guides: Vec::new(),
        marks: Vec::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "cores")]
fn cpu(bench: &Bench) -> Chart {
    let mut series = lines(bench, |step| Some(step.cpu_share * 100.0));
    let own = bench.steps.iter().any(|step| step.stream_cpu_share > 0.0);
    if let ([one], true) = (&mut series[..], own) {
        one.name = "respool".into();
        for line in lines(bench, |step| Some((step.cpu_share + step.stream_cpu_share) * 100.0)) {
            series.push(Series { name: "with the embedded stream".into(), colour: 1, ..line });
        }
    }
    let all = bench.cores as f64 * 100.0;
    Chart {
        title: "CPU".into(),
        description: format!("Percent of one core; this machine has {} of them.", bench.cores),
        x: shards(bench),
        y: Axis::linear("%", 0.0, values(&series).chain([all])),
        series,
        guides: vec![Guide { at: all, label: "every core full".into() }],
        marks: core_full(bench),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::bench;
    use super::*;

    #[test]
    fn the_page_has_four_drawings_and_the_table() {
        let html = draw(&bench());
        assert_eq!(html.matches("<figure>").count(), 4);
        assert_eq!(html.matches("<tr>").count(), 3);
        assert!(html.contains("2 cores, &lt;a &quot;machine&quot;&gt;"));
        assert!(html.contains("the limit"));
    }

    #[test]
    fn each_size_and_model_is_a_line_of_its_own() {
        let mut many = bench();
        for (size, model) in [(200, "second"), (200, "tenth")] {
            let more = bench().steps.into_iter().map(|step| Step {
                record_size: size,
                burst_model: Some(model),
                ..step
            });
            many.steps.extend(more);
        }
        let names: Vec<String> = groups(&many).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["1,000 B, second", "200 B, second", "200 B, tenth"]);
        assert!(draw(&many).contains("200 B, tenth"));
    }

    #[test]
    fn a_limit_is_drawn_once_for_each_size_however_often_it_was_measured() {
        let mut many = bench();
        many.steps.extend(bench().steps.into_iter().map(|step| Step {
            burst_model: Some("tenth"),
            // The mean size of what was sent differs a little from step to step.
            limit_records_per_second: step.limit_records_per_second.map(|limit| limit + 1.0),
            ..step
        }));
        let names = |bench: &Bench| limits(bench).into_iter().map(|limit| limit.name).collect::<Vec<_>>();
        assert_eq!(names(&many), ["the limit"]);
        assert_eq!(limits(&many)[0].points, [(1.0, 971.0), (128.0, 124_288.0)]);
        many.steps.extend(bench().steps.into_iter().map(|step| Step { record_size: 200, ..step }));
        assert_eq!(names(&many), ["limit at 200 B", "limit at 1,000 B"]);
        // Each has dashes of its own.
        assert!(limits(&many).iter().map(|limit| limit.colour).eq([0, 1]));
    }

    #[test]
    fn where_a_core_is_full_stands_a_mark() {
        let mut busy = bench();
        busy.steps[1].cpu_share = 0.94;
        assert!(!draw(&busy).contains("a core is full"));
        busy.steps[1].cpu_share = 0.96;
        assert_eq!(core_full(&busy), [Mark { at: 128.0, label: "a core is full".into() }]);
        assert_eq!(draw(&busy).matches("a core is full").count(), 2);
    }

    #[test]
    fn marked_rows_are_explained() {
        let mut short = bench();
        assert!(!draw(&short).contains("too short"));
        short.steps[0].read_ahead_filled = false;
        assert!(draw(&short).contains("too short"));
    }

    #[test]
    fn without_limits_and_without_steps_it_is_still_a_page() {
        let mut unlimited = bench();
        for step in &mut unlimited.steps {
            (step.utilisation, step.utilisation_min, step.limit_records_per_second) = (None, None, None);
        }
        assert!(!draw(&unlimited).contains("goal"));
        unlimited.steps.clear();
        assert!(draw(&unlimited).ends_with("</html>\n"));
    }
}
