//! CustomResourceDefinitions.

use serde_json::{Value, json};

use super::{Causes, items, names};
use crate::object;
use crate::schema::{cel, structural};

pub(super) fn object(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let declared = &spec["names"];
    causes.named("spec.group", &spec["group"], names::subdomain);
    causes.named("spec.names.plural", &declared["plural"], names::label_1035);
    causes.named(
        "spec.names.singular",
        &declared["singular"],
        names::label_1035,
    );
    for field in ["kind", "listKind"] {
        if object::text(declared, &format!("/{field}")).is_empty() {
            causes.required(format!("spec.names.{field}"), "");
        }
    }
    let group = object::text(spec, "/group");
    let expected = format!("{}.{group}", object::text(declared, "/plural"));
    if object::name(new) != expected {
        causes.invalid(
            "metadata.name",
            &json!(object::name(new)),
            "must be spec.names.plural+\".\"+spec.group",
        );
    }
    if spec["scope"].is_null() {
        causes.required("spec.scope", "");
    }
    causes.supported(
        "spec.scope".to_owned(),
        &spec["scope"],
        &["Cluster", "Namespaced"],
    );
    if spec["conversion"]["strategy"] != "None" {
        causes.forbidden(
            "spec.conversion.strategy",
            "this server converts between versions only by changing apiVersion: use None",
        );
    }
    versions(spec, causes);
    if let Some(old) = old {
        causes.immutable("spec.scope", &spec["scope"], &old["spec"]["scope"]);
        causes.immutable("spec.group", &spec["group"], &old["spec"]["group"]);
        causes.immutable(
            "spec.names.kind",
            &declared["kind"],
            &old["spec"]["names"]["kind"],
        );
        causes.immutable(
            "spec.names.plural",
            &declared["plural"],
            &old["spec"]["names"]["plural"],
        );
    }
}

fn versions(spec: &Value, causes: &mut Causes) {
    if items(&spec["versions"]).next().is_none() {
        causes.required("spec.versions", "must have at least one version");
        return;
    }
    let storage = items(&spec["versions"])
        .filter(|(_, version)| version["storage"] == true)
        .count();
    if storage != 1 {
        causes.invalid(
            "spec.versions",
            &json!(storage),
            "must have exactly one version marked as storage version",
        );
    }
    for (index, version) in items(&spec["versions"]) {
        let path = format!("spec.versions[{index}]");
        causes.named(format!("{path}.name"), &version["name"], names::label_1035);
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_null() {
            causes.required(
                format!("{path}.schema.openAPIV3Schema"),
                "schemas are required",
            );
        } else {
            let path = format!("{path}.schema.openAPIV3Schema");
            causes.0.extend(structural::check(schema, &path));
            causes.0.extend(cel::report(schema, &path).causes);
        }
        for (column, declared) in items(&version["additionalPrinterColumns"]) {
            let path = format!("{path}.additionalPrinterColumns[{column}]");
            for field in ["name", "type", "jsonPath"] {
                if object::text(declared, &format!("/{field}")).is_empty() {
                    causes.required(format!("{path}.{field}"), "");
                }
            }
        }
        let scale = &version["subresources"]["scale"];
        if !scale.is_null() {
            for (field, prefix) in [
                ("specReplicasPath", ".spec."),
                ("statusReplicasPath", ".status."),
            ] {
                if !object::text(scale, &format!("/{field}")).starts_with(prefix) {
                    causes.invalid(
                        format!("{path}.subresources.scale.{field}"),
                        &scale[field],
                        &format!("should be a json path under {prefix}"),
                    );
                }
            }
        }
    }
    causes.unique("spec.versions", &spec["versions"], "name");
}
