//! Strategies: the way from the first check of a run to promotion.
//!
//! A strategy is one file, one variant of [`Strategy`] and one match arm. It alone defines which traffic comes after
//! which; status, validation, page and command line use it.

mod weighted;

use std::fmt;

use crate::observed::Weights;
pub use weighted::Steps;

/// The point that a run has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Live traffic.
    pub traffic: Weights,
    /// Number of checks that have passed, for strategies that count them.
    pub iterations: u32,
}

/// The rules of one strategy.
trait Rules {
    /// The position after a passed check, or `None` if promotion is next. From any position, a finite number of steps
    /// leads to promotion.
    fn next(&self, at: Position) -> Option<Position>;

    /// The position as text of an event: `canary weight 10`.
    fn describe(&self, reached: Position) -> String;

    /// The strategy as text of an alert: `Weight step: 10 max: 50`.
    fn summary(&self) -> String;

    /// The strategy as text for a terminal: `10% up to 50%`.
    fn display(&self) -> String;
}

/// The way from the first check of a run to promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// The share of requests that go to the canary grows.
    Weighted(Steps),
}

impl Strategy {
    fn rules(&self) -> &dyn Rules {
        match self {
            Strategy::Weighted(steps) => steps,
        }
    }

    /// The position after a check passed at `at`, or `None` if promotion is next.
    #[must_use]
    pub fn next(&self, at: Position) -> Option<Position> {
        self.rules().next(at)
    }

    /// A position as text of Flagger's events: `canary weight 10`.
    #[must_use]
    pub fn describe(&self, reached: Position) -> String {
        self.rules().describe(reached)
    }

    /// The strategy as text of Flagger's alerts: `Weight step: 10 max: 50`.
    #[must_use]
    pub fn summary(&self) -> String {
        self.rules().summary()
    }

    /// All positions from the first step to the last one before promotion.
    pub fn course(&self) -> impl Iterator<Item = Position> {
        let start = Position {
            traffic: Weights::canary(0),
            iterations: 0,
        };
        std::iter::successors(self.next(start), |at| self.next(*at))
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rules().display())
    }
}
