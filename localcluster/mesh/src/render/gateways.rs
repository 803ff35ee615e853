//! The hosts that each Istio `Gateway` admits.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt;

use crate::{
    istio::Gateway,
    problem::{ObjectId, Problem, Report},
};

/// Values of the label `istio` on the pods of Istio's ingress gateways.
const INGRESS_GATEWAYS: [&str; 2] = ["ingressgateway", "ingress"];

/// The HTTP servers of a gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entrance {
    /// The ports that clients of a real gateway would use.
    pub(super) ports: Vec<u16>,
    /// The admitted hosts, each with the namespace that its `VirtualService` must be in (`None` for any).
    pub(super) hosts: Vec<(Option<String>, String)>,
}

impl Entrance {
    /// The hosts admitted for a `VirtualService` in `namespace` that names `host`: the narrower of `host` and each
    /// host of the gateway.
    pub(super) fn admit(&self, host: &str, namespace: &str) -> Vec<String> {
        let admitted = self
            .hosts
            .iter()
            .filter(|(only, _)| only.as_deref().is_none_or(|only| only == namespace))
            .filter_map(|(_, allowed)| narrower(allowed, host));
        let mut admitted: Vec<String> = admitted.collect();
        admitted.sort();
        admitted.dedup();
        admitted
    }
}

/// The intersection of two host patterns: the narrower one if the other covers it.
pub(super) fn narrower(allowed: &str, host: &str) -> Option<String> {
    if covers(allowed, host) {
        Some(host.to_owned())
    } else {
        covers(host, allowed).then(|| allowed.to_owned())
    }
}

/// True if every name that matches `narrow` also matches `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    wide == "*"
        || wide == narrow
        || wide
            .strip_prefix('*')
            .is_some_and(|end| narrow.ends_with(end))
}

/// All gateways by `namespace/name`.
pub(super) fn read(
    gateways: &[Arc<Gateway>],
    problems: &mut std::collections::BTreeSet<Problem>,
) -> BTreeMap<String, Entrance> {
    let mut entrances = BTreeMap::new();
    for gateway in gateways {
        let mut report = Report::new(ObjectId::of(&**gateway));
        let entrance = read_one(gateway, &mut report);
        problems.extend(report.into_problems());
        let namespace = gateway.namespace().unwrap_or_default();
        entrances.insert(format!("{namespace}/{}", gateway.name_any()), entrance);
    }
    entrances
}

fn read_one(gateway: &Gateway, report: &mut Report) -> Entrance {
    let mut entrance = Entrance::default();
    let selector = &gateway.spec.selector;
    if let Some(other) = selector
        .get("istio")
        .filter(|value| !INGRESS_GATEWAYS.contains(&value.as_str()))
    {
        report.unsupported(
            "spec.selector",
            format!(
                "gateway {other:?} does not exist here, only one ingress does; the hosts are not served"
            ),
        );
        return entrance;
    }
    for (index, server) in gateway.spec.servers.iter().enumerate() {
        let field = format!("spec.servers[{index}]");
        let protocol = server.port.protocol.to_ascii_uppercase();
        if !["HTTP", "HTTP2", "GRPC", "GRPC-WEB"].contains(&protocol.as_str()) {
            report.unsupported(
                format!("{field}.port.protocol"),
                format!("the ingress serves plain HTTP, not {protocol:?}; the server is ignored"),
            );
            continue;
        }
        if server.bind.is_some() {
            report.unsupported(
                format!("{field}.bind"),
                "the ingress has one address for all servers",
            );
        }
        if server.tls.is_some() {
            report.unsupported(format!("{field}.tls"), "the ingress serves plain HTTP");
        }
        entrance.ports.extend(u16::try_from(server.port.number));
        for (index, host) in server.hosts.iter().enumerate() {
            let (namespace, host) = host.split_once('/').unwrap_or(("*", host));
            if !crate::compile::is_host(host) {
                let message =
                    format!("{host:?} is not a host name; write a DNS name, * or *.domain");
                report.invalid(format!("{field}.hosts[{index}]"), message);
                continue;
            }
            let namespace = match namespace {
                "*" => None,
                "." => gateway.namespace(),
                name => Some(name.to_owned()),
            };
            entrance.hosts.push((namespace, host.to_ascii_lowercase()));
        }
    }
    entrance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_admits_the_narrower_of_two_names() {
        let entrance = Entrance {
            ports: vec![80],
            hosts: vec![
                (None, "*.example.com".into()),
                (Some("shop".into()), "shop.test".into()),
            ],
        };
        assert_eq!(entrance.admit("a.example.com", "x"), ["a.example.com"]);
        assert_eq!(entrance.admit("*", "x"), ["*.example.com"]);
        assert_eq!(entrance.admit("*", "shop"), ["*.example.com", "shop.test"]);
        assert!(entrance.admit("shop.test", "x").is_empty());
        assert!(entrance.admit("example.com", "x").is_empty());
    }
}
