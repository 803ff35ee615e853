//! HTTPRoute of the Gateway API. The weights are part of it and are written together with any repair, so that a repair
//! never resets traffic.
//!
//! Fields with defaults (the group and kind of a reference, the type of a match) are always set. Otherwise the stored
//! object would always differ from the desired one.

use canary_engine::observed::Weights;
use serde_json::{Map, Value, json};

use super::{
    reference::{GROUP, with_defaults},
    rule::Rule,
};
use crate::api::ServiceSpec;
use crate::{
    objects::{
        json::{object_at, set_or_remove},
        ownership::Claim,
        services::Role,
    },
    routing::merge,
};

/// Input for building the HTTPRoute.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    /// Name of the apex Service and of the HTTPRoute.
    pub(super) service_name: &'a str,
    /// Namespace of the Canary.
    pub(super) namespace: &'a str,
    /// `spec.service`.
    pub(super) spec: &'a ServiceSpec,
    /// The canary's rule for this `spec.service`.
    pub(super) rule: Rule,
    /// Owner reference to the Canary.
    pub(super) owner: &'a Value,
}

impl Wanted<'_> {
    /// Builds the desired HTTPRoute from the existing one. Unknown fields and rules are kept.
    #[must_use]
    pub(super) fn http_route(&self, existing: Option<&Value>, weights: Weights) -> Value {
        let mut object = existing.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": format!("{GROUP}/v1"),
                "kind": "HTTPRoute",
                "metadata": {
                    "name": self.service_name, "namespace": self.namespace,
                    "ownerReferences": [self.owner],
                },
            })
        });
        let adopted = existing.filter(|one| self::weights(self.service_name, one).is_none());
        merge::describe(&mut object, self.spec.apex.as_ref(), adopted);

        let spec = object_at(&mut object, &["spec"]);
        let parents = self.spec.gateway_refs.iter().flatten();
        let parents: Vec<Value> = parents
            .map(|parent| with_defaults(parent, GROUP, "Gateway"))
            .collect();
        spec.insert("parentRefs".to_owned(), Value::Array(parents));
        let hosts = self.spec.hosts.clone().filter(|hosts| !hosts.is_empty());
        set_or_remove(spec, "hostnames", hosts.map(|hosts| json!(hosts)));
        let existing = match spec.remove("rules") {
            Some(Value::Array(rules)) => rules,
            _ => Vec::new(),
        };
        let own = existing
            .iter()
            .find(|rule| goes_to_canary(self.service_name, self.namespace, rule));
        let rule = self.rule(own, weights);
        let is_ours = |rule: &Value| is_ours(self.service_name, self.namespace, rule);
        let rules = merge::place(existing, rule, is_ours, matches_all);
        spec.insert("rules".to_owned(), Value::Array(rules));
        object
    }

    /// The claim on an HTTPRoute without an owner: ours if it equals the generated one, regardless of weights. An
    /// adopted one never does, because an annotation holds its original spec.
    #[must_use]
    pub(super) fn claim(&self, existing: &Value) -> Claim {
        let generated =
            weights(self.service_name, existing).map(|weights| self.http_route(None, weights));
        match generated {
            Some(generated) if merge::is_generated(&generated, existing) => Claim::Ours,
            _ => Claim::Users,
        }
    }

    /// Builds the canary's rule from the existing one.
    fn rule(&self, existing: Option<&Value>, weights: Weights) -> Value {
        let mut rule = match existing {
            Some(Value::Object(fields)) => fields.clone(),
            _ => Map::new(),
        };
        self.rule.write_to(&mut rule);
        let backend = |role: Role, weight: u8| {
            json!({
                "group": "", "kind": "Service", "name": role.name(self.service_name),
                "port": self.spec.port, "weight": weight,
            })
        };
        let split = json!([
            backend(Role::Primary, weights.primary),
            backend(Role::Canary, weights.canary),
        ]);
        rule.insert("backendRefs".to_owned(), split);
        Value::Object(rule)
    }
}

