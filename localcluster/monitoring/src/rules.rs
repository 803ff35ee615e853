//! `PrometheusRule`s as Prometheus' rule files, one for each object as the Prometheus Operator makes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use localcluster_shared::problem::{ObjectId, Problem, Reason, Report};
use serde_json::{Value, json};

use crate::crd::PrometheusRule;

/// The rule files by name, and what is wrong with which object. An object in `rejected` is left out for the
/// reason given there.
pub fn render(
    rules: &[Arc<PrometheusRule>],
    rejected: &BTreeMap<ObjectId, String>,
) -> (BTreeMap<String, Value>, BTreeSet<Problem>) {
    let mut files = BTreeMap::new();
    let mut problems = BTreeSet::new();
    for rule in rules {
        let id = ObjectId::of(&**rule);
        if let Some(words) = rejected.get(&id) {
            let mut report = Report::new(id);
            let message =
                format!("Prometheus refused it, and none of its rules is evaluated: {words}");
            report.note(Reason::Rejected, "spec", message);
            problems.extend(report.into_problems());
            continue;
        }
        // No name of an object has an underscore, so that no two objects share a file.
        let namespace = rule.namespace().unwrap_or_default();
        let name = format!("{namespace}_{}.yml", rule.name_any());
        files.insert(name, json!({ "groups": rule.spec.groups }));
    }
    (files, problems)
}

/// Every query of an object, with the path of its field.
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
