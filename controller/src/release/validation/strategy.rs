//! The strategy in `spec.analysis`. Everything that needs the steps of an analysis uses this function.

use canary_engine::strategy::{Steps, Strategy};

use crate::{api::AnalysisSpec, release::problem::Problem};

/// The strategy of an analysis and its problems.
#[must_use]
pub fn strategy(spec: &AnalysisSpec) -> (Strategy, Vec<Problem>) {
    let mut problems = other_strategies(spec);
    let steps = steps(spec, &mut problems);
    (Strategy::Weighted(steps), problems)
}

fn other_strategies(spec: &AnalysisSpec) -> Vec<Problem> {
    let given = [
        (
            "iterations",
            spec.iterations.is_some_and(|n| n != 0),
            "Blue/Green and A/B releases are",
        ),
        (
            "match",
            spec.match_.as_ref().is_some_and(|m| !m.is_empty()),
            "A/B releases are",
        ),
        ("mirror", spec.mirror == Some(true), "mirrored traffic is"),
        (
            "mirrorWeight",
            spec.mirror_weight.is_some_and(|n| n != 0),
            "mirrored traffic is",
        ),
        (
            "sessionAffinity",
            spec.session_affinity.is_some(),
            "session affinity is",
        ),
    ];
    let refused = given.into_iter().filter(|(_, is_given, _)| *is_given);
    refused
        .map(|(field, _, what)| {
            Problem::new(
                format!("spec.analysis.{field}"),
                format!("{what} not supported yet"),
                "remove the field and use stepWeight or stepWeights",
            )
        })
        .collect()
}

fn steps(spec: &AnalysisSpec, problems: &mut Vec<Problem>) -> Steps {
    let max = percent(
        "spec.analysis.maxWeight",
        spec.max_weight.unwrap_or(100),
        problems,
    );
    match (spec.step_weight, spec.step_weights.as_deref()) {
        // Flagger: stepWeight takes precedence over stepWeights.
        (Some(step), list) if step != 0 || list.is_none() => Steps::Linear {
            step: percent("spec.analysis.stepWeight", step, problems),
            max,
        },
        (_, Some(list)) => {
            let field = "spec.analysis.stepWeights";
            let weights: Vec<u8> = list
                .iter()
                .map(|weight| percent(field, *weight, problems))
                .collect();
            if weights.is_empty() || !weights.is_sorted_by(|one, next| one < next) {
                problems.push(Problem::new(
                    field,
                    format!("{list:?} is not in ascending order"),
                    "use weights from 1 to 100, each larger than the one before",
                ));
            }
            Steps::List(weights)
        }
        _ => {
            if spec.iterations.is_none_or(|n| n == 0) {
                problems.push(Problem::new(
                    "spec.analysis.stepWeight",
                    "neither stepWeight nor stepWeights is set",
                    "add stepWeight, such as 10, and maxWeight, such as 50",
                ));
            }
            Steps::Linear {
                step: 100,
                max: 100,
            }
        }
    }
}

/// Converts a percentage from 1 to 100. Anything else is a problem, and 100 is returned.
pub(super) fn percent(field: &str, value: i64, problems: &mut Vec<Problem>) -> u8 {
    match u8::try_from(value) {
        Ok(percent) if (1..=100).contains(&percent) => percent,
        _ => {
            let message = format!("{value} is not a weight");
            problems.push(Problem::new(
                field,
                message,
                "use a percentage from 1 to 100",
            ));
            100
        }
    }
}
