//! The strategy that `spec.analysis` asks for. This is its one reading, whoever wants to know.

use canary_engine::strategy::{Steps, Strategy};

use crate::{api::AnalysisSpec, release::problem::Problem};

/// The strategy of an analysis, with everything that is wrong with it.
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
            "Blue/Green and A/B releases",
        ),
        (
            "match",
            spec.match_.as_ref().is_some_and(|m| !m.is_empty()),
            "A/B releases",
        ),
        ("mirror", spec.mirror == Some(true), "mirrored traffic"),
        (
            "mirrorWeight",
            spec.mirror_weight.is_some_and(|n| n != 0),
            "mirrored traffic",
        ),
        (
            "sessionAffinity",
            spec.session_affinity.is_some(),
            "session affinity",
        ),
    ];
    let refused = given.into_iter().filter(|(_, is_given, _)| *is_given);
    refused
        .map(|(field, _, what)| {
            Problem::new(
                format!("spec.analysis.{field}"),
                format!("{what} are not supported yet")
                    .replace("traffic are", "traffic is")
                    .replace("affinity are", "affinity is"),
                "remove the field and release by stepWeight or stepWeights",
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
        // Flagger: a step beats the list.
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
                    format!("{list:?} does not ascend"),
                    "list weights from 1 to 100, each larger than the one before",
                ));
            }
            Steps::List(weights)
        }
        _ => {
            if spec.iterations.is_none_or(|n| n == 0) {
                problems.push(Problem::new(
                    "spec.analysis.stepWeight",
                    "neither stepWeight nor stepWeights is given",
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

/// A percentage from 1 to 100; a problem, and 100, when it is none.
pub(super) fn percent(field: &str, value: i64, problems: &mut Vec<Problem>) -> u8 {
    match u8::try_from(value) {
        Ok(percent) if (1..=100).contains(&percent) => percent,
        _ => {
            let message = format!("{value} is not a weight");
            problems.push(Problem::new(
                field,
                message,
                "write a percentage from 1 to 100",
            ));
            100
        }
    }
}
