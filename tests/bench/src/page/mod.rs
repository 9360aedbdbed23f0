//! The page: for each case a table and a plot, what was promised and what became of it.

mod plot;
mod table;
mod why;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cases::{self, Case};
use crate::figure::{Against, Good, Spread, Target};
use crate::peer::Kind;
use crate::runner::{Results, Row};

use table::{Line, Table};

/// Writes it, and each plot into the directory beside it that is called like it.
pub fn write(path: &Path, results: &Results) -> Result<()> {
    let name = path.file_stem().and_then(|name| name.to_str()).context("the page has no name")?;
    let plots = path.with_file_name(name);
    std::fs::create_dir_all(&plots)?;
    for (case, row) in rows(results) {
        std::fs::write(plots.join(format!("{}.svg", case.id)), plot::bars(&Table::of(&case, &row.measured)))?;
    }
    std::fs::write(path, page(results, name)?)?;
    Ok(())
}

fn rows(results: &Results) -> impl Iterator<Item = (Case, &Row)> {
    let row = |case: &Case| results.rows.iter().find(|row| row.measured.id == case.id);
    cases::all().into_iter().filter_map(move |case| row(&case).map(|row| (case, row)))
}

fn page(results: &Results, plots: &str) -> Result<String> {
    let mut page = String::from(HEAD);
    writeln!(page, "\nMachine: {}.\n", results.machine)?;
    writeln!(page, "| registry | version | what is on the disk when a push is acknowledged |\n|---|---|---|")?;
    for (kind, version) in &results.versions {
        writeln!(page, "| {} | {version} | {} |", kind.name(), kind.durability())?;
    }
    if !results.versions.iter().any(|(kind, _)| *kind == Kind::Zot) {
        writeln!(
            page,
            "\nzot is missing: it is not to be had as a package; `ZOT=/path/to/zot make bench` takes it along."
        )?;
    }
    writeln!(page, "\n## All targets\n\n| case | target | seen | |\n|---|---|---|---|")?;
    for (case, row) in rows(results) {
        for target in case.targets {
            let quick = if row.is_quick { " (quick)" } else { "" };
            let (seen, word) = match target.judge(&row.measured) {
                Some(verdict) => (times(target, verdict.ratio), if verdict.is_met { "met" } else { "**missed**" }),
                None => ("–".to_owned(), "not measured"),
            };
            writeln!(
                page,
                "| [{}](#{}){quick} {} | {} | {seen} | {word} |",
                case.id,
                anchor(&case),
                case.title,
                told(target)
            )?;
        }
    }
    for (case, row) in rows(results) {
        section(&mut page, &case, row, plots)?;
    }
    Ok(page)
}

