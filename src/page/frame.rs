//! What all drawings have around them: a size, a title for who cannot see it, two axes, and lines across.
//!
//! A drawing has one fixed size in units of its own and is stretched by the browser, so it is made as narrow as its
//! text allows: on a phone it is shown at nine tenths, and what is written can still be read.

use std::fmt::Write as _;

use super::html::escape;
use super::scale::Axis;

pub(super) const WIDTH: f64 = 400.0;
pub(super) const HEIGHT: f64 = 270.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 6.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 46.0;
/// Between two numbers on the horizontal axis, at least.
const TICK_GAP: f64 = 8.0;
/// About how wide a letter is.
const LETTER: f64 = 7.6;

/// A horizontal line that values are held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// Where it runs.
    pub at: f64,
    /// What it says.
    pub label: String,
}

/// A vertical line: something happened there.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where it stands.
    pub at: f64,
    /// What it says.
    pub label: String,
}

/// The frame of one drawing.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// The horizontal axis.
    pub(super) x: &'a Axis,
    /// The vertical axis.
    pub(super) y: &'a Axis,
    /// The drawing's size.
    pub(super) size: (f64, f64),
    /// Room between the ends of the horizontal axis and what is drawn there.
    pub(super) inset: f64,
    /// Whether the numbers on the vertical axis have lines.
    pub(super) grid: bool,
}

impl Frame<'_> {
    /// The beginning of the drawing; `id` tells it from the others of a page.
    pub(super) fn open(&self, id: &str, title: &str, description: &str) -> String {
        let (id, (width, height)) = (escape(id), self.size);
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
             <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
            escape(title),
            escape(description)
        )
    }

    pub(super) fn right(&self) -> f64 {
        self.size.0 - RIGHT
    }

    pub(super) fn bottom(&self) -> f64 {
        self.size.1 - BOTTOM
    }

    /// Height of what lies between the axis and the upper edge.
    pub(super) const fn room(height: f64) -> f64 {
        height - TOP - BOTTOM
    }

    /// The height of a drawing with so much room.
    pub(super) const fn around(room: f64) -> f64 {
        room + TOP + BOTTOM
    }

    pub(super) fn at_x(&self, value: f64) -> f64 {
        let width = self.right() - LEFT - 2.0 * self.inset;
        self.x.place(value).mul_add(width, LEFT + self.inset)
    }

    pub(super) fn at_y(&self, value: f64) -> f64 {
        self.bottom() - self.y.place(value) * Self::room(self.size.1)
    }

    pub(super) fn draw_axes(&self, svg: &mut String) {
        let (right, bottom) = (self.right(), self.bottom());
        for (value, text) in &self.y.ticks {
            let y = self.at_y(*value);
            if self.grid {
                let _ = write!(
                    svg,
                    "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>"
                );
            }
            let _ = writeln!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                escape(text)
            );
        }
        self.draw_x_ticks(svg);
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"2\" y=\"12\">{}</text>\
             <line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
             <text class=\"label\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            escape(&self.y.label),
            f64::midpoint(LEFT, right),
            self.size.1 - 10.0,
            escape(&self.x.label)
        );
    }

    fn draw_x_ticks(&self, svg: &mut String) {
        let bottom = self.bottom();
        let half = |text: &str| letters(text) * LETTER / 2.0;
        // The last number would stand out of the paper.
        let middle = |value: f64, text: &str| self.at_x(value).min(self.size.0 - half(text));
        // It says how far the axis goes, so the others make room for it.
        let last = self.x.ticks.last().map_or(0.0, |(value, text)| middle(*value, text) - half(text));
        let mut free = f64::NEG_INFINITY;
        for (place, (value, text)) in self.x.ticks.iter().enumerate() {
            let x = self.at_x(*value);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{}\"/>",
                bottom + 4.0
            );
            let (middle, half) = (middle(*value, text), half(text));
            let is_last = place + 1 == self.x.ticks.len();
            if is_last || (middle - half >= free && middle + half + TICK_GAP <= last) {
                free = middle + half + TICK_GAP;
                let _ = writeln!(
                    svg,
                    "<text class=\"tick\" x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    bottom + 17.0,
                    escape(text)
                );
            }
        }
    }

    pub(super) fn draw_guide(&self, svg: &mut String, guide: &Guide) {
        let (y, right) = (self.at_y(guide.at), self.right());
        let _ =
            writeln!(svg, "<line class=\"guide\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>");
    }

    /// What a guide says, at the end of its line and on the side of it where least of what is `drawn` is in the way.
    pub(super) fn name_guide(&self, svg: &mut String, guide: &Guide, drawn: &[(f64, f64)]) {
        let y = self.at_y(guide.at);
        let width = letters(&guide.label) * LETTER;
        let (left, right) = (LEFT + 6.0, self.right() - 6.0 - width);
        let places = [(left, y - 5.0), (right, y - 5.0), (left, y + 14.0), (right, y + 14.0)];
        let inside = |(_, y): &(f64, f64)| *y > TOP && *y < self.bottom() - 2.0;
        let covered = |(from, base): &(f64, f64)| {
            let hit = |(x, y): &&(f64, f64)| {
                (from - 5.0..from + width + 5.0).contains(x) && (base - 15.0..base + 7.0).contains(y)
            };
            drawn.iter().filter(hit).count()
        };
        let (x, y) = places.into_iter().filter(inside).min_by_key(covered).unwrap_or((left, y - 5.0));
        let label = escape(&guide.label);
        let _ = writeln!(svg, "<text class=\"tick halo\" x=\"{x:.1}\" y=\"{y:.1}\">{label}</text>");
    }

    pub(super) fn draw_mark(&self, svg: &mut String, mark: &Mark) {
        let (x, bottom) = (self.at_x(mark.at), self.bottom());
        // On the side where there is more room.
        let left_half = x < f64::midpoint(LEFT, self.right());
        let (text_x, anchor) = if left_half { (x + 4.0, "start") } else { (x - 4.0, "end") };
        let _ = writeln!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{text_x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            TOP - 8.0,
            TOP - 2.0,
            escape(&mark.label)
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "the letters of a word")]
fn letters(text: &str) -> f64 {
    text.chars().count() as f64
}
