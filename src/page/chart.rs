//! Lines between two axes, as SVG.
//!
//! Colours are classes that the page's style fills in, light or dark. Each point tells its values when the pointer
//! rests on it, unless there are too many to be told apart.

use std::fmt::Write as _;

use super::frame::{Frame, Guide, HEIGHT, Mark, WIDTH};
use super::html::escape;
use super::scale::Axis;

/// Room between the ends of the horizontal axis and the outermost points.
const INSET: f64 = 10.0;
/// A single place of what could be is a stroke, so far to each side.
const STROKE: f64 = 24.0;
/// A line of more points is drawn without dots.
const POINTS_DRAWN_MAX: usize = 48;
/// Colours in the style; further series begin again, dashed.
const COLOURS: usize = 6;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Which colour it has.
    pub colour: usize,
    /// Whether it is what could be, not what is: thin, dashed, without points.
    pub ideal: bool,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows, in a few words.
    pub title: String,
    /// The same in a sentence, for who cannot see it.
    pub description: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Lines to hold them against.
    pub guides: Vec<Guide>,
    /// What happened on the way.
    pub marks: Vec<Mark>,
}

impl Chart {
    /// The drawing; `id` tells it from the others of a page.
    #[must_use]
    pub fn svg(&self, id: &str) -> String {
        let frame = Frame { x: &self.x, y: &self.y, size: (WIDTH, HEIGHT), inset: INSET, grid: true };
        let mut svg = frame.open(id, &self.title, &self.description);
        frame.draw_axes(&mut svg);
        self.marks.iter().for_each(|mark| frame.draw_mark(&mut svg, mark));
        self.guides.iter().for_each(|guide| frame.draw_guide(&mut svg, guide));
        for series in self.series.iter().filter(|series| !series.ideal) {
            draw_series(&frame, &mut svg, series);
        }
        // What could be is thin, and is seen above what is.
        for series in self.series.iter().filter(|series| series.ideal) {
            draw_series(&frame, &mut svg, series);
        }
        let drawn: Vec<(f64, f64)> = self.series.iter().flat_map(|series| trace(&frame, series)).collect();
        self.guides.iter().for_each(|guide| frame.name_guide(&mut svg, guide, &drawn));
        svg.push_str("</svg>\n");
        svg
    }
}

fn draw_series(frame: &Frame<'_>, svg: &mut String, series: &Series) {
    let mut path = String::new();
    for (number, (x, y)) in series.points.iter().enumerate() {
        let word = if number == 0 { "M" } else { " L" };
        let _ = write!(path, "{word}{:.1} {:.1}", frame.at_x(*x), frame.at_y(*y));
    }
    if let (true, [(x, y)]) = (series.ideal, &series.points[..]) {
        let (x, y) = (frame.at_x(*x), frame.at_y(*y));
        path = format!("M{:.1} {y:.1} L{:.1} {y:.1}", x - STROKE, x + STROKE);
    }
    let class = class_of(series.colour, series.ideal);
    let _ = writeln!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    if series.ideal || series.points.len() > POINTS_DRAWN_MAX {
        return;
    }
    for (x, y) in &series.points {
        let _ = writeln!(
            svg,
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {} at {}</title></circle>",
            frame.at_x(*x),
            frame.at_y(*y),
            escape(&series.name),
            escape(&super::short(*y)),
            escape(&super::short(*x))
        );
    }
}

/// Places on a line, its points and some between them.
fn trace(frame: &Frame<'_>, series: &Series) -> Vec<(f64, f64)> {
    const BETWEEN: u8 = 16;
    let points: Vec<(f64, f64)> =
        series.points.iter().map(|(x, y)| (frame.at_x(*x), frame.at_y(*y))).collect();
    let mut places = points.clone();
    for (from, to) in points.iter().zip(points.iter().skip(1)) {
        places.extend((1..BETWEEN).map(|step| {
            let part = f64::from(step) / f64::from(BETWEEN);
            ((to.0 - from.0).mul_add(part, from.0), (to.1 - from.1).mul_add(part, from.1))
        }));
    }
    places
}

