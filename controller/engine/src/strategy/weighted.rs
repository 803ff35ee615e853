//! Weights: the share of requests that go to the canary grows (`stepWeight` with `maxWeight`, or `stepWeights`).

use super::{Position, Rules};
use crate::observed::Weights;

/// The weights of the canary, in percent of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steps {
    /// `stepWeight` and `maxWeight`: the weight grows by `step` until it has reached `max`.
    Linear {
        /// Increment, 1 to 100.
        step: u8,
        /// Weight at which the canary is promoted, 1 to 100.
        max: u8,
    },
    /// `stepWeights`: absolute weights, ascending, each 1 to 100; the last one is the maximum.
    List(Vec<u8>),
}

impl Steps {
    /// The weight after `weight`, or `None` if the canary has reached its maximum.
    ///
    /// `Linear` adds the step while the weight is below the maximum, so it may overshoot (Flagger: max 50 with
    /// step 20 ends at 60). `List` continues with the smallest weight above the current one. So a list that repeats or
    /// descends, or that was edited during a run, still makes progress and never exceeds its own maximum.
    fn after(&self, weight: u8) -> Option<u8> {
        match self {
            Steps::Linear { step, max } => (weight < (*max).clamp(1, 100))
                .then(|| weight.saturating_add((*step).max(1)).min(100)),
            // Validation refuses an empty list. Here it means one step to all traffic.
            Steps::List(list) if list.is_empty() => (weight < 100).then_some(100),
            Steps::List(list) => list
                .iter()
                .map(|next| (*next).min(100))
                .filter(|next| *next > weight)
                .min(),
        }
    }
}

impl Rules for Steps {
    fn next(&self, at: Position) -> Option<Position> {
        let canary = self.after(at.traffic.canary)?;
        Some(Position {
            traffic: Weights::canary(canary),
            ..at
        })
    }

    fn describe(&self, reached: Position) -> String {
        format!("canary weight {}", reached.traffic.canary)
    }

    fn summary(&self) -> String {
        match self {
            Steps::Linear { step, max } => format!("Weight step: {step} max: {max}"),
            Steps::List(list) => {
                let max = list.last().copied().unwrap_or(100);
                format!("Weight steps: {} max: {max}", join(list, ","))
            }
        }
    }

    fn display(&self) -> String {
        match self {
            Steps::Linear { step, max } => format!("{step}% up to {max}%"),
            Steps::List(list) => join(list, ", "),
        }
    }
}

fn join(weights: &[u8], separator: &str) -> String {
    let weights: Vec<_> = weights.iter().map(u8::to_string).collect();
    weights.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(steps: &Steps) -> Vec<u8> {
        std::iter::successors(Some(0), |weight| steps.after(*weight))
            .skip(1)
            .collect()
    }

    #[test]
    fn linear_steps_grow_to_the_maximum_and_may_overshoot_it() {
        assert_eq!(
            all(&Steps::Linear { step: 10, max: 50 }),
            [10, 20, 30, 40, 50]
        );
        assert_eq!(all(&Steps::Linear { step: 20, max: 50 }), [20, 40, 60]);
        assert_eq!(all(&Steps::Linear { step: 60, max: 100 }), [60, 100]);
        assert_eq!(all(&Steps::Linear { step: 100, max: 1 }), [100]);
    }

    #[test]
    fn a_list_always_makes_progress() {
        assert_eq!(all(&Steps::List(vec![1, 2, 10, 80])), [1, 2, 10, 80]);
        assert_eq!(all(&Steps::List(vec![10, 10, 5, 30])), [5, 10, 30]);
        assert_eq!(all(&Steps::List(vec![])), [100]);
    }

    #[test]
    fn a_list_edited_during_a_run_continues_from_the_current_weight() {
        let edited = Steps::List(vec![20, 40, 60]);
        assert_eq!(edited.after(30), Some(40));
        assert_eq!(edited.after(60), None);
        assert_eq!(edited.after(70), None);
    }
}
