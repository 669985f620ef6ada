//! Pages that a browser shows: one file, no network, light and dark, on a phone and on a wall.
//!
//! [`Chart`] draws lines between two axes as SVG, [`Bars`] columns, [`HeatMap`] cells; [`Page`] is the paper around them:
//! headings, tables, legends and the style that all of them share. What stands in text is escaped here and nowhere
//! else, so callers pass what they have. Nothing here knows what is shown.

mod bars;
mod chart;
mod frame;
mod heat;
mod html;
mod scale;

pub use bars::{Bars, Column, Part};
pub use chart::{Chart, Series};
pub use frame::{Guide, Mark};
pub use heat::{HeatMap, HeatRow};
pub use html::{Bar, Figure, Page, escape};
pub use scale::{Axis, Scale, short, unit_of_bytes};
