//! Validation of objects. Each check names the field; wording and reasons follow upstream.

mod definition;
mod names;
mod other;
mod pod;
mod service;
mod workload;

use serde_json::Value;

use super::{Behaviour, Kind};
use crate::status::Cause;
use crate::{object, schema};

/// Everything wrong with an object that is to be stored, in place of `old` if there is one.
pub(crate) fn check(kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Causes::default();
    names::metadata(kind, new, &mut causes);
    if let Behaviour::Custom(custom) = &kind.behaviour {
        let mut rest = new.clone();
        // The schema says nothing about metadata but what its name may be.
        object::fields(&mut rest).remove("metadata");
        let found = &mut causes.0;
        found.extend(schema::embedded::check(&custom.schema, &rest, ""));
        found.extend(schema::validate::validate(&custom.schema, &rest, ""));
        let rules = schema::cel::check(&custom.schema, new, old, found);
        found.extend(rules);
        return causes.0;
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => pod::object(new, old, &mut causes),
        ("", "services") => service::object(new, old, &mut causes),
        ("", "configmaps") => other::config_map(new, old, &mut causes),
        ("", "secrets") => other::secret(new, old, &mut causes),
        ("", "events") => other::event(new, &mut causes),
        ("apps", "deployments") => workload::deployment(new, old, &mut causes),
        ("apps", "replicasets") => workload::replica_set(new, old, &mut causes),
        ("apps", "statefulsets") => workload::stateful_set(new, old, &mut causes),
        ("apps", "daemonsets") => workload::daemon_set(new, old, &mut causes),
        ("batch", "jobs") => workload::job(new, &mut causes),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => other::role(new, &mut causes),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            other::binding(new, old, &mut causes);
        }
        ("autoscaling", "horizontalpodautoscalers") => other::autoscaler(new, &mut causes),
        ("policy", "poddisruptionbudgets") => other::disruption_budget(new, &mut causes),
        ("coordination.k8s.io", "leases") => other::lease(new, &mut causes),
        ("discovery.k8s.io", "endpointslices") => other::endpoint_slice(new, old, &mut causes),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            definition::object(new, old, &mut causes);
        }
        _ => {}
    }
    causes.0
}

/// What was found so far, with shorthands for the checks that recur.
#[derive(Debug, Default)]
struct Causes(Vec<Cause>);

impl Causes {
    fn required(&mut self, field: impl Into<String>, detail: &str) {
        self.0.push(Cause::required(field, detail));
    }

    fn invalid(&mut self, field: impl Into<String>, value: &Value, detail: &str) {
        self.0.push(Cause::invalid(field, value, detail));
    }

    fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.0.push(Cause::forbidden(field, detail));
    }

    /// The value, if there is one, must be among those supported.
    fn supported(&mut self, field: String, value: &Value, supported: &[&str]) {
        if !value.is_null() && !supported.iter().any(|known| value == known) {
            self.0.push(Cause::not_supported(field, value, supported));
        }
    }

    /// The number, if there is one, must not be negative.
    fn not_negative(&mut self, field: impl Into<String>, value: &Value) {
        if value.as_i64().is_some_and(|number| number < 0) {
            self.invalid(field, value, "must be greater than or equal to 0");
        }
    }

    fn immutable(&mut self, field: &str, new: &Value, old: &Value) {
        if new != old {
            self.invalid(field, new, "field is immutable");
        }
    }

    /// The text must be there and fit the rule.
    fn named(&mut self, field: impl Into<String>, value: &Value, rule: names::Rule) {
        match value.as_str() {
            None | Some("") => self.required(field, ""),
            Some(text) => {
                if let Err(detail) = rule(text) {
                    self.invalid(field, value, detail);
                }
            }
        }
    }

    /// No two items of a list have the same value under `key`.
    fn unique(&mut self, path: &str, list: &Value, key: &str) {
        let mut seen: Vec<&Value> = Vec::new();
        for (index, item) in items(list) {
            let value = &item[key];
            if value.is_null() || value == "" {
                continue;
            }
            if seen.contains(&value) {
                self.0
                    .push(Cause::duplicate(format!("{path}[{index}].{key}"), value));
            }
            seen.push(value);
        }
    }
}

/// The items of a list with their positions; none when it is no list.
fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}
