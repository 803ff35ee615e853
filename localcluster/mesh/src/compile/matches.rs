//! Compiles Istio's `HTTPMatchRequest` to Envoy's `RouteMatch`.

use serde_json::{Map, Value, json};

use super::{Match, gateway_names};
use crate::{
    istio::{HttpMatch, StringMatch},
    problem::Report,
};

/// Compiles all matches of a route. The result is empty if none of them can ever match here.
pub(super) fn compile(
    matches: &[HttpMatch],
    field: &str,
    namespace: &str,
    report: &mut Report,
) -> Vec<Match> {
    if matches.is_empty() {
        return vec![Match {
            gateways: Vec::new(),
            port: None,
            condition: path(None, false, "", report),
        }];
    }
    matches
        .iter()
        .enumerate()
        .filter_map(|(index, condition)| {
            compile_one(
                condition,
                &format!("{field}.match[{index}]"),
                namespace,
                report,
            )
        })
        .collect()
}

fn compile_one(
    condition: &HttpMatch,
    field: &str,
    namespace: &str,
    report: &mut Report,
) -> Option<Match> {
    if condition.stat_prefix.is_some() {
        report.unsupported(
            format!("{field}.statPrefix"),
            "there are no statistics per route",
        );
    }
    let uri_field = format!("{field}.uri");
    let mut envoy = path(
        condition.uri.as_ref(),
        condition.ignore_uri_case,
        &uri_field,
        report,
    );
    let mut headers = Vec::new();
    for (header, name, part) in [
        (":method", "method", &condition.method),
        (":authority", "authority", &condition.authority),
        (":scheme", "scheme", &condition.scheme),
    ] {
        if let Some(part) = part {
            headers.extend(matcher(
                header,
                part,
                false,
                &format!("{field}.{name}"),
                report,
            ));
        }
    }
    for (part, headers_of, invert) in [
        ("headers", &condition.headers, false),
        ("withoutHeaders", &condition.without_headers, true),
    ] {
        for (name, value) in headers_of {
            let field = format!("{field}.{part}[{name}]");
            if is_header_name(name) {
                headers.extend(matcher(
                    &name.to_ascii_lowercase(),
                    value,
                    invert,
                    &field,
                    report,
                ));
            } else {
                report.invalid(field, format!("{name:?} is not a header name"));
            }
        }
    }
    insert_list(&mut envoy, "headers", headers);
    let mut parameters = Vec::new();
    for (name, value) in &condition.query_params {
        let field = format!("{field}.queryParams[{name}]");
        let Some(value) = string(value, &field, report) else {
            continue;
        };
        parameters.push(match value {
            Some(value) => json!({ "name": name, "string_match": value }),
            None => json!({ "name": name, "present_match": true }),
        });
    }
    insert_list(&mut envoy, "query_parameters", parameters);
    // Envoy does not know which pod sent a request. Ignoring the condition would route all requests where only some
    // should go, so the match never applies.
    let mut possible = true;
    for (name, given) in [
        ("sourceLabels", !condition.source_labels.is_empty()),
        ("sourceNamespace", condition.source_namespace.is_some()),
    ] {
        if given {
            possible = false;
            report.unsupported(
                format!("{field}.{name}"),
                "one proxy serves all pods and does not know which one sent a request; this match never applies",
            );
        }
    }
    let port = condition.port.map(u16::try_from);
    if let Some(Err(_)) = port {
        report.invalid(
            format!("{field}.port"),
            "a port must be a number from 1 to 65535",
        );
    }
    possible.then(|| Match {
        gateways: gateway_names(&condition.gateways, namespace),
        port: port.and_then(Result::ok),
        condition: envoy,
    })
}

/// The path condition of a `RouteMatch`. Without `uri` it matches any path.
fn path(
    uri: Option<&StringMatch>,
    ignore_case: bool,
    field: &str,
    report: &mut Report,
) -> Map<String, Value> {
    let mut envoy = Map::new();
    let condition = uri.and_then(|uri| string(uri, field, report)).flatten();
    match condition
        .as_ref()
        .and_then(Value::as_object)
        .and_then(|one| one.iter().next())
    {
        None => envoy.insert("prefix".into(), json!("/")),
        Some((kind, value)) => {
            let kind = if kind == "exact" { "path" } else { kind };
            envoy.insert(kind.into(), value.clone())
        }
    };
    if ignore_case && !envoy.contains_key("safe_regex") {
        envoy.insert("case_sensitive".into(), json!(false));
    }
    envoy
}

fn matcher(
    name: &str,
    value: &StringMatch,
    invert: bool,
    field: &str,
    report: &mut Report,
) -> Option<Value> {
    let mut envoy = match string(value, field, report)? {
        None => json!({ "name": name, "present_match": true }),
        Some(value) => json!({ "name": name, "string_match": value }),
    };
    if invert {
        envoy["invert_match"] = json!(true);
        if envoy.get("string_match").is_some() {
            // Otherwise a request without the header would not match.
            envoy["treat_missing_header_as_empty"] = json!(true);
        }
    }
    Some(envoy)
}

/// Compiles to Envoy's `StringMatcher`. `Some(None)` stands for mere presence. Returns `None` and reports a problem if
/// `value` is invalid.
pub(super) fn string(
    value: &StringMatch,
    field: &str,
    report: &mut Report,
) -> Option<Option<Value>> {
    match (&value.exact, &value.prefix, &value.regex) {
        (None, None, None) => Some(None),
        (Some(exact), None, None) => Some(Some(json!({ "exact": exact }))),
        // Every string has the empty prefix, but Envoy rejects it.
        (None, Some(prefix), None) if prefix.is_empty() => Some(None),
        (None, Some(prefix), None) => Some(Some(json!({ "prefix": prefix }))),
        (None, None, Some(regex)) => match check_regex(regex) {
            Ok(()) => Some(Some(json!({ "safe_regex": { "regex": regex } }))),
            Err(message) => {
                report.invalid(format!("{field}.regex"), message);
                None
            }
        },
        _ => {
            report.invalid(field, "set only one of exact, prefix and regex");
            None
        }
    }
}

/// Checks that RE2, Envoy's engine, accepts `pattern`. The regex crate is modelled on RE2 and has the same limits (no
/// look-around, no back-references). Envoy itself rejects the few patterns that only the crate accepts.
///
/// # Errors
/// A message for people that states the mistake.
pub fn check_regex(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("a regular expression must not be empty; remove the field".into());
    }
    regex::Regex::new(pattern).map(drop).map_err(|error| {
        let reason = error.to_string();
        let reason = reason
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        format!("{pattern:?} is not a valid RE2 regular expression: {reason}")
    })
}

/// True if `name` is a valid header name (a token of RFC 9110).
pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

pub(super) fn insert_list(envoy: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        envoy.insert(name.into(), list.into());
    }
}
