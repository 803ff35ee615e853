//! CustomResourceDefinitions, checked as upstream checks them.
//!
//! Upstream first moves what all versions have in common to the definition itself, and its messages name
//! the fields by where they are then: `spec.validation.openAPIV3Schema` and not
//! `spec.versions[0].schema.openAPIV3Schema` when there is one version, or the versions have one schema.
//! See [`common::Common`].
//!
//! Differences from upstream:
//! - Conversion webhooks are refused, as this server does not call them.
//! - `selectableFields` are not checked; a warning says that they do nothing.
//! - Where upstream prints versions or a schema whole, only names or the text of the manifest are printed.
//! - An update is checked as a creation is. Upstream accepts what was wrong before it knew better.

mod approval;
mod columns;
mod common;
mod names;
mod schema;
mod subresources;
mod versions;

use serde_json::{Value, json};

use super::{Causes, items};
use crate::object;
use common::Common;

pub(super) fn object(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let expected = format!(
        "{}.{}",
        object::text(spec, "/names/plural"),
        object::text(spec, "/group")
    );
    if object::name(new) != expected {
        causes.invalid(
            "metadata.name",
            &json!(object::name(new)),
            "must be spec.names.plural+\".\"+spec.group",
        );
    }
    names::group(&spec["group"], causes);
    scope(&spec["scope"], causes);
    let common = Common::of(spec);
    versions::check(spec, &common, causes);
    names::check(&spec["names"], causes);
    common.check(spec, causes);
    conversion(spec, causes);
    if let Some(old) = old {
        unchanged(spec, old, causes);
    }
    versions::stored(new, causes);
    approval::check(new, old, causes);
    if spec["preserveUnknownFields"] == true {
        causes.invalid(
            "spec.preserveUnknownFields",
            &json!(true),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        );
    }
}

fn scope(scope: &Value, causes: &mut Causes) {
    if scope.as_str().unwrap_or_default().is_empty() {
        causes.required("spec.scope", "");
    } else {
        causes.supported("spec.scope".to_owned(), scope, &["Cluster", "Namespaced"]);
    }
}

fn conversion(spec: &Value, causes: &mut Causes) {
    const STRATEGY: &str = "spec.conversion.strategy";
    let conversion = &spec["conversion"];
    match conversion["strategy"].as_str().unwrap_or_default() {
        "" => causes.required(STRATEGY, ""),
        "Webhook" => causes.forbidden(
            STRATEGY,
            "this server converts between versions only by changing apiVersion: use None",
        ),
        _ => causes.supported(
            STRATEGY.to_owned(),
            &conversion["strategy"],
            &["None", "Webhook"],
        ),
    }
    if conversion["strategy"] == "Webhook" {
        return;
    }
    let webhook = &conversion["webhook"];
    for (set, field) in [
        (!webhook["clientConfig"].is_null(), "webhookClientConfig"),
        (
            items(&webhook["conversionReviewVersions"]).next().is_some(),
            "conversionReviewVersions",
        ),
    ] {
        if set {
            causes.forbidden(
                format!("spec.conversion.{field}"),
                "should not be set when strategy is not set to Webhook",
            );
        }
    }
}

/// Checks what the stored objects depend on.
fn unchanged(spec: &Value, old: &Value, causes: &mut Causes) {
    let established = items(&old["status"]["conditions"])
        .any(|(_, condition)| condition["type"] == "Established" && condition["status"] == "True");
    let old = &old["spec"];
    if established {
        causes.immutable("spec.scope", &spec["scope"], &old["scope"]);
        let (new, old) = (&spec["names"]["kind"], &old["names"]["kind"]);
        causes.immutable("spec.names.kind", new, old);
    }
    causes.immutable("spec.group", &spec["group"], &old["group"]);
    let (new, old) = (&spec["names"]["plural"], &old["names"]["plural"]);
    causes.immutable("spec.names.plural", new, old);
}
