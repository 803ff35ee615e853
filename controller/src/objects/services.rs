//! The three Services: `<service>-canary`, `<service>-primary` and the apex `<service>`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    FLUX_ANNOTATIONS,
    ownership::{self, Claim},
};
use crate::api::{CustomMetadata, ServiceSpec};
use crate::cluster::labels::SelectorLabel;

/// One of the three Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `<service>`, which selects the primary's pods.
    Apex,
    /// `<service>-primary`.
    Primary,
    /// `<service>-canary`.
    Canary,
}

/// Input for building the Services.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Name of the apex Service.
    pub service_name: &'a str,
    /// Namespace of the Canary.
    pub namespace: &'a str,
    /// `spec.service`.
    pub spec: &'a ServiceSpec,
    /// The target's selector label.
    pub selector: &'a SelectorLabel,
    /// The target's pod spec, for port discovery.
    pub pod_spec: &'a Value,
    /// Owner reference to the Canary.
    pub owner: &'a Value,
}

impl Role {
    /// Name of this Service.
    #[must_use]
    pub fn name(self, service_name: &str) -> String {
        match self {
            Role::Apex => service_name.to_owned(),
            Role::Primary => format!("{service_name}-primary"),
            Role::Canary => format!("{service_name}-canary"),
        }
    }
}

