//! Services and what stands behind and before them.

use serde_json::Value;

use super::{Printer, created, labels, name, number, text_or_none, texts};
use crate::object;

/// Endpoints shown before the rest is only counted.
const SHOWN: usize = 3;

pub(super) const SERVICE: Printer = Printer {
    columns: &[
        "Name",
        "Type",
        "Cluster-IP",
        "External-IP",
        "Port(s)",
        "Age",
        "Selector:1",
    ],
    cells: |object, now| {
        vec![
            name(object),
            object::text(object, "/spec/type").into(),
            text_or_none(object, "/spec/clusterIP"),
            external(object).into(),
            ports(object).into(),
            created(object, now),
            labels(&object["spec"]["selector"]).into(),
        ]
    },
};

fn external(service: &Value) -> String {
    let mut addresses: Vec<&str> = texts(&service["spec"]["externalIPs"]);
    match object::text(service, "/spec/type") {
        "ExternalName" => return object::text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
            addresses.extend(
                ingress.into_iter().flatten().filter_map(|entry| {
                    entry["ip"].as_str().or_else(|| entry["hostname"].as_str())
                }),
            );
            if addresses.is_empty() {
                return "<pending>".to_owned();
            }
        }
        _ => {}
    }
    if addresses.is_empty() {
        "<none>".to_owned()
    } else {
        addresses.join(",")
    }
}

fn ports(service: &Value) -> String {
    let shown: Vec<String> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let protocol = object::text(port, "/protocol");
            match number(port, "/nodePort") {
                0 => format!("{}/{protocol}", number(port, "/port")),
                node => format!("{}:{node}/{protocol}", number(port, "/port")),
            }
        })
        .collect();
    if shown.is_empty() {
        "<none>".to_owned()
    } else {
        shown.join(",")
    }
}

pub(super) const ENDPOINTS: Printer = Printer {
    columns: &["Name", "Endpoints", "Age"],
    cells: |object, now| vec![name(object), endpoints(object).into(), created(object, now)],
};

fn endpoints(object: &Value) -> String {
    let mut shown = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        let ports = subset["ports"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for address in subset["addresses"].as_array().into_iter().flatten() {
            let address = object::text(address, "/ip");
            if ports.is_empty() {
                shown.push(address.to_owned());
            }
            shown.extend(
                ports
                    .iter()
                    .map(|port| format!("{address}:{}", number(port, "/port"))),
            );
        }
    }
    cut(shown)
}

pub(super) const SLICE: Printer = Printer {
    columns: &["Name", "AddressType", "Ports", "Endpoints", "Age"],
    cells: |object, now| {
        let ports = object["ports"].as_array().into_iter().flatten();
        let ports = ports
            .map(|port| number(port, "/port").to_string())
            .collect();
        let addresses = object["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|endpoint| texts(&endpoint["addresses"]))
            .map(str::to_owned)
            .collect();
        vec![
            name(object),
            object::text(object, "/addressType").into(),
            cut(ports).into(),
            cut(addresses).into(),
            created(object, now),
        ]
    },
};

fn cut(mut shown: Vec<String>) -> String {
    let count = shown.len();
    if count == 0 {
        return "<none>".to_owned();
    }
    shown.truncate(SHOWN);
    let text = shown.join(",");
    if count > SHOWN {
        format!("{text} + {} more...", count - SHOWN)
    } else {
        text
    }
}

pub(super) const INGRESS: Printer = Printer {
    columns: &["Name", "Class", "Hosts", "Address", "Ports", "Age"],
    cells: |object, now| {
        let hosts: Vec<&str> = object["spec"]["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|rule| rule["host"].as_str())
            .collect();
        let hosts = if hosts.is_empty() {
            "*".to_owned()
        } else {
            hosts.join(",")
        };
        let secured = object["spec"]["tls"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        vec![
            name(object),
            text_or_none(object, "/spec/ingressClassName"),
            hosts.into(),
            object::text(object, "/status/loadBalancer/ingress/0/ip").into(),
            if secured { "80, 443" } else { "80" }.into(),
            created(object, now),
        ]
    },
};
