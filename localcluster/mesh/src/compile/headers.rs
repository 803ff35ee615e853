//! Header changes.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::matches::is_header_name;
use crate::{
    istio::{HeaderOperations, Headers},
    problem::Report,
};

/// A `%…%` command of Envoy's header formatter.
static COMMAND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"%[A-Z][A-Z0-9_]*(\([^)%]*\))?(:[0-9]+)?%").expect("the pattern is constant")
});

/// Adds the changes to `envoy` (a route or a weighted cluster). Returns the new Host header, which Envoy expects in
/// another field.
pub(super) fn compile(
    headers: Option<&Headers>,
    field: &str,
    report: &mut Report,
    envoy: &mut Map<String, Value>,
) -> Option<String> {
    let headers = headers?;
    let authority = headers.request.as_ref().and_then(|request| {
        operations(
            request,
            "request",
            &format!("{field}.headers.request"),
            report,
            envoy,
        )
    });
    if let Some(response) = &headers.response {
        operations(
            response,
            "response",
            &format!("{field}.headers.response"),
            report,
            envoy,
        );
    }
    authority
}

/// Adds the changes to the headers of `kind` (`request` or `response`) to `envoy`. Returns the new Host header.
pub(super) fn operations(
    operations: &HeaderOperations,
    kind: &str,
    field: &str,
    report: &mut Report,
    envoy: &mut Map<String, Value>,
) -> Option<String> {
    let mut authority = None;
    let mut changes = Vec::new();
    for (verb, headers, append) in [
        ("set", &operations.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
        ("add", &operations.add, "APPEND_IF_EXISTS_OR_ADD"),
    ] {
        for (name, value) in headers {
            let field = format!("{field}.{verb}[{name}]");
            let is_host = matches!(name.to_ascii_lowercase().as_str(), "host" | ":authority");
            if is_host && kind == "request" && verb == "set" {
                authority = Some(value.clone());
            } else if is_host || !is_header_name(name) {
                report.invalid(field, format!("header {name:?} cannot be changed"));
            } else if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
                report.invalid(field, "a header value must not contain control characters");
            } else {
                changes.push(json!({
                    "header": { "key": name, "value": escape(value) },
                    "append_action": append,
                    "keep_empty_value": true,
                }));
            }
        }
    }
    for (index, name) in operations.remove.iter().enumerate() {
        if name.eq_ignore_ascii_case("host") || !is_header_name(name) {
            let field = format!("{field}.remove[{index}]");
            report.invalid(field, format!("header {name:?} cannot be removed"));
        }
    }
    append(envoy, &format!("{kind}_headers_to_add"), changes);
    append(
        envoy,
        &format!("{kind}_headers_to_remove"),
        operations.remove.iter().map(|name| json!(name)).collect(),
    );
    authority
}

fn append(envoy: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        envoy.insert(name.into(), list.into());
    }
}

/// Escapes percent signs outside of formatter commands, as Istio does. A single `%` would make Envoy reject the whole
/// configuration.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let mut end = 0;
    for command in COMMAND.find_iter(value) {
        escaped.push_str(&value[end..command.start()].replace('%', "%%"));
        escaped.push_str(command.as_str());
        end = command.end();
    }
    escaped.push_str(&value[end..].replace('%', "%%"));
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_escaped_and_formatter_commands_are_kept() {
        assert_eq!(escape("100% sure"), "100%% sure");
        assert_eq!(escape("a%2Fb"), "a%%2Fb");
        assert_eq!(
            escape("%REQ(x-a)%-%DOWNSTREAM_REMOTE_ADDRESS%-5%"),
            "%REQ(x-a)%-%DOWNSTREAM_REMOTE_ADDRESS%-5%%"
        );
    }
}