impl Wanted<'_> {
    /// Builds the desired Service from the existing one.
    #[must_use]
    pub fn build(&self, role: Role, existing: Option<&Value>) -> Value {
        match existing {
            None => self.create(role),
            Some(existing) => self.repair(role, existing),
        }
    }

    fn create(&self, role: Role) -> Value {
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": role.name(self.service_name),
                "namespace": self.namespace,
                "labels": self.labels(role),
                "annotations": self.annotations(role),
                "ownerReferences": [self.owner],
            },
            "spec": {
                "type": "ClusterIP",
                "selector": self.selector_of(role),
                "ports": self.ports(&Value::Null),
            },
        });
        if self.spec.headless == Some(true) {
            service["spec"]["clusterIP"] = json!("None");
        }
        if let Some(distribution) = &self.spec.traffic_distribution {
            service["spec"]["trafficDistribution"] = json!(distribution);
        }
        service
    }

    /// Repairs ports and selector, and labels and annotations if this Canary owns the Service. An adopted Service keeps
    /// its metadata, and unmanaged labels and annotations are never changed.
    fn repair(&self, role: Role, existing: &Value) -> Value {
        let mut service = existing.clone();
        let ports = self.ports(&existing["spec"]["ports"]);
        if !same_ports(&existing["spec"]["ports"], &ports) {
            service["spec"]["ports"] = ports;
        }
        service["spec"]["selector"] = self.selector_of(role);
        if self.owns(existing) {
            let unmanaged = self.spec.unmanaged_metadata.clone().unwrap_or_default();
            let fields = [
                ("labels", self.labels(role), unmanaged.labels),
                ("annotations", self.annotations(role), unmanaged.annotations),
            ];
            for (field, mut wanted, unmanaged) in fields {
                for key in unmanaged.into_iter().flatten() {
                    match &existing["metadata"][field][&key] {
                        Value::Null => {}
                        value => drop(wanted.insert(key, value.clone())),
                    }
                }
                service["metadata"][field] = Value::Object(wanted);
            }
        }
        service
    }

    /// The claim on a Service without an owner. The apex Service can be a user's, so it is ours only if it equals the
    /// generated one. The other two are ours or foreign.
    #[must_use]
    pub fn claim(&self, role: Role, existing: &Value) -> Claim {
        let metadata = &existing["metadata"];
        let selector = self.selector_of(role);
        if role == Role::Apex {
            let made = Value::Object(self.labels(role)) == metadata["labels"]
                && is_annotated(&metadata["annotations"], &self.annotations(role))
                && existing["spec"]["selector"] == selector;
            return if made { Claim::Ours } else { Claim::Users };
        }
        if let Some(tool) = ownership::applied_with(existing) {
            return Claim::Foreign(format!("it was applied with {tool}"));
        }
        if existing["spec"]["selector"] != selector {
            let (found, wanted) = (&existing["spec"]["selector"], &selector);
            return Claim::Foreign(format!("its selector is {found}, not {wanted}"));
        }
        let (label, annotation) = (&self.selector.key, FLUX_ANNOTATIONS[0].0);
        if metadata["labels"][label] != role.name(self.service_name).as_str()
            || metadata["annotations"][annotation].is_null()
        {
            return Claim::Foreign(format!(
                "it lacks the label {label} or the annotation {annotation}, which generated Services have"
            ));
        }
        Claim::Ours
    }

    fn owns(&self, existing: &Value) -> bool {
        let owners = existing["metadata"]["ownerReferences"].as_array();
        owners
            .into_iter()
            .flatten()
            .any(|owner| owner["uid"] == self.owner["uid"])
    }

    fn metadata(&self, role: Role) -> CustomMetadata {
        let metadata = match role {
            Role::Apex => &self.spec.apex,
            Role::Primary => &self.spec.primary,
            Role::Canary => &self.spec.canary,
        };
        metadata.clone().unwrap_or_default()
    }

    fn labels(&self, role: Role) -> Map<String, Value> {
        let mut labels = texts(self.metadata(role).labels);
        labels.insert(
            self.selector.key.clone(),
            json!(role.name(self.service_name)),
        );
        labels
    }

    fn annotations(&self, role: Role) -> Map<String, Value> {
        let mut annotations = texts(self.metadata(role).annotations);
        annotations.extend(FLUX_ANNOTATIONS.map(|(key, value)| (key.to_owned(), json!(value))));
        annotations
    }

    fn selector_of(&self, role: Role) -> Value {
        let value = match role {
            Role::Canary => self.selector.value.clone(),
            Role::Apex | Role::Primary => self.selector.primary_value(),
        };
        json!({ &self.selector.key: value })
    }

    /// The desired ports. Existing ports of the same name keep their node port.
    fn ports(&self, existing: &Value) -> Value {
        let mut ports = vec![self.main_port()];
        if self.spec.port_discovery == Some(true) {
            ports.extend(self.discovered_ports());
        }
        for port in &mut ports {
            let same_name = |old: &&Value| old["name"] == port["name"];
            let old = existing.as_array().into_iter().flatten().find(same_name);
            if let Some(node_port) = old.and_then(|old| old.get("nodePort")) {
                port["nodePort"] = node_port.clone();
            }
        }
        Value::Array(ports)
    }

    fn main_port(&self) -> Value {
        let mut port = json!({
            "name": self.spec.port_name.as_deref().unwrap_or("http"),
            "protocol": "TCP",
            "port": self.spec.port,
            "targetPort": self.target_port(),
        });
        if let Some(protocol) = &self.spec.app_protocol {
            port["appProtocol"] = json!(protocol);
        }
        port
    }

    /// Flagger: the default, for an unset port or 0, is the port of the Service.
    fn target_port(&self) -> Value {
        match &self.spec.target_port {
            Some(port) if *port != json!(0) && *port != json!("0") && !port.is_null() => {
                port.clone()
            }
            _ => json!(self.spec.port),
        }
    }

    fn discovered_ports(&self) -> Vec<Value> {
        let mut found = Vec::new();
        let target_port = self.target_port();
        for container in self.pod_spec["containers"].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if matches!(name, "istio-proxy" | "envoy") {
                continue;
            }
            for (index, port) in container["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                let number = &port["containerPort"];
                let is_main = *number == target_port
                    || *number == json!(self.spec.port)
                    || (port["name"].is_string() && port["name"] == target_port);
                if is_main || !number.is_number() {
                    continue;
                }
                let port_name = match port["name"].as_str() {
                    Some(given) => given.to_owned(),
                    None => format!("tcp-{name}-{index}"),
                };
                found.push(json!({
                    "name": port_name, "protocol": "TCP", "port": number, "targetPort": number,
                }));
            }
        }
        found
    }
}

/// Whether the annotations are those of a generated object, and no others. Older versions of Flagger set only the first
/// of the two annotations for Flux.
pub(crate) fn is_annotated(found: &Value, made: &Map<String, Value>) -> bool {
    let all = found.as_object();
    !found[FLUX_ANNOTATIONS[0].0].is_null()
        && all.is_some_and(|all| all.iter().all(|(key, value)| made.get(key) == Some(value)))
}

fn texts(map: Option<BTreeMap<String, String>>) -> Map<String, Value> {
    map.into_iter()
        .flatten()
        .map(|(key, value)| (key, json!(value)))
        .collect()
}

