//! The weighted backends of a rule.

use serde_json::{Map, Value};

use super::super::{Refusal, Share, headers};
use super::modifier::operations;
use crate::{
    gateway_api::{BackendObjectReference, FilterType, HttpBackendRef, HttpRouteRule},
    istio::{Destination, PortSelector},
    problem::Report,
};

/// Compiles all backends of a rule.
pub(super) fn compile(
    rule: &HttpRouteRule,
    field: &str,
    namespace: &str,
    report: &mut Report,
) -> Vec<Share> {
    let backends = rule.backend_refs.iter().enumerate();
    backends
        .map(|(index, backend)| {
            let field = format!("{field}.backendRefs[{index}]");
            let (destination, refused) = resolve(&backend.service, namespace, &field, report);
            let mut headers = Map::new();
            let authority = filters(backend, &field, report, &mut headers);
            Share {
                field,
                destination,
                refused,
                weight: backend.weight,
                headers,
                authority,
            }
        })
        .collect()
}

/// Adds the header changes of a backend to `envoy`. Returns the new Host header.
fn filters(
    backend: &HttpBackendRef,
    field: &str,
    report: &mut Report,
    envoy: &mut Map<String, Value>,
) -> Option<String> {
    let mut authority = None;
    for (index, filter) in backend.filters.iter().enumerate() {
        let field = format!("{field}.filters[{index}]");
        let (modifier, kind) = match filter.r#type {
            FilterType::RequestHeaderModifier => (&filter.request_header_modifier, "request"),
            FilterType::ResponseHeaderModifier => (&filter.response_header_modifier, "response"),
            other => {
                let message = format!(
                    "{other:?} is not supported on a backend; move it to the filters of the rule"
                );
                report.invalid(format!("{field}.type"), message);
                continue;
            }
        };
        let Some(modifier) = modifier else {
            report.invalid(
                &field,
                format!(
                    "a filter of type {:?} requires the field of that name",
                    filter.r#type
                ),
            );
            continue;
        };
        let field = format!("{field}.{kind}HeaderModifier");
        let new = headers::operations(&operations(modifier), kind, &field, report, envoy);
        authority = new.or(authority);
    }
    authority
}

/// The Service that a reference in `namespace` names, and the reason why no requests are sent to it, if there is one.
pub(super) fn resolve(
    reference: &BackendObjectReference,
    namespace: &str,
    field: &str,
    report: &mut Report,
) -> (Destination, Option<Refusal>) {
    let of = reference.namespace.as_deref().unwrap_or(namespace);
    let destination = Destination {
        host: format!("{}.{of}", reference.name),
        subset: None,
        port: reference.port.map(|port| PortSelector {
            number: port.into(),
        }),
    };
    let refusal = if !reference.group.is_empty() || reference.kind != "Service" {
        let kind = &reference.kind;
        Some(Refusal {
            reason: "InvalidKind",
            message: format!(
                "{kind} {} is not a Service; this mesh sends requests only to Services",
                reference.name
            ),
        })
    } else if of != namespace {
        Some(Refusal {
            reason: "RefNotPermitted",
            message: format!(
                "Service {} is in another namespace, and this mesh does not read ReferenceGrants; move the route to namespace {of}",
                destination.host
            ),
        })
    } else {
        None
    };
    match &refusal {
        Some(refusal) => report.unsupported(field, &refusal.message),
        None if reference.port.is_none() => {
            report.invalid(format!("{field}.port"), "a Service requires a port");
        }
        None => {}
    }
    (destination, refusal)
}
