//! Figures compared with their targets.

use crate::table::{Table, cell};

/// How a figure compares with its limit.
#[derive(Clone, Copy)]
pub(crate) enum Good {
    AtMost,
    AtLeast,
    /// At most this far from the limit, as a share of it.
    Near(f64),
}

/// One figure with its goal.
pub(crate) struct Goal {
    /// Name, with the unit.
    pub(crate) figure: String,
    pub(crate) good: Good,
    pub(crate) target: f64,
    /// A better target.
    pub(crate) stretch: Option<f64>,
    /// Decimals shown.
    pub(crate) digits: usize,
    /// The measured value.
    pub(crate) found: Option<f64>,
}

impl Good {
    fn holds(self, found: f64, limit: f64) -> bool {
        match self {
            Self::AtMost => found <= limit,
            Self::AtLeast => found >= limit,
            Self::Near(share) => (found - limit).abs() <= limit * share,
        }
    }

    fn written(self, limit: f64) -> String {
        match self {
            Self::AtMost => format!("≤ {limit}"),
            Self::AtLeast => format!("≥ {limit}"),
            Self::Near(share) => format!("{limit} ± {} %", share * 100.0),
        }
    }
}

/// Prints the goals.
pub(crate) fn print(goals: &[Goal]) {
    println!("### Targets\n");
    let mut table = Table::new(["figure", "target", "found", "met", "stretch", "reached"]);
    let word = |found: Option<f64>, good: Good, limit: f64, words: [&str; 2]| match found {
        Some(found) => words[usize::from(good.holds(found, limit))].to_owned(),
        None => "not measured".to_owned(),
    };
    for goal in goals {
        let Goal { good, found, .. } = *goal;
        table.row([
            goal.figure.clone(),
            good.written(goal.target),
            cell(found, goal.digits),
            word(found, good, goal.target, ["**missed**", "met"]),
            goal.stretch
                .map_or_else(String::new, |stretch| good.written(stretch)),
            goal.stretch.map_or_else(String::new, |stretch| {
                word(found, good, stretch, ["no", "yes"])
            }),
        ]);
    }
    table.print();
}
