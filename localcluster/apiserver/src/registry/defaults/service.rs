//! Defaults of services, and their cluster addresses.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::each;
use crate::object::{self, Fields, set_default};

/// Services have addresses in 10.96.0.0/16, as with kubeadm.
const NETWORK: [u8; 2] = [10, 96];

/// Addresses below this one are for services that ask for theirs, such as `kubernetes` and DNS.
const FIRST_DYNAMIC: u16 = 256;

/// Node ports, as upstream.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// Addresses and ports that services have.
#[derive(Debug, Default)]
pub(crate) struct ClusterAddresses {
    addresses: BTreeSet<String>,
    node_ports: BTreeSet<i64>,
}

impl ClusterAddresses {
    /// Collects what the given services use.
    pub(crate) fn used_by<'a>(services: impl Iterator<Item = &'a Value>) -> Self {
        let mut used = Self::default();
        for service in services {
            used.addresses
                .insert(object::text(service, "/spec/clusterIP").to_owned());
            let ports = service.pointer("/spec/ports").and_then(Value::as_array);
            used.node_ports.extend(
                ports
                    .into_iter()
                    .flatten()
                    .filter_map(|p| p["nodePort"].as_i64()),
            );
        }
        used
    }

    fn free_address(&self) -> Option<String> {
        (FIRST_DYNAMIC..u16::MAX)
            .map(|host| {
                let [high, low] = host.to_be_bytes();
                Ipv4Addr::new(NETWORK[0], NETWORK[1], high, low).to_string()
            })
            .find(|address| !self.addresses.contains(address))
    }

    fn free_node_port(&mut self) -> Option<i64> {
        let port = NODE_PORTS
            .into_iter()
            .find(|port| !self.node_ports.contains(port))?;
        self.node_ports.insert(port);
        Some(port)
    }
}

pub(super) fn object(fields: &mut Fields) {
    let spec = object::child(fields, "spec");
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "ClientIP" {
        set_default(
            spec,
            "sessionAffinityConfig",
            json!({ "clientIP": { "timeoutSeconds": 10800 } }),
        );
    }
    let kind = spec["type"].clone();
    if kind != "ExternalName" {
        set_default(spec, "ipFamilies", json!(["IPv4"]));
        set_default(spec, "ipFamilyPolicy", "SingleStack");
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in each(spec, "ports") {
        set_default(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            set_default(port, "targetPort", number);
        }
    }
    set_default(fields, "status", json!({ "loadBalancer": {} }));
}

/// Gives a service the address and node ports it needs; false when there are none left. What the service
/// had as `old` it keeps.
pub(crate) fn allocate(
    service: &mut Value,
    old: Option<&Value>,
    mut used: ClusterAddresses,
) -> bool {
    let spec = object::child(object::fields(service), "spec");
    let kind = spec
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if kind == "ExternalName" {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
        return true;
    }
    if let Some(old) = old {
        for field in ["clusterIP", "clusterIPs"] {
            if let Some(value) = old["spec"].get(field) {
                set_default(spec, field, value.clone());
            }
        }
    }
    if spec
        .get("clusterIP")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .is_empty()
    {
        let Some(address) = used.free_address() else {
            return false;
        };
        spec.insert("clusterIP".to_owned(), address.into());
    }
    let address = spec["clusterIP"].clone();
    spec.insert("clusterIPs".to_owned(), json!([address]));
    if kind == "NodePort" || kind == "LoadBalancer" {
        for port in each(spec, "ports") {
            let before = old
                .and_then(|old| old["spec"]["ports"].as_array())
                .into_iter()
                .flatten()
                .find(|before| {
                    before["port"] == port["port"] && before["protocol"] == port["protocol"]
                })
                .and_then(|before| before.get("nodePort").cloned());
            if let Some(before) = before {
                set_default(port, "nodePort", before);
            }
            if port.get("nodePort").is_none_or(|value| *value == json!(0)) {
                let Some(number) = used.free_node_port() else {
                    return false;
                };
                port.insert("nodePort".to_owned(), number.into());
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_kept() {
        let mut first = json!({ "spec": { "type": "ClusterIP" } });
        assert!(allocate(&mut first, None, ClusterAddresses::default()));
        assert_eq!(first["spec"]["clusterIP"], "10.96.1.0");
        let mut second = json!({ "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } });
        assert!(allocate(
            &mut second,
            None,
            ClusterAddresses::used_by([&first].into_iter())
        ));
        assert_eq!(second["spec"]["clusterIPs"], json!(["10.96.1.1"]));
        assert_eq!(second["spec"]["ports"][0]["nodePort"], 30_000);
        let mut changed = json!({ "spec": { "type": "ClusterIP" } });
        let used = ClusterAddresses::used_by([&first, &second].into_iter());
        assert!(allocate(&mut changed, Some(&second), used));
        assert_eq!(changed["spec"]["clusterIP"], "10.96.1.1");
        let mut headless = json!({ "spec": { "type": "ClusterIP", "clusterIP": "None" } });
        assert!(allocate(&mut headless, None, ClusterAddresses::default()));
        assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    }
}
