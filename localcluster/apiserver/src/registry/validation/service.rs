//! Services.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Causes, items, names, pod};
use crate::object;

pub(super) fn object(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    causes.supported(
        "spec.type".to_owned(),
        &spec["type"],
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
    );
    causes.supported(
        "spec.sessionAffinity".to_owned(),
        &spec["sessionAffinity"],
        &["ClientIP", "None"],
    );
    names::labels(&spec["selector"], "spec.selector", causes);
    let external = spec["type"] == "ExternalName";
    if external {
        causes.named("spec.externalName", &spec["externalName"], names::subdomain);
    } else {
        cluster_address(spec, causes);
    }
    let count = items(&spec["ports"]).count();
    if count == 0 && !external && spec["clusterIP"] != "None" {
        causes.required("spec.ports", "");
    }
    for (index, declared) in items(&spec["ports"]) {
        port(declared, &format!("spec.ports[{index}]"), count > 1, causes);
    }
    causes.unique("spec.ports", &spec["ports"], "name");
    if let Some(old) = old {
        let (before, after) = (
            object::text(old, "/spec/clusterIP"),
            object::text(new, "/spec/clusterIP"),
        );
        let was_external = old["spec"]["type"] == "ExternalName";
        if !before.is_empty() && before != after && !external && !was_external {
            causes.invalid(
                "spec.clusterIPs[0]",
                &json!([after]),
                "may not change once set",
            );
        }
    }
}

fn cluster_address(spec: &Value, causes: &mut Causes) {
    let address = spec["clusterIP"].as_str().unwrap_or_default();
    if !address.is_empty() && address != "None" && address.parse::<IpAddr>().is_err() {
        causes.invalid(
            "spec.clusterIPs[0]",
            &spec["clusterIP"],
            "must be empty, 'None', or a valid IP address",
        );
    }
}

fn port(port: &Value, path: &str, several: bool, causes: &mut Causes) {
    match port["name"].as_str() {
        None | Some("") if several => causes.required(format!("{path}.name"), ""),
        None | Some("") => {}
        Some(_) => causes.named(format!("{path}.name"), &port["name"], names::label),
    }
    if !port["port"]
        .as_i64()
        .is_some_and(|number| (1..=65_535).contains(&number))
    {
        causes.invalid(
            format!("{path}.port"),
            &json!(port["port"].as_i64().unwrap_or(0)),
            "must be between 1 and 65535, inclusive",
        );
    } else {
        pod::target_port(&port["targetPort"], &format!("{path}.targetPort"), causes);
    }
    causes.supported(
        format!("{path}.protocol"),
        &port["protocol"],
        &["SCTP", "TCP", "UDP"],
    );
}
