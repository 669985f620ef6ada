//! The paper: one HTML file with its style inside and nothing outside.

use std::fmt::Write as _;

use super::bars::{Bars, fill_of};
use super::chart::{Chart, class_of};
use super::heat::{HeatMap, SHADES, shade_class};

/// Colours by role, twice; type from the system; a grid that becomes one column on a phone.
const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--grid:#e4e8ec;--axis:#8b949e;--edge:#aab3bc;\
--c0:#0b62d6;--c1:#b8500b;--c2:#16794a;--c3:#8a35c2;--c4:#b3245f;--c5:#5c6a00}\
@media(prefers-color-scheme:dark){:root{--paper:#12161b;--ink:#e8ecf0;--soft:#a3adb8;--grid:#29313a;--axis:#6e7985;--edge:#5b6672;\
--c0:#6cb0ff;--c1:#ffab66;--c2:#5fd39a;--c3:#cf9bff;--c4:#ff8fb5;--c5:#cbd75a}}\
*{box-sizing:border-box}\
body{overflow-wrap:anywhere;margin:0 auto;max-width:1120px;padding:24px 16px 48px;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 4px}\
h2{font-size:1.05rem;margin:28px 0 8px}figure h2{margin:0 0 2px}\
p{margin:0 0 12px;max-width:75ch}.soft{color:var(--soft)}\
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:28px 24px;margin:20px 0}\
.wide{grid-column:1/-1}.wide .scroll svg{min-width:680px}\
figure{margin:0;min-width:0}figure svg{display:block;width:100%;height:auto}\
figcaption{color:var(--soft);font-size:.87rem}\
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;margin:2px 0 4px;padding:0;list-style:none;font-size:.87rem}\
figure .legend svg{display:inline-block;width:26px;height:10px;margin-right:6px}\
.scroll{overflow-x:auto;background:linear-gradient(90deg,var(--paper) 40%,transparent) 0 0/48px 100% no-repeat local,\
linear-gradient(270deg,var(--paper) 40%,transparent) 100% 0/48px 100% no-repeat local,\
linear-gradient(90deg,var(--edge),transparent) 0 0/14px 100% no-repeat,linear-gradient(270deg,var(--edge),transparent) 100% 0/14px 100% no-repeat}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.83rem;min-width:min(100%,640px)}\
table+*,.scroll+p,.bar+p{margin-top:16px}\
th,td{overflow-wrap:normal;padding:5px 7px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--grid)}\
th{color:var(--soft);font-weight:600}tr>:first-child{padding-left:0}.text{text-align:left;white-space:normal}\
.facts{min-width:0}.facts th,.facts td{overflow-wrap:anywhere;text-align:left;vertical-align:top;white-space:normal}.facts th{white-space:nowrap;padding-right:18px}\
.bar{display:grid;grid-template-columns:minmax(0,19rem) minmax(40px,1fr) 9rem;gap:2px 12px;align-items:center;font-size:.87rem;padding:3px 0}\
.bar b{height:10px;background:var(--grid);border-radius:2px;overflow:hidden}\
.bar i{display:block;height:100%;background:var(--c0)}.bar span:last-child{text-align:right;font-variant-numeric:tabular-nums}\
@media(max-width:711px){.wide figcaption::after{content:\" It is wider than the screen: push it aside.\"}}\
@media(max-width:600px){th,td{padding:5px 6px}th,.text{white-space:normal}.bar{grid-template-columns:minmax(0,1fr) auto}.bar b{grid-column:1/-1;grid-row:2}}\
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}\
svg text{font-family:inherit;fill:var(--soft)}svg .tick{font-size:13px}svg .halo{stroke:var(--paper);stroke-width:4px;stroke-linejoin:round;paint-order:stroke}svg .label{font-size:13px;fill:var(--ink)}\
svg .grid{stroke:var(--grid)}svg .axis{stroke:var(--axis)}svg .guide{stroke:var(--axis);stroke-dasharray:2 4}\
svg .line{fill:none;stroke-width:2.2;stroke-linejoin:round}svg .ideal{stroke:var(--ink);stroke-width:1.3;stroke-dasharray:5 4;opacity:.7}\
svg .c1.ideal{stroke-dasharray:1.5 3}svg .c2.ideal{stroke-dasharray:12 4}svg .c3.ideal{stroke-dasharray:9 3 2 3}svg .c4.ideal{stroke-dasharray:3 8}svg .c5.ideal{stroke-dasharray:9 3 2 3 2 3}\
svg .again{stroke-dasharray:2 3}svg circle.again{stroke-dasharray:none}\
svg circle{fill:var(--paper);stroke-width:2}svg .mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3;opacity:.75}\
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}.pale{fill-opacity:.5}\
.h0,.h1,.h2,.h3,.h4,.h5,.h6,.h7,.h8,.h9{fill:var(--c0)}.h0{fill-opacity:.05}.h1{fill-opacity:.12}.h2{fill-opacity:.2}.h3{fill-opacity:.28}\
.h4{fill-opacity:.37}.h5{fill-opacity:.47}.h6{fill-opacity:.58}.h7{fill-opacity:.7}.h8{fill-opacity:.84}\
figure .legend .shades{width:130px;height:12px;margin:0 8px}\
@media print{body{max-width:none}}";

/// Around what may be wider than the screen: it scrolls by itself, with the keyboard too, and its edge is shaded where there is more.
const SCROLL: &str = "<div class=\"scroll\" tabindex=\"0\">";

/// A page that is being written.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    title: String,
    body: String,
    figures: usize,
}

/// A drawing of some kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// Lines.
    Lines(Chart),
    /// Columns.
    Bars(Bars),
    /// Cells; it is as wide as the page.
    Heat(HeatMap),
}

