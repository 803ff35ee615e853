//! Timeouts, retries, faults and cross-origin sharing.

use localcluster_shared::duration;
use serde_json::{Map, Value, json};

use super::matches;

use crate::{
    istio::{CorsPolicy, Fault, HttpRoute, Percent, Retry},
    problem::Report,
};

/// Istio's default retry conditions.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,reset-before-request,retriable-status-codes";

/// Istio's default retry policy: two retries, for failures in which the request was not processed. With `safe`, for
/// methods of RFC 9110 section 9.2.1, a request is also retried when its connection breaks before a response: a pod
/// that stops closes idle connections, and a request may be in flight on one of them.
pub fn default_retries(safe: bool) -> Value {
    let retry_on = if safe {
        format!("reset,{RETRY_ON}")
    } else {
        RETRY_ON.to_owned()
    };
    policy(2, &retry_on, &[503], true)
}

fn policy(attempts: u32, retry_on: &str, codes: &[u16], avoid_previous: bool) -> Value {
    let mut policy = json!({ "num_retries": attempts, "retry_on": retry_on });
    if !codes.is_empty() {
        policy["retriable_status_codes"] = json!(codes);
    }
    if avoid_previous {
        policy["retry_host_predicate"] = json!([{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }]);
        policy["host_selection_retry_max_attempts"] = json!(5);
    }
    policy
}

/// Compiles the retry policy. `None` means that the default applies, `Some(None)` that retries are off.
pub(super) fn retries(
    retry: Option<&Retry>,
    field: &str,
    report: &mut Report,
) -> Option<Option<Value>> {
    let retry = retry?;
    let Ok(attempts) = u32::try_from(retry.attempts) else {
        report.invalid(format!("{field}.attempts"), "attempts must not be negative");
        return Some(None);
    };
    if attempts == 0 {
        return Some(None);
    }
    if retry.retry_remote_localities.is_some() {
        report.unsupported(
            format!("{field}.retryRemoteLocalities"),
            "there is only one locality",
        );
    }
    let (conditions, codes): (Vec<&str>, Vec<&str>) = match retry.retry_on.as_deref() {
        None | Some("") => (vec![RETRY_ON], vec!["503"]),
        Some(list) => list
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .partition(|part| part.parse::<u16>().is_err()),
    };
    let codes: Vec<u16> = codes.iter().filter_map(|code| code.parse().ok()).collect();
    let mut retry_on = conditions.join(",");
    if !codes.is_empty()
        && !conditions
            .iter()
            .any(|condition| condition.contains("retriable-status-codes"))
    {
        retry_on = [conditions, vec!["retriable-status-codes"]]
            .concat()
            .join(",");
    }
    let avoid_previous = retry.retry_ignore_previous_hosts.unwrap_or(true);
    let mut policy = policy(attempts, &retry_on, &codes, avoid_previous);
    if let Some(text) = &retry.per_try_timeout {
        policy["per_try_timeout"] =
            json!(duration(text, &format!("{field}.perTryTimeout"), report)?);
    }
    if let Some(text) = &retry.backoff {
        let interval = duration(text, &format!("{field}.backoff"), report)?;
        policy["retry_back_off"] = json!({ "base_interval": interval });
    }
    Some(Some(policy))
}

/// Converts a duration to Envoy's format. Returns `None` and reports a problem if it is invalid.
pub(super) fn duration(text: &str, field: &str, report: &mut Report) -> Option<String> {
    match duration::parse(text) {
        Ok(duration) => Some(duration::protobuf(duration)),
        Err(message) => {
            report.invalid(field, message);
            None
        }
    }
}

/// Converts a percentage to Envoy's `FractionalPercent`, with a precision of 0.0001 percent.
pub(super) fn fraction(share: Percent, field: &str, report: &mut Report) -> Value {
    if !(0.0..=100.0).contains(&share.value) {
        report.invalid(
            field,
            format!("{} is not a percentage from 0 to 100", share.value),
        );
    }
    // The result is used only if the value is in range: the problem above makes the object invalid.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let numerator = (share.value.clamp(0.0, 100.0) * 10_000.0).round() as u32;
    json!({ "numerator": numerator, "denominator": "MILLION" })
}

