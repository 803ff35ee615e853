//! The sequence of weights a canary is given.

use std::fmt;

use crate::{canary::Steps, observed::Weights};

impl Weights {
    /// `canary` percent to the canary and the rest to the primary; anything above 100 counts as 100.
    #[must_use]
    pub fn canary(canary: u8) -> Weights {
        let canary = canary.min(100);
        Weights {
            primary: 100 - canary,
            canary,
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.primary, self.canary)
    }
}

impl Steps {
    /// The weight that follows `weight`, or `None` when the canary has reached its maximum.
    ///
    /// `Linear` adds the step while the weight is below the maximum, so it may overshoot (Flagger: max 50 with
    /// step 20 ends at 60). `List` goes to the smallest weight above the present one: a list that repeats or
    /// descends, or that was edited during a run, still moves on and never jumps over its own maximum.
    #[must_use]
    pub fn next(&self, weight: u8) -> Option<u8> {
        match self {
            Steps::Linear { step, max } => (weight < (*max).clamp(1, 100))
                .then(|| weight.saturating_add((*step).max(1)).min(100)),
            // Validation accepts no empty list; here it would mean one step to everything.
            Steps::List(list) if list.is_empty() => (weight < 100).then_some(100),
            Steps::List(list) => list
                .iter()
                .map(|next| (*next).min(100))
                .filter(|next| *next > weight)
                .min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(steps: &Steps) -> Vec<u8> {
        std::iter::successors(Some(0), |weight| steps.next(*weight))
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
    fn a_list_is_followed_and_always_progresses() {
        assert_eq!(all(&Steps::List(vec![1, 2, 10, 80])), [1, 2, 10, 80]);
        assert_eq!(all(&Steps::List(vec![10, 10, 5, 30])), [5, 10, 30]);
        assert_eq!(all(&Steps::List(vec![])), [100]);
    }

    #[test]
    fn a_list_edited_in_a_run_goes_on_from_the_present_weight() {
        let edited = Steps::List(vec![20, 40, 60]);
        assert_eq!(edited.next(30), Some(40));
        assert_eq!(edited.next(60), None);
        assert_eq!(edited.next(70), None);
    }

    #[test]
    fn weights_always_sum_to_a_hundred() {
        for canary in 0..=u8::MAX {
            let weights = Weights::canary(canary);
            assert_eq!(weights.primary + weights.canary, 100);
        }
    }
}
