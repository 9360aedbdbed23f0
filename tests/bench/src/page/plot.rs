//! Plots as SVG: a bar for each row and column of a table, as long as its share of the longest.

use std::fmt::Write as _;

use super::short;
use super::table::Table;
use crate::peer::Kind;

const WIDTH: f64 = 720.0;
const LABEL: f64 = 190.0;
const ROOM: f64 = 120.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;

const fn color(kind: Kind) -> &'static str {
    match kind {
        Kind::Roadstead => "#0b7285",
        Kind::Distribution => "#adb5bd",
        Kind::ZotCommit => "#868e96",
        Kind::Zot => "#ced4da",
        Kind::Etcd => "#91a7ff",
    }
}

/// The medians, with a line from the least run to the most.
pub fn bars(table: &Table) -> String {
    let (mut body, mut y) = (String::new(), GAP);
    for (at, figure) in table.columns.iter().enumerate() {
        let lines: Vec<_> = table.rows.iter().filter_map(|row| Some((row, row.cells[at]?))).collect();
        let longest = lines.iter().map(|(_, spread)| spread.most).fold(f64::MIN_POSITIVE, f64::max);
        let scale = |value: f64| (WIDTH - LABEL - ROOM) * value.max(0.0) / longest;
        let _ = writeln!(body, "<text x=\"0\" y=\"{}\" class=\"figure\">{}</text>", y + 13.0, escaped(figure));
        y += BAR + 2.0;
        for (row, spread) in lines {
            let (middle, end) = (y + BAR / 2.0, LABEL + scale(spread.median));
            let _ = writeln!(
                body,
                "<text x=\"0\" y=\"{}\">{}</text><rect x=\"{LABEL}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"/>\
                 <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
                y + 13.0,
                escaped(&row.name),
                scale(spread.median).max(1.0),
                color(row.kind),
                LABEL + scale(spread.least),
                LABEL + scale(spread.most),
                end.max(LABEL + scale(spread.most)) + 6.0,
                y + 13.0,
                short(spread.median)
            );
            y += BAR + 2.0;
        }
        y += GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\">\n\
         <style>text {{ font: 12px sans-serif; fill: #495057 }} .figure {{ font-weight: bold }} line {{ stroke: #212529 }}</style>\n\
         {body}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