/// Adds this route's settings of the fault and CORS filters to `extras`.
pub(super) fn filters(
    route: &HttpRoute,
    field: &str,
    report: &mut Report,
    extras: &mut Map<String, Value>,
) {
    let mut filters = Map::new();
    if let Some(fault) = &route.fault
        && let Some(settings) = inject(fault, &format!("{field}.fault"), report)
    {
        filters.insert("envoy.filters.http.fault".into(), settings);
    }
    if let Some(cors) = &route.cors_policy {
        let settings = share_origins(cors, &format!("{field}.corsPolicy"), report);
        filters.insert("envoy.filters.http.cors".into(), settings);
    }
    if !filters.is_empty() {
        extras.insert("typed_per_filter_config".into(), filters.into());
    }
}

fn inject(fault: &Fault, field: &str, report: &mut Report) -> Option<Value> {
    let mut settings = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
    });
    let none = Percent::default();
    if let Some(delay) = &fault.delay {
        let field = format!("{field}.delay");
        if delay.exponential_delay.is_some() {
            report.unsupported(format!("{field}.exponentialDelay"), "use fixedDelay");
        }
        if let Some(text) = &delay.fixed_delay {
            let time = duration(text, &format!("{field}.fixedDelay"), report)?;
            let whole = delay.percent.map(|whole| Percent {
                value: whole.into(),
            });
            let share = delay.percentage.or(whole).unwrap_or(none);
            settings["delay"] = json!({
                "fixed_delay": time,
                "percentage": fraction(share, &format!("{field}.percentage"), report),
            });
        }
    }
    if let Some(abort) = &fault.abort {
        let field = format!("{field}.abort");
        for (name, given) in [
            ("grpcStatus", abort.grpc_status.is_some()),
            ("http2Error", abort.http2_error.is_some()),
        ] {
            if given {
                report.unsupported(format!("{field}.{name}"), "use httpStatus");
            }
        }
        if let Some(status) = abort.http_status {
            if !(200..600).contains(&status) {
                report.invalid(
                    format!("{field}.httpStatus"),
                    "a status must be a number from 200 to 599",
                );
            }
            let share = abort.percentage.unwrap_or(none);
            settings["abort"] = json!({
                "http_status": status,
                "percentage": fraction(share, &format!("{field}.percentage"), report),
            });
        }
    }
    let effective = settings.get("delay").is_some() || settings.get("abort").is_some();
    effective.then_some(settings)
}

pub(super) fn share_origins(cors: &CorsPolicy, field: &str, report: &mut Report) -> Value {
    let mut settings = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
    });
    let mut origins: Vec<Value> = Vec::new();
    for origin in &cors.allow_origin {
        origins.push(match origin.as_str() {
            "*" => json!({ "safe_regex": { "regex": ".*" } }),
            origin => json!({ "exact": origin }),
        });
    }
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        let field = format!("{field}.allowOrigins[{index}]");
        if let Some(origin) = matches::string(origin, &field, report).flatten() {
            origins.push(origin);
        }
    }
    if !origins.is_empty() {
        settings["allow_origin_string_match"] = origins.into();
    }
    for (name, list) in [
        ("allow_methods", &cors.allow_methods),
        ("allow_headers", &cors.allow_headers),
        ("expose_headers", &cors.expose_headers),
    ] {
        if !list.is_empty() {
            settings[name] = json!(list.join(","));
        }
    }
    if let Some(text) = &cors.max_age {
        match duration::parse(text) {
            Ok(age) => settings["max_age"] = json!(age.as_secs().to_string()),
            Err(message) => report.invalid(format!("{field}.maxAge"), message),
        }
    }
    if let Some(allow) = cors.allow_credentials {
        settings["allow_credentials"] = json!(allow);
    }
    match cors.unmatched_preflights.as_deref() {
        None | Some("FORWARD" | "UNSPECIFIED") => {}
        Some("IGNORE") => settings["forward_not_matching_preflights"] = json!(false),
        Some(other) => report.invalid(
            format!("{field}.unmatchedPreflights"),
            format!("{other} is not supported; use FORWARD or IGNORE"),
        ),
    }
    settings
}