/// Returns whether two lists contain the same ports, in any order.
fn same_ports(one: &Value, other: &Value) -> bool {
    let sorted = |ports: &Value| {
        let mut ports = ports.as_array().cloned().unwrap_or_default();
        ports.sort_by_key(|port| port["port"].as_i64());
        ports
    };
    sorted(one) == sorted(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(spec: &ServiceSpec, role: Role, existing: Option<&Value>) -> Value {
        let selector = SelectorLabel {
            key: "app".into(),
            value: "app".into(),
        };
        let pod_spec = json!({ "containers": [
            { "name": "istio-proxy", "ports": [{ "containerPort": 15090 }] },
            { "name": "c", "ports": [
                { "name": "web", "containerPort": 8080 }, { "name": "metrics", "containerPort": 8000 },
                { "containerPort": 9000 } ] } ] });
        let owner = json!({ "uid": "u1", "kind": "Canary", "name": "app" });
        let wanted = Wanted {
            service_name: "shop",
            namespace: "ns",
            spec,
            selector: &selector,
            pod_spec: &pod_spec,
            owner: &owner,
        };
        wanted.build(role, existing)
    }

    fn spec() -> ServiceSpec {
        serde_json::from_value(json!({
            "port": 80, "targetPort": "web", "portDiscovery": true, "appProtocol": "http",
            "apex": { "labels": { "a": "1" }, "annotations": { "b": "2" } } }))
        .unwrap()
    }

    #[test]
    fn the_three_services_as_created() {
        let services =
            [Role::Apex, Role::Primary, Role::Canary].map(|role| build(&spec(), role, None));
        insta::assert_yaml_snapshot!(services);
    }

    #[test]
    fn headless_and_traffic_distribution_are_set_on_creation() {
        let spec = serde_json::from_value(
            json!({ "port": 80, "headless": true, "trafficDistribution": "PreferClose" }),
        )
        .unwrap();
        let service = build(&spec, Role::Apex, None);
        assert_eq!(service["spec"]["clusterIP"], "None");
        assert_eq!(service["spec"]["trafficDistribution"], "PreferClose");
        assert_eq!(service["spec"]["ports"][0]["targetPort"], 80);
        assert_eq!(service["spec"]["ports"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn an_adopted_service_keeps_its_metadata_and_gets_ports_and_selector() {
        let mut existing = build(&spec(), Role::Apex, None);
        existing["metadata"] =
            json!({ "name": "shop", "labels": { "mine": "1" }, "resourceVersion": "3" });
        existing["spec"] = json!({
            "type": "NodePort", "clusterIP": "10.0.0.1", "sessionAffinity": "None",
            "selector": { "app": "app" },
            "ports": [{ "name": "http", "port": 81, "targetPort": 81, "nodePort": 30001 }] });
        let repaired = build(&spec(), Role::Apex, Some(&existing));
        assert_eq!(repaired["metadata"], existing["metadata"]);
        assert_eq!(
            repaired["spec"]["selector"],
            json!({ "app": "app-primary" })
        );
        assert_eq!(repaired["spec"]["ports"][0]["nodePort"], 30001);
        assert_eq!(repaired["spec"]["ports"][0]["port"], 80);
        assert_eq!(repaired["spec"]["clusterIP"], "10.0.0.1");
    }

    #[test]
    fn metadata_of_an_owned_service_is_repaired_except_unmanaged_keys() {
        let mut spec = spec();
        spec.unmanaged_metadata =
            serde_json::from_value(json!({ "annotations": ["theirs"] })).unwrap();
        let mut existing = build(&spec, Role::Canary, None);
        existing["metadata"]["annotations"] = json!({ "theirs": "kept", "stray": "dropped" });
        let repaired = build(&spec, Role::Canary, Some(&existing));
        assert_eq!(repaired["metadata"]["annotations"]["theirs"], "kept");
        assert_eq!(repaired["metadata"]["annotations"]["stray"], Value::Null);
    }

    #[test]
    fn a_current_service_is_unchanged_in_any_order_of_its_ports() {
        let mut existing = build(&spec(), Role::Primary, None);
        existing["spec"]["ports"].as_array_mut().unwrap().reverse();
        existing["spec"]["clusterIP"] = json!("10.0.0.2");
        assert_eq!(build(&spec(), Role::Primary, Some(&existing)), existing);
    }
}