/// A part of a whole, drawn as a bar in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is.
    pub label: String,
    /// From 0 to 1.
    pub part: f64,
    /// The same in words.
    pub value: String,
}

impl Figure {
    const fn texts(&self) -> (&String, &String) {
        match self {
            Self::Lines(chart) => (&chart.title, &chart.description),
            Self::Bars(bars) => (&bars.title, &bars.description),
            Self::Heat(map) => (&map.title, &map.description),
        }
    }
}

impl Page {
    /// An empty page with a heading.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.into(), body: format!("<h1>{}</h1>\n", escape(title)), figures: 0 }
    }

    /// Adds a paragraph; a `soft` one is there for who looks for it.
    pub fn paragraph(&mut self, text: &str, soft: bool) {
        let class = if soft { " class=\"soft\"" } else { "" };
        let _ = writeln!(self.body, "<p{class}>{}</p>", escape(text));
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h2>{}</h2>", escape(text));
    }

    /// Adds drawings, side by side where there is room, each with a legend if it has more than one line.
    pub fn figures(&mut self, figures: &[Figure]) {
        self.body.push_str("<div class=\"grid\">\n");
        for figure in figures {
            self.figures += 1;
            let (title, description) = figure.texts();
            let id = format!("figure-{}", self.figures);
            let (class, legend, svg) = match figure {
                Figure::Lines(chart) => ("", lines_legend(chart), chart.svg(&id)),
                Figure::Bars(bars) => ("", bars_legend(bars), bars.svg(&id)),
                Figure::Heat(map) => {
                    let svg = format!("{SCROLL}{}</div>\n", map.svg(&id));
                    (" class=\"wide\"", heat_legend(map), svg)
                }
            };
            let _ = write!(
                self.body,
                "<figure{class}>\n<h2>{}</h2>\n<figcaption>{}</figcaption>\n{legend}{svg}</figure>\n",
                escape(title),
                escape(description)
            );
        }
        self.body.push_str("</div>\n");
    }

    /// Adds labels with what they say.
    pub fn facts(&mut self, facts: &[(&str, String)]) {
        self.body.push_str("<table class=\"facts\"><tbody>\n");
        for (label, value) in facts {
            let (label, value) = (escape(label), escape(value));
            let _ = writeln!(self.body, "<tr><th scope=\"row\">{label}</th><td>{value}</td></tr>");
        }
        self.body.push_str("</tbody></table>\n");
    }

    /// Adds a list of bars.
    pub fn bars(&mut self, bars: &[Bar]) {
        for bar in bars {
            let width = if bar.part.is_finite() { bar.part.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
            let _ = writeln!(
                self.body,
                "<div class=\"bar\"><span>{}</span><b><i style=\"width:{width:.1}%\"></i></b><span>{}</span></div>",
                escape(&bar.label),
                escape(&bar.value)
            );
        }
    }

    /// Adds a table. On a narrow screen it scrolls by itself. Columns whose first cell is a word are words.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let is_text = |column: usize| {
            let letter = |cell: &String| cell.chars().next().is_some_and(char::is_alphabetic);
            rows.first().and_then(|row| row.get(column)).is_some_and(letter)
        };
        let class = |column: usize| if is_text(column) { " class=\"text\"" } else { "" };
        let _ = write!(self.body, "{SCROLL}<table>\n<thead><tr>");
        for (column, cell) in head.iter().enumerate() {
            let _ = write!(self.body, "<th scope=\"col\"{}>{}</th>", class(column), escape(cell));
        }
        self.body.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let _ = write!(self.body, "<td{}>{}</td>", class(column), escape(cell));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// The whole file.
    #[must_use]
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            escape(&self.title),
            self.body
        )
    }
}