/// The classes that give a series its look, here and in a legend.
pub(super) fn class_of(colour: usize, ideal: bool) -> String {
    let again = colour / COLOURS % 2 == 1;
    let dash = if ideal {
        " ideal"
    } else if again {
        " again"
    } else {
        ""
    };
    format!("c{}{dash}", colour % COLOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let points = vec![(1.0, 980.0), (2.0, 1_960.0), (4.0, 3_900.0)];
        Chart {
            title: "Throughput & <more>".into(),
            description: "It grows.".into(),
            x: Axis::steps("shards", [1.0, 2.0, 4.0]),
            y: Axis::linear("records/s", 0.0, [3_900.0]),
            series: vec![Series { name: "\"1 KB\"".into(), colour: 0, ideal: false, points }],
            guides: vec![Guide { at: 4_000.0, label: "the limit".into() }],
            marks: vec![Mark { at: 2.0, label: "a core is full".into() }],
        }
    }

    #[test]
    fn what_is_drawn_lies_on_the_paper_and_says_what_it_is() {
        let svg = chart().svg("one");
        assert!(svg.contains("<title id=\"one-title\">Throughput &amp; &lt;more&gt;</title>"), "{svg}");
        assert!(svg.contains("aria-labelledby=\"one-title one-desc\""));
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("&quot;1 KB&quot;: 1,960 at 2"), "{svg}");
        for attribute in ["cx=\"", "x1=\"", "x2=\"", "cy=\"", "y1=\"", "y2=\""] {
            for (start, _) in svg.match_indices(attribute) {
                let rest = &svg[start + attribute.len()..];
                let value: f64 = rest[..rest.find('"').unwrap()].parse().unwrap();
                let most = if attribute.contains('x') { WIDTH } else { HEIGHT };
                assert!((0.0..=most).contains(&value), "{attribute}{value}");
            }
        }
    }

    #[test]
    fn numbers_that_would_touch_are_left_out() {
        let mut chart = chart();
        chart.x = Axis::steps("shards", (1..=40).map(f64::from));
        let svg = chart.svg("x");
        let ticks = svg.matches("text-anchor=\"middle\"").count();
        assert!((5..20).contains(&ticks), "{ticks}");
        assert!(svg.contains(">40</text>"), "the last one stays");
    }

    #[test]
    fn a_guide_is_named_where_no_line_runs() {
        let mut chart = chart();
        chart.y = Axis::linear("records/s", 0.0, [8_000.0]);
        let place = |chart: &Chart| {
            let svg = chart.svg("x");
            let text = svg.lines().find(|line| line.contains("halo")).unwrap();
            let number =
                |name: &str| text.split(name).nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
            let found: (f64, f64) = (number("x=\""), number(" y=\""));
            found
        };
        // The line comes up to the guide on the right, from below.
        let (x, y) = place(&chart);
        let line = 270.0 - 46.0 - (270.0 - 28.0 - 46.0) / 2.0;
        assert!(x < 200.0 && y < line, "{x} {y}");
        chart.series[0].points.reverse();
        for point in &mut chart.series[0].points {
            point.0 = 4.0 / point.0;
            point.1 += 200.0;
        }
        let (x, _) = place(&chart);
        assert!(x > 200.0, "{x}");
    }

    #[test]
    fn what_could_be_is_seen_at_a_single_place_too() {
        let mut chart = chart();
        chart.x = Axis::steps("shards", [4.0]);
        let points = vec![(4.0, 3_900.0)];
        chart.series = vec![Series { name: "the limit".into(), colour: 0, ideal: true, points }];
        let svg = chart.svg("x");
        let path = svg.lines().find(|line| line.contains("line c0 ideal")).unwrap();
        let ends: Vec<&str> =
            path.split(['M', 'L', '"']).filter(|end| end.contains('.')).map(str::trim).collect();
        let [from, to] = ends[..] else { panic!("{path}") };
        assert!(from != to && from.split(' ').nth(1) == to.split(' ').nth(1), "{path}");
    }

    #[test]
    fn the_seventh_series_is_dashed() {
        assert_eq!(class_of(0, false), "c0");
        assert_eq!(class_of(7, false), "c1 again");
        assert_eq!(class_of(1, true), "c1 ideal");
    }
}