/// The weights of an HTTPRoute: those of its last rule with `<service>-canary`. Weights that do not add up to 100 are
/// scaled.
#[must_use]
pub(super) fn weights(service_name: &str, http_route: &Value) -> Option<Weights> {
    let namespace = http_route["metadata"]["namespace"].as_str();
    let namespace = namespace.unwrap_or_default();
    let mut rules = http_route["spec"]["rules"].as_array()?.iter();
    let rule = rules.rfind(|rule| goes_to_canary(service_name, namespace, rule))?;
    let sum_of = |role: Role| -> u64 {
        let name = role.name(service_name);
        backends(rule)
            .filter(|backend| is_service(backend, &name, namespace))
            .map(|backend| backend["weight"].as_u64().unwrap_or(1))
            .sum()
    };
    Some(merge::percent(sum_of(Role::Primary), sum_of(Role::Canary)))
}

/// Why the current HTTPRoute may not be in effect yet; `None` if every parent in its status has accepted the current
/// generation.
///
/// The message is Flagger's. Flagger checks this only with `gatewayapi:v1`, and considers a route without parents in
/// its status ready.
#[must_use]
pub(super) fn pending(http_route: &Value) -> Option<String> {
    let metadata = &http_route["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = format!(
        "{}.{}",
        text(&metadata["name"]),
        text(&metadata["namespace"])
    );
    let current = metadata["generation"].as_i64().unwrap_or(0);
    let parents = http_route["status"]["parents"].as_array();
    let mut parents = parents.into_iter().flatten().peekable();
    if parents.peek().is_none() {
        return Some(format!(
            "HTTPRoute {id} is not ready: no parent has reported a status; check spec.service.gatewayRefs and that a \
             controller serves these parents"
        ));
    }
    parents.find_map(|parent| {
        let mut conditions = parent["conditions"].as_array().into_iter().flatten();
        let accepted = conditions.find(|condition| condition["type"] == "Accepted");
        let accepted = accepted.unwrap_or(&Value::Null);
        let status = accepted["status"].as_str().unwrap_or("Unknown");
        let observed = accepted["observedGeneration"].as_i64().unwrap_or(0);
        if status == "True" && observed >= current {
            return None;
        }
        let why = match (accepted["reason"].as_str(), accepted["message"].as_str()) {
            (Some(reason), Some(message)) if status != "True" => format!(": {reason}: {message}"),
            _ => String::new(),
        };
        Some(format!(
            "HTTPRoute {id} parent {} is not ready (status: {status}, observed generation: {observed}, current \
             generation: {current}){why}",
            text(&parent["parentRef"]["name"])
        ))
    })
}

/// Returns whether a rule is this canary's, or one to the apex Service, which the canary's replaces.
fn is_ours(service_name: &str, namespace: &str, rule: &Value) -> bool {
    let roles = [Role::Apex, Role::Primary, Role::Canary];
    let mut backends = backends(rule).peekable();
    backends.peek().is_some()
        && backends.all(|backend| {
            roles
                .iter()
                .any(|role| is_service(backend, &role.name(service_name), namespace))
        })
}

fn goes_to_canary(service_name: &str, namespace: &str, rule: &Value) -> bool {
    let canary = Role::Canary.name(service_name);
    backends(rule).any(|backend| is_service(backend, &canary, namespace))
}

fn backends(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["backendRefs"].as_array().into_iter().flatten()
}

/// Returns whether a reference points to the Service `name` in the route's namespace.
fn is_service(backend: &Value, name: &str, namespace: &str) -> bool {
    let is_or_absent = |field: &str, value: &str| backend[field].as_str().unwrap_or(value) == value;
    backend["name"] == name
        && is_or_absent("group", "")
        && is_or_absent("kind", "Service")
        && is_or_absent("namespace", namespace)
}

fn matches_all(rule: &Value) -> bool {
    let matches = rule["matches"].as_array();
    matches.is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests;
