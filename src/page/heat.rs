//! A heat map: rows over columns, each cell as dark as its value is high, as SVG.
//!
//! It is wider than the other drawings, and on a phone it scrolls in its box. Cells of one colour are one path, and
//! neighbours of one colour in a row one rectangle, so a map of tens of thousands of cells stays small. What was not measured is
//! left blank.

use std::fmt::Write as _;

use super::frame::{Frame, Mark};
use super::scale::{Axis, Scale};

const WIDTH: f64 = 820.0;
/// All rows together, if they are neither few nor many.
const ROWS_HEIGHT: f64 = 320.0;
const ROW_HEIGHT_MIN: f64 = 2.5;
const ROW_HEIGHT_MAX: f64 = 22.0;
/// Between the names of two rows.
const LABEL_GAP: f64 = 16.0;
/// Shades that can be told apart.
pub(super) const SHADES: u8 = 10;

/// A row of cells.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatRow {
    /// Its name.
    pub label: String,
    /// A value from 0 to 1 for each column; `None` where nothing was measured.
    pub cells: Vec<Option<f64>>,
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// What it shows, in a few words.
    pub title: String,
    /// The same in a sentence, for who cannot see it.
    pub description: String,
    /// The horizontal axis; the columns share it in equal parts of `column`.
    pub x: Axis,
    /// How wide a column is, in the horizontal axis' units.
    pub column: f64,
    /// What the rows are.
    pub rows_label: String,
    /// The rows, from the top.
    pub rows: Vec<HeatRow>,
    /// What stands at the two ends of the scale.
    pub ends: (String, String),
    /// What happened on the way.
    pub marks: Vec<Mark>,
}

impl HeatMap {
    /// The drawing; `id` tells it from the others of a page.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
    pub fn svg(&self, id: &str) -> String {
        let count = self.rows.len().max(1) as f64;
        let row_height = (ROWS_HEIGHT / count).clamp(ROW_HEIGHT_MIN, ROW_HEIGHT_MAX);
        let step = (LABEL_GAP / row_height).ceil();
        let mut ticks = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            let place = number as f64;
            if place % step < 0.5 {
                ticks.push((count - place - 0.5, row.label.clone()));
            }
        }
        let y = Axis { label: self.rows_label.clone(), scale: Scale::Linear, ends: (0.0, count), ticks };
        let height = Frame::around(row_height * count);
        let frame = Frame { x: &self.x, y: &y, size: (WIDTH, height), inset: 0.0, grid: false };
        let mut svg = frame.open(id, &self.title, &self.description);
        for shade in 0..SHADES {
            let path = self.path(&frame, shade);
            if !path.is_empty() {
                let _ = writeln!(svg, "<path class=\"{}\" d=\"{path}\"/>", shade_class(shade));
            }
        }
        frame.draw_axes(&mut svg);
        self.marks.iter().for_each(|mark| frame.draw_mark(&mut svg, mark));
        svg.push_str("</svg>\n");
        svg
    }

    /// All cells of a shade.
    #[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
    fn path(&self, frame: &Frame<'_>, shade: u8) -> String {
        let count = self.rows.len() as f64;
        let mut path = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let top = frame.at_y(count - number as f64);
            let bottom = frame.at_y(count - number as f64 - 1.0);
            let mut column = 0;
            for alike in row.cells.chunk_by(|one, next| one.map(shade_of) == next.map(shade_of)) {
                let (first, behind) = (column, column + alike.len());
                column = behind;
                if alike.first().copied().flatten().map(shade_of) != Some(shade) {
                    continue;
                }
                let left = frame.at_x(first as f64 * self.column);
                let width = frame.at_x(behind as f64 * self.column) - left;
                let _ = write!(path, "M{left:.1} {top:.1}h{width:.1}V{bottom:.1}h-{width:.1}z");
            }
        }
        path
    }
}

/// The shade of a value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, NaN becomes 0")]
fn shade_of(value: f64) -> u8 {
    ((value * f64::from(SHADES)) as u8).min(SHADES - 1)
}

/// The class that gives a shade its look, here and in a legend.
pub(super) fn shade_class(shade: u8) -> String {
    format!("h{shade}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: usize, columns: usize, value: impl Fn(usize, usize) -> Option<f64>) -> HeatMap {
        let value = &value;
        let row = |row: usize| HeatRow {
            label: format!("<{row}>"),
            cells: (0..columns).map(|column| value(row, column)).collect(),
        };
        HeatMap {
            title: "Shards".into(),
            description: "How much of its limit each used.".into(),
            x: Axis::elapsed("running", 240.0),
            column: 1.0,
            rows_label: "shard".into(),
            rows: (0..rows).map(row).collect(),
            ends: ("0 %".into(), "100 %".into()),
            marks: Vec::new(),
        }
    }

    #[test]
    fn cells_of_one_shade_are_one_path_and_what_was_not_measured_is_blank() {
        let values = [Some(0.95), Some(1.2), None, Some(0.0), Some(f64::NAN)];
        let svg = map(1, values.len(), |_, column| values[column]).svg("h");
        assert_eq!(svg.matches("<path").count(), 2, "{svg}");
        assert_eq!(svg.matches("h3.2V").count(), 0, "{svg}");
        // The two full ones are one rectangle, the two empty ones another.
        assert_eq!(svg.matches('V').count(), 2, "{svg}");
        assert!(svg.contains("class=\"h9\"") && svg.contains("class=\"h0\""), "{svg}");
        assert!(svg.contains("&lt;0&gt;"), "{svg}");
    }

    #[test]
    fn a_thousand_shards_over_weeks_stay_small_and_legible() {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let busy = map(128, 240, |row, column| Some(((row * 7 + column * 3) % 10) as f64 / 10.0));
        let svg = busy.svg("h");
        assert!(svg.len() < 1_200_000, "{}", svg.len());
        let labels = svg.matches("text-anchor=\"end\"").count();
        assert!((10..30).contains(&labels), "{labels}");
        let even = map(128, 240, |_, _| Some(0.97)).svg("h");
        assert!(even.len() < 12_000, "{}", even.len());
    }

    #[test]
    fn nothing_is_a_drawing_too() {
        assert!(map(0, 0, |_, _| None).svg("h").ends_with("</svg>\n"));
    }
}
