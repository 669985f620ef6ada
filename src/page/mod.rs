//! Pages that a browser shows: one file, no network, light and dark, on a phone and on a wall.
//!
//! [`Chart`] draws lines between two axes as SVG, [`Page`] is the paper around it: headings, tables, legends and the
//! style that all of them share. What stands in text is escaped here and nowhere else, so callers pass
//! what they have. Nothing here knows what is shown.

mod chart;
mod html;
mod scale;

pub use chart::{Chart, Guide, Series};
pub use html::{Page, escape};
pub use scale::{Axis, Scale, short};