fn section(page: &mut String, case: &Case, row: &Row, plots: &str) -> Result<()> {
    let measured = &row.measured;
    writeln!(page, "\n## {}: {}\n\n{}{}.", case.id, case.title, case.how[..1].to_uppercase(), &case.how[1..])?;
    let pinned = if case.needs.pinned { " The server has one processor to itself, the clients the other." } else { "" };
    let runs = measured.runs.iter().filter(|(kind, _)| *kind == Kind::Roadstead).count();
    let quick = if row.is_quick { " **Quick: a tenth of the sizes.**" } else { "" };
    let rests =
        if case.needs.rests { " Before each turn the disk rests, until it takes what it took at first." } else { "" };
    writeln!(page, "Runs in turns: {runs}.{pinned}{rests}{quick} Measured {}.\n", row.time)?;
    writeln!(page, "![{}]({plots}/{}.svg)\n", case.title, case.id)?;
    let table = Table::of(case, measured);
    writeln!(page, "| | {} |", table.columns.join(" | "))?;
    writeln!(page, "|---|{}", "---|".repeat(table.columns.len()))?;
    for Line { name, cells, .. } in table.rows {
        let cells = cells.into_iter().map(|spread| spread.map_or("–".to_owned(), cell));
        writeln!(page, "| {name} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
    }
    let mut is_missed = false;
    for target in case.targets {
        if let Some(verdict) = target.judge(measured) {
            is_missed |= !verdict.is_met;
            let word = if verdict.is_met { "met" } else { "**missed**" };
            let with = verdict.with.map_or(String::new(), |kind| format!(" (of {})", kind.name()));
            writeln!(page, "\nTarget: {}. Seen: {}{with}: {word}.", told(target), times(target, verdict.ratio))?;
        }
    }
    if let Some((figure, wall)) = case.limit
        && let (Some(ours), [before, after]) = (measured.spread(Kind::Roadstead, figure), &row.calibration)
        && let (Some(before), Some(after)) = (before.get(wall), after.get(wall))
    {
        let share = 100.0 * ours.median / f64::midpoint(*before, *after);
        writeln!(page, "\nOf the wall: {share:.0} % ({wall}: {} before, {} after).", short(*before), short(*after))?;
    }
    if let Some(why) = why::why(case.id).filter(|_| is_missed) {
        writeln!(page, "\n{why}")?;
    }
    for note in &measured.notes {
        writeln!(page, "\n{note}.")?;
    }
    for (kind, why) in &measured.missing {
        writeln!(page, "\n{}: {why}.", kind.name())?;
    }
    Ok(())
}

fn anchor(case: &Case) -> String {
    let text = format!("{}: {}", case.id, case.title).to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn told(target: &Target) -> String {
    let word = match target.good {
        Good::More => "at least",
        Good::Less => "at most",
    };
    let whose = match target.against {
        Against::Best => " of the best other",
        Against::Distribution => " of distribution",
        Against::ZotCommit => " of zot with commit",
        Against::Etcd => " of etcd",
        Against::Itself => return format!("{} {word} {}", target.figure, short(target.ratio)),
        Against::Own(other) => return format!("{} {word} {} × {other}", target.figure, short(target.ratio)),
    };
    format!("{} {word} {} ×{whose}", target.figure, short(target.ratio))
}

fn times(target: &Target, ratio: f64) -> String {
    if target.against == Against::Itself { short(ratio) } else { format!("{} ×", short(ratio)) }
}

fn cell(spread: Spread) -> String {
    if spread.most <= spread.least {
        return short(spread.median);
    }
    format!("**{}** ({}–{})", short(spread.median), short(spread.least), short(spread.most))
}

/// Three digits, as far as there are some.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if digits > 0 || value < 10_000.0 {
        return text;
    }
    // Thousands apart.
    let mut grouped = String::new();
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

const HEAD: &str = "# Benchmarks

Registries side by side: started one after the other on one machine, filled, and measured in turns (A, B, A, B …) by the same clients,
which follow the OCI distribution specification and compare every byte that comes back with what was pushed. Numbers are medians of the
runs, with the least and the most of them. `make bench` writes this page and `benchmarks/results.json`; `make bench ONLY=P9` measures one
case again, `make bench QUICK=1` all of them in some minutes with a tenth of the sizes. Logs are off everywhere.
";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::figure::{Figures, Measured};

    #[test]
    fn numbers_are_told_with_three_digits() {
        for (value, text) in [
            (0.1234, "0.123"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1234"),
            (123_456.0, "123 456"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn the_page_tells_what_was_met_what_was_missed_and_what_is_not_there() {
        let run = |kind, rate: f64| {
            let figures: Figures =
                [("GET/s", rate), ("p50, µs", 10.0), ("p99, µs", 20.0)].map(|(n, v)| (n.to_owned(), v)).into();
            (kind, figures)
        };
        let measured = |id: &str, ours: f64| Measured {
            id: id.to_owned(),
            runs: vec![run(Kind::Roadstead, ours), run(Kind::Distribution, 10.0)],
            missing: vec![(Kind::Zot, "it fell over".to_owned())],
            notes: vec!["distribution: 7 tags of 10".to_owned()],
        };
        let row = |measured| Row { measured, is_quick: true, calibration: Default::default(), time: "now".to_owned() };
        let results = Results {
            machine: "one".to_owned(),
            versions: vec![(Kind::Roadstead, "1".to_owned())],
            rows: vec![row(measured("P1", 50.0)), row(measured("P2", 30.0))],
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("benchmarks.md");
        write(&path, &results).unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        for said in [
            "| GET/s at least 4.00 × of the best other | 5.00 × | met |",
            "| GET/s at least 4.00 × of distribution | 3.00 × | **missed** |",
            "| GET/s at least 20.0 × of zot with commit | – | not measured |",
            "zot: it fell over.",
            "distribution: 7 tags of 10.",
            "zot is missing",
            "Quick",
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let plot = std::fs::read_to_string(directory.path().join("benchmarks/P1.svg")).unwrap();
        assert!(plot.contains("roadstead") && plot.contains("GET/s"));
    }
}
