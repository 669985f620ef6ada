//! Columns between two axes, each of one part or of several on top of each other, as SVG.
//!
//! A column has two ends on the horizontal axis, so that a column of time is as wide as the time that it tells of.

use std::fmt::Write as _;

use super::frame::{Frame, HEIGHT, Mark, WIDTH};
use super::html::escape;
use super::scale::{Axis, short};

/// Colours in the style; further parts begin again, paler.
const COLOURS: usize = 6;
/// Between two columns, where there is room for it.
const GAP: f64 = 1.0;

/// What the columns are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Which colour it has.
    pub colour: usize,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Where it begins …
    pub from: f64,
    /// … and ends.
    pub until: f64,
    /// How high each part of it is, the lowest first.
    pub heights: Vec<f64>,
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// What it shows, in a few words.
    pub title: String,
    /// The same in a sentence, for who cannot see it.
    pub description: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What the columns are made of, the lowest first.
    pub parts: Vec<Part>,
    /// The columns.
    pub columns: Vec<Column>,
    /// What happened on the way.
    pub marks: Vec<Mark>,
}

impl Bars {
    /// The drawing; `id` tells it from the others of a page.
    #[must_use]
    pub fn svg(&self, id: &str) -> String {
        let frame = Frame { x: &self.x, y: &self.y, size: (WIDTH, HEIGHT), inset: 0.0, grid: true };
        let mut svg = frame.open(id, &self.title, &self.description);
        frame.draw_axes(&mut svg);
        for column in &self.columns {
            self.draw(&frame, &mut svg, column);
        }
        self.marks.iter().for_each(|mark| frame.draw_mark(&mut svg, mark));
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, frame: &Frame<'_>, svg: &mut String, column: &Column) {
        let (left, right) = (frame.at_x(column.from), frame.at_x(column.until));
        let gap = if right - left > 4.0 * GAP { GAP } else { 0.0 };
        let mut below = 0.0;
        for (part, height) in self.parts.iter().zip(&column.heights) {
            let (bottom, top) = (frame.at_y(below), frame.at_y(below + height));
            below += height;
            if bottom - top < 0.05 {
                continue;
            }
            let _ = writeln!(
                svg,
                "<rect class=\"{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {}</title></rect>",
                fill_of(part.colour),
                (right - left - gap).max(0.1),
                bottom - top,
                escape(&part.name),
                escape(&short(*height))
            );
        }
    }
}

/// The classes that give a part its look, here and in a legend.
pub(super) fn fill_of(colour: usize) -> String {
    let again = if colour / COLOURS % 2 == 1 { " pale" } else { "" };
    format!("f{}{again}", colour % COLOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(columns: Vec<Column>) -> Bars {
        let part = |name: &str, colour| Part { name: name.into(), colour };
        Bars {
            title: "Brakes <all>".into(),
            description: "What held it up.".into(),
            x: Axis::linear("s", 0.0, [10.0]),
            y: Axis::linear("%", 0.0, [100.0]),
            parts: vec![part("shards", 2), part("the & archive", 8)],
            columns,
            marks: Vec::new(),
        }
    }

    #[test]
    fn parts_stand_on_top_of_each_other_and_empty_ones_are_not_drawn() {
        let column = |from, heights: &[f64]| Column { from, until: from + 5.0, heights: heights.to_vec() };
        let svg = bars(vec![column(0.0, &[60.0, 40.0]), column(5.0, &[0.0, 100.0])]).svg("b");
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert!(svg.contains("<title id=\"b-title\">Brakes &lt;all&gt;</title>"), "{svg}");
        let room = Frame::room(HEIGHT);
        let (low, high) = (room * 0.6, room * 0.4);
        assert!(svg.contains(&format!("height=\"{low:.1}\"><title>shards: 60")), "{svg}");
        assert!(svg.contains(&format!("y=\"28.0\" width=\"172.0\" height=\"{high:.1}\"")), "{svg}");
        assert!(svg.contains("f2 pale") && svg.contains("the &amp; archive: 100"), "{svg}");
    }

    #[test]
    fn nothing_is_a_drawing_too() {
        assert!(bars(Vec::new()).svg("b").ends_with("</svg>\n"));
        let odd = Column { from: 3.0, until: 3.0, heights: vec![f64::NAN, f64::INFINITY, 1.0] };
        assert!(!bars(vec![odd]).svg("b").contains("NaN"));
    }
}
