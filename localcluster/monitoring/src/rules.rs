//! Renders `PrometheusRule`s to Prometheus' rule files, one per object, as the Prometheus Operator does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use localcluster_shared::problem::{ObjectId, Problem, Reason, Report};
use serde_json::{Value, json};

use crate::crd::PrometheusRule;

/// Renders the rule files by name, and the problems found. Skips the objects in `rejected` and reports the reason given
/// there.
pub fn render(
    rules: &[Arc<PrometheusRule>],
    rejected: &BTreeMap<ObjectId, String>,
) -> (BTreeMap<String, Value>, BTreeSet<Problem>) {
    let mut files = BTreeMap::new();
    let mut problems = BTreeSet::new();
    for rule in rules {
        let id = ObjectId::of(&**rule);
        if let Some(reason) = rejected.get(&id) {
            let mut report = Report::new(id);
            let message =
                format!("Prometheus rejected the object; none of its rules is evaluated: {reason}");
            report.note(Reason::Rejected, "spec", message);
            problems.extend(report.into_problems());
            continue;
        }
        // Names of objects contain no underscore, so no two objects share a file.
        let namespace = rule.namespace().unwrap_or_default();
        let name = format!("{namespace}_{}.yml", rule.name_any());
        files.insert(name, json!({ "groups": rule.spec.groups }));
    }
    (files, problems)
}

/// All queries of an object, each with the path of its field.
pub(crate) fn queries(rule: &PrometheusRule) -> Vec<(String, String)> {
    let groups = rule.spec.groups.iter().enumerate();
    let queries = groups.flat_map(|(group, all)| {
        all.rules.iter().enumerate().map(move |(index, rule)| {
            let query = match &rule.expr {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(text) => text.clone(),
            };
            (format!("spec.groups[{group}].rules[{index}].expr"), query)
        })
    });
    queries.collect()
}
