//! The paper: one HTML file with its style inside and nothing outside.

use std::fmt::Write as _;

use super::chart::{Chart, class_of};

/// Colours by role, twice; type from the system; a grid that becomes one column on a phone.
const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--grid:#e4e8ec;--axis:#8b949e;\
--c0:#0b62d6;--c1:#b8500b;--c2:#16794a;--c3:#8a35c2;--c4:#b3245f;--c5:#5c6a00}\
@media(prefers-color-scheme:dark){:root{--paper:#12161b;--ink:#e8ecf0;--soft:#a3adb8;--grid:#29313a;--axis:#6e7985;\
--c0:#6cb0ff;--c1:#ffab66;--c2:#5fd39a;--c3:#cf9bff;--c4:#ff8fb5;--c5:#cbd75a}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:1120px;padding:24px 16px 48px;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:0 0 2px}\
p{margin:0 0 12px;max-width:75ch}.soft{color:var(--soft)}\
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:28px 24px;margin:20px 0}\
figure{margin:0;min-width:0}figure svg{display:block;width:100%;height:auto}\
figcaption{color:var(--soft);font-size:.87rem}\
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;margin:2px 0 4px;padding:0;list-style:none;font-size:.87rem}\
figure .legend svg{display:inline-block;width:26px;height:10px;margin-right:6px}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.83rem;width:100%}\
th,td{padding:5px 7px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--grid)}\
th{color:var(--soft);font-weight:600}tr>:first-child{padding-left:0}\
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}\
svg text{font-family:inherit;fill:var(--soft)}svg .tick{font-size:13px}svg .label{font-size:13px;fill:var(--ink)}\
svg .grid{stroke:var(--grid)}svg .axis{stroke:var(--axis)}svg .guide{stroke:var(--axis);stroke-dasharray:2 4}\
svg .line{fill:none;stroke-width:2.2;stroke-linejoin:round}svg .ideal{stroke:var(--ink);stroke-width:1.3;stroke-dasharray:5 4;opacity:.7}\
svg .again{stroke-dasharray:2 3}svg circle.again{stroke-dasharray:none}\
svg circle{fill:var(--paper);stroke-width:2}\
@media print{body{max-width:none}}";

/// A page that is being written.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    title: String,
    body: String,
    charts: usize,
}

impl Page {
    /// An empty page with a heading.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.into(), body: format!("<h1>{}</h1>\n", escape(title)), charts: 0 }
    }

    /// Adds a paragraph; a `soft` one is there for who looks for it.
    pub fn paragraph(&mut self, text: &str, soft: bool) {
        let class = if soft { " class=\"soft\"" } else { "" };
        let _ = writeln!(self.body, "<p{class}>{}</p>", escape(text));
    }

    /// Adds drawings, side by side where there is room, each with a legend if it has more than one line.
    pub fn charts(&mut self, charts: &[Chart]) {
        self.body.push_str("<div class=\"grid\">\n");
        for chart in charts {
            self.charts += 1;
            let _ = write!(
                self.body,
                "<figure>\n<h2>{}</h2>\n<figcaption>{}</figcaption>\n{}{}</figure>\n",
                escape(&chart.title),
                escape(&chart.description),
                legend(chart),
                chart.svg(&format!("chart-{}", self.charts))
            );
        }
        self.body.push_str("</div>\n");
    }

    /// Adds a table. On a narrow screen it scrolls by itself.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.body.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
        for cell in head {
            let _ = write!(self.body, "<th scope=\"col\">{}</th>", escape(cell));
        }
        self.body.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for cell in row {
                let _ = write!(self.body, "<td>{}</td>", escape(cell));
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

fn legend(chart: &Chart) -> String {
    if chart.series.len() < 2 {
        return String::new();
    }
    let mut list = String::from("<ul class=\"legend\">\n");
    for series in &chart.series {
        let _ = writeln!(
            list,
            "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"line {}\" d=\"M1 5 L25 5\"/></svg>{}</li>",
            class_of(series.colour, series.ideal),
            escape(&series.name)
        );
    }
    list.push_str("</ul>\n");
    list
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
        let html = page.html();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains('\u{1b}') && !html.contains('\u{202e}'));
        assert_eq!(html.matches("&lt;script&gt;").count(), 5, "{html}");
    }

    #[test]
    fn the_file_asks_nobody_for_anything() {
        let html = Page::new("x").html();
        for outside in ["http:", "https:", "url(", "@import", "<link", "src="] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
