//! Conditions: Istio's `HTTPMatchRequest` as Envoy's `RouteMatch`.

use serde_json::{Map, Value, json};

use super::{Match, gateway_names};
use crate::{
    istio::{HttpMatch, StringMatch},
    problem::Report,
};

/// All conditions of a route. Empty when none of them can ever hold here.
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
            "there are no counters by route",
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
                report.invalid(field, format!("{name:?} is no header name"));
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
    // Envoy cannot tell here which pod a request comes from. Ignoring the condition would send
    // everybody where only some should go, so the condition never holds.
    let mut possible = true;
    for (name, given) in [
        ("sourceLabels", !condition.source_labels.is_empty()),
        ("sourceNamespace", condition.source_namespace.is_some()),
    ] {
        if given {
            possible = false;
            report.unsupported(
                format!("{field}.{name}"),
                "one proxy serves all pods and cannot tell which one asks; the condition never holds",
            );
        }
    }
    let port = condition.port.map(u16::try_from);
    if let Some(Err(_)) = port {
        report.invalid(
            format!("{field}.port"),
            "a port is a number from 1 to 65535",
        );
    }
    possible.then(|| Match {
        gateways: gateway_names(&condition.gateways, namespace),
        port: port.and_then(Result::ok),
        condition: envoy,
    })
}

/// The part of a `RouteMatch` that looks at the path; any path without a condition.
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
            // Without this a request that lacks the header would not match either.
            envoy["treat_missing_header_as_empty"] = json!(true);
        }
    }
    Some(envoy)
}

/// Envoy's `StringMatcher`; `Some(None)` asks for presence, `None` stands for a mistake, reported.
pub(super) fn string(
    value: &StringMatch,
    field: &str,
    report: &mut Report,
) -> Option<Option<Value>> {
    match (&value.exact, &value.prefix, &value.regex) {
        (None, None, None) => Some(None),
        (Some(exact), None, None) => Some(Some(json!({ "exact": exact }))),
        // Envoy refuses an empty prefix; every string has it.
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
            report.invalid(field, "give only one of exact, prefix and regex");
            None
        }
    }
}

/// Whether RE2, the engine of Envoy, will take `pattern`. The regex crate descends from RE2 and has
/// the same limits (no look-around, no back-references); the little that only one of them knows
/// is caught when Envoy refuses the configuration.
///
/// # Errors
/// What is wrong with it.
pub fn check_regex(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("an empty regular expression matches nothing here; leave it out".into());
    }
    regex::Regex::new(pattern).map(drop).map_err(|error| {
        let reason = error.to_string();
        let reason = reason
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        format!("{pattern:?} is no regular expression of RE2: {reason}")
    })
}

/// Whether `name` may stand before the colon of a header line.
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