fn lines_legend(chart: &Chart) -> String {
    let sign = |(class, name)| {
        let path = format!("<path class=\"line {class}\" d=\"M1 5 L25 5\"/>");
        (path, name)
    };
    let lines = chart.series.iter().map(|series| (class_of(series.colour, series.ideal), &series.name));
    legend(lines.map(sign))
}

fn bars_legend(bars: &Bars) -> String {
    let sign = |(class, name)| (format!("<rect class=\"{class}\" width=\"26\" height=\"10\"/>"), name);
    legend(bars.parts.iter().map(|part| (fill_of(part.colour), &part.name)).map(sign))
}

/// A sign and a name for each, if they are several.
fn legend<'a>(entries: impl ExactSizeIterator<Item = (String, &'a String)>) -> String {
    if entries.len() < 2 {
        return String::new();
    }
    let mut list = String::from("<ul class=\"legend\">\n");
    for (sign, name) in entries {
        let name = escape(name);
        let _ = writeln!(list, "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\">{sign}</svg>{name}</li>");
    }
    list.push_str("</ul>\n");
    list
}

fn heat_legend(map: &HeatMap) -> String {
    let (low, high) = (escape(&map.ends.0), escape(&map.ends.1));
    let mut shades = String::new();
    for shade in 0..SHADES {
        let x = u32::from(shade) * 10;
        let _ =
            write!(shades, "<rect class=\"{}\" x=\"{x}\" width=\"10\" height=\"10\"/>", shade_class(shade));
    }
    format!(
        "<ul class=\"legend\"><li>{low}<svg class=\"shades\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\">{shades}</svg>{high}</li></ul>\n"
    )
}

/// Text as it may stand between tags and in quoted attributes. What cannot be printed is shown escaped.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters, and those that turn the direction of what follows.
            c if c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_becomes_markup() {
        let nasty = "</td><script>alert('x')</script> \"&\" \u{1b}[2J \u{202e}";
        let mut page = Page::new(nasty);
        page.paragraph(nasty, true);
        page.table(&[nasty], &[vec![nasty.into()]]);
        page.heading(nasty);
        page.facts(&[(nasty, nasty.into())]);
        page.bars(&[Bar { label: nasty.into(), part: f64::NAN, value: nasty.into() }]);
        let html = page.html();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains('\u{1b}') && !html.contains('\u{202e}'));
        assert_eq!(html.matches("&lt;script&gt;").count(), 10, "{html}");
    }

    #[test]
    fn the_file_asks_nobody_for_anything() {
        let html = Page::new("x").html();
        for outside in ["http:", "https:", "url(", "@import", "<link", "src="] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
