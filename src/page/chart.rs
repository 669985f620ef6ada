//! Lines between two axes, as SVG.
//!
//! A drawing has one fixed size in units of its own and is stretched by the browser, so it is made as narrow as its
//! text allows: on a phone it is shown at three quarters, and what is written can still be read. Colours are classes that the
//! page's style fills in, light or dark. Each point tells its values when the pointer rests on it.

use std::fmt::Write as _;

use super::html::escape;
use super::scale::Axis;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 6.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 46.0;
/// Room between the ends of the horizontal axis and what is drawn there.
const INSET: f64 = 10.0;
/// Less than this apart, two numbers on the horizontal axis would touch.
const TICK_GAP: f64 = 30.0;
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

/// A horizontal line that values are held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// Where it runs.
    pub at: f64,
    /// What it says.
    pub label: String,
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
}

impl Chart {
    /// The drawing; `id` tells it from the others of a page.
    #[must_use]
    pub fn svg(&self, id: &str) -> String {
        let id = escape(id);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
             <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
            escape(&self.title),
            escape(&self.description)
        );
        self.draw_axes(&mut svg);
        for guide in &self.guides {
            self.draw_guide(&mut svg, guide);
        }
        for series in self.series.iter().filter(|series| !series.ideal) {
            self.draw_series(&mut svg, series);
        }
        // What could be is thin, and is seen above what is.
        for series in self.series.iter().filter(|series| series.ideal) {
            self.draw_series(&mut svg, series);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + INSET + self.x.place(value) * (WIDTH - LEFT - RIGHT - 2.0 * INSET)
    }

    fn at_y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn draw_axes(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &self.y.ticks {
            let y = self.at_y(*value);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                escape(text)
            );
        }
        let mut last = f64::NEG_INFINITY;
        for (value, text) in &self.x.ticks {
            let x = self.at_x(*value);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{}\"/>",
                bottom + 4.0
            );
            if x - last >= TICK_GAP {
                last = x;
                let _ = writeln!(
                    svg,
                    "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    bottom + 17.0,
                    escape(text)
                );
            }
        }
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"2\" y=\"12\">{}</text>\
             <line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
             <text class=\"label\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            escape(&self.y.label),
            f64::midpoint(LEFT, right),
            HEIGHT - 10.0,
            escape(&self.x.label)
        );
    }

    fn draw_guide(&self, svg: &mut String, guide: &Guide) {
        let (y, right) = (self.at_y(guide.at), WIDTH - RIGHT);
        // Above the line, unless that is above the drawing.
        let text_y = if y - 5.0 < TOP + 6.0 { y + 14.0 } else { y - 5.0 };
        let _ = writeln!(
            svg,
            "<line class=\"guide\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{}\" y=\"{text_y:.1}\">{}</text>",
            LEFT + 6.0,
            escape(&guide.label)
        );
    }

    fn draw_series(&self, svg: &mut String, series: &Series) {
        let mut path = String::new();
        for (number, (x, y)) in series.points.iter().enumerate() {
            let word = if number == 0 { "M" } else { " L" };
            let _ = write!(path, "{word}{:.1} {:.1}", self.at_x(*x), self.at_y(*y));
        }
        let class = class_of(series.colour, series.ideal);
        let _ = writeln!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
        if series.ideal {
            return;
        }
        for (x, y) in &series.points {
            let _ = writeln!(
                svg,
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {} at {}</title></circle>",
                self.at_x(*x),
                self.at_y(*y),
                escape(&series.name),
                escape(&super::short(*y)),
                escape(&super::short(*x))
            );
        }
    }
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
        let ticks = chart.svg("x").matches("text-anchor=\"middle\"").count();
        assert!((5..20).contains(&ticks), "{ticks}");
    }

    #[test]
    fn the_seventh_series_is_dashed() {
        assert_eq!(class_of(0, false), "c0");
        assert_eq!(class_of(7, false), "c1 again");
        assert_eq!(class_of(1, true), "c1 ideal");
    }
}
