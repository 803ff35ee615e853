//! Strategies: how a run gets from its first check to promotion.
//!
//! A strategy is one file, and one variant and one arm of [`Strategy`]. It is the only place that knows which traffic
//! follows which; status, validation, page and command line ask it.

mod weighted;

use std::fmt;

use crate::observed::Weights;
pub use weighted::Steps;

/// The point that a run has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Live traffic.
    pub traffic: Weights,
    /// Checks that have passed, for strategies that count them.
    pub iterations: u32,
}

/// The rules of one strategy.
trait Rules {
    /// The position that a passed check leads to, or `None` when the next thing is promotion. Following it from
    /// any position ends.
    fn next(&self, at: Position) -> Option<Position>;

    /// The position in the words of an event: `canary weight 10`.
    fn describe(&self, reached: Position) -> String;

    /// The strategy in the words of an alert: `Weight step: 10 max: 50`.
    fn summary(&self) -> String;

    /// The strategy for a person at a terminal: `10% up to 50%`.
    fn display(&self) -> String;
}

/// How a run gets from its first check to promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// More and more requests go to the canary.
    Weighted(Steps),
}

impl Strategy {
    fn rules(&self) -> &dyn Rules {
        match self {
            Strategy::Weighted(steps) => steps,
        }
    }

    /// The position that a passed check at `at` leads to, or `None` when the next thing is promotion.
    #[must_use]
    pub fn next(&self, at: Position) -> Option<Position> {
        self.rules().next(at)
    }

    /// A position in the words of Flagger's events: `canary weight 10`.
    #[must_use]
    pub fn describe(&self, reached: Position) -> String {
        self.rules().describe(reached)
    }

    /// The strategy in the words of Flagger's alerts: `Weight step: 10 max: 50`.
    #[must_use]
    pub fn summary(&self) -> String {
        self.rules().summary()
    }

    /// Every position from the first step to the one before promotion.
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
