//! What the table and the plot of a case show: a row for each registry, or for each step that figures were taken at.

use crate::cases::Case;
use crate::figure::{Measured, Spread};
use crate::peer::Kind;

/// Between what a figure tells and the step that it was taken at.
const STEP: &str = " · ";

pub struct Table {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Line>,
}

pub struct Line {
    pub name: String,
    pub kind: Kind,
    /// One for each column.
    pub cells: Vec<Option<Spread>>,
}

impl Table {
    pub fn of(case: &Case, measured: &Measured) -> Self {
        let mut columns: Vec<&'static str> = Vec::new();
        let mut steps: Vec<Option<&'static str>> = Vec::new();
        for figure in case.figures {
            let (what, step) = figure.split_once(STEP).map_or((*figure, None), |(what, step)| (what, Some(step)));
            if !columns.contains(&what) {
                columns.push(what);
            }
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        let kinds = measured.kinds();
        let mut rows = Vec::new();
        for step in steps {
            for kind in &kinds {
                let name = match step {
                    None => kind.name().to_owned(),
                    Some(step) if kinds.len() == 1 => step.to_owned(),
                    Some(step) => format!("{}, {step}", kind.name()),
                };
                let figure = |what: &str| step.map_or(what.to_owned(), |step| format!("{what}{STEP}{step}"));
                let cells = columns.iter().map(|what| measured.spread(*kind, &figure(what))).collect();
                rows.push(Line { name, kind: *kind, cells });
            }
        }
        Self { columns, rows }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::figure::Figures;

    #[test]
    fn figures_of_several_steps_are_a_row_each() {
        let case = cases::all().into_iter().find(|case| case.id == "P19").unwrap();
        let figures: Figures =
            case.figures.iter().zip(0_u32..).map(|(name, at)| ((*name).to_owned(), at.into())).collect();
        let measured = Measured { runs: vec![(Kind::Roadstead, figures)], ..Measured::default() };
        let table = Table::of(&case, &measured);
        assert_eq!(table.columns.len(), 5);
        assert_eq!(table.rows.iter().map(|row| &*row.name).collect::<Vec<_>>(), ["100", "1000", "10 000", "100 000"]);
        let seen: Vec<f64> = table.rows.iter().flat_map(|row| &row.cells).flatten().map(|cell| cell.median).collect();
        assert_eq!(seen, (0..20).map(f64::from).collect::<Vec<_>>());
    }
}
