//! The action of a route: forward, redirect or respond directly.

use serde_json::{Map, Value, json};

use super::{Action, Copy, Forward, Share, check_regex, headers, is_host, policies};
use crate::{
    istio::{Destination, DirectResponse, HttpRoute, Percent, Redirect, Rewrite},
    problem::Report,
};

/// Compiles the action and adds the route's header changes to `extras`. Returns `None` and reports a problem if the
/// action is missing or invalid.
pub(super) fn compile(
    route: &HttpRoute,
    field: &str,
    report: &mut Report,
    extras: &mut Map<String, Value>,
) -> Option<Action> {
    let authority = headers::compile(route.headers.as_ref(), field, report, extras);
    match (&route.route[..], &route.redirect, &route.direct_response) {
        ([], Some(to), None) => redirect(to, &format!("{field}.redirect"), report),
        ([], None, Some(response)) => {
            direct_response(response, &format!("{field}.directResponse"), report)
        }
        ([_, ..], None, None) => forward(route, authority, field, report, extras),
        _ => {
            report.invalid(
                field,
                "a route needs exactly one of route, redirect and directResponse",
            );
            None
        }
    }
}

fn forward(
    route: &HttpRoute,
    authority: Option<String>,
    field: &str,
    report: &mut Report,
    extras: &mut Map<String, Value>,
) -> Option<Action> {
    let mut destinations = destinations(route, field, report);
    let mut options = Map::new();
    // In Istio a route has no timeout by default. Envoy's own default is 15 s.
    let timeout = match &route.timeout {
        None => "0s".to_owned(),
        Some(text) => policies::duration(text, &format!("{field}.timeout"), report)?,
    };
    options.insert("timeout".into(), json!(timeout));
    if let Some(rewrite) = &route.rewrite {
        rewrites(rewrite, &format!("{field}.rewrite"), report, &mut options);
    }
    if let Some(authority) = authority {
        options
            .entry("host_rewrite_literal")
            .or_insert(json!(authority));
    }
    let retries = policies::retries(route.retries.as_ref(), &format!("{field}.retries"), report);
    let default_retries = retries.is_none();
    if let Some(retries) = retries.flatten() {
        options.insert("retry_policy".into(), retries);
    }
    join_only(&mut destinations, extras, &mut options);
    Some(Action::Forward(Box::new(Forward {
        destinations,
        mirrors: mirrors(route, field, report),
        options,
        default_retries,
        per_try_timeout: None,
    })))
}

/// Moves the header changes of a single destination to its route: without weighted clusters Envoy has no other place
/// for them.
pub(super) fn join_only(
    destinations: &mut [Share],
    extras: &mut Map<String, Value>,
    options: &mut Map<String, Value>,
) {
    let [only] = destinations else { return };
    for (name, list) in std::mem::take(&mut only.headers) {
        match (extras.get_mut(&name), list) {
            (Some(Value::Array(present)), Value::Array(more)) => present.extend(more),
            (_, list) => drop(extras.insert(name, list)),
        }
    }
    if let Some(authority) = only.authority.take() {
        options.insert("host_rewrite_literal".into(), json!(authority));
    }
}

fn destinations(route: &HttpRoute, field: &str, report: &mut Report) -> Vec<Share> {
    let single = route.route.len() == 1;
    let mut shares = Vec::new();
    for (index, share) in route.route.iter().enumerate() {
        let field = format!("{field}.route[{index}]");
        check_destination(&share.destination, &format!("{field}.destination"), report);
        let mut changes = Map::new();
        let authority = headers::compile(share.headers.as_ref(), &field, report, &mut changes);
        shares.push(Share {
            field: format!("{field}.destination"),
            destination: share.destination.clone(),
            refused: None,
            // In Istio a single destination gets all requests, whatever its weight.
            weight: if single {
                100
            } else {
                share.weight.unwrap_or(0)
            },
            headers: changes,
            authority,
        });
    }
    match shares
        .iter()
        .map(|share| u64::from(share.weight))
        .sum::<u64>()
    {
        100 => {}
        0 => report.invalid(
            format!("{field}.route"),
            "the weights of all destinations are 0; give at least one a weight",
        ),
        sum => report.note(
            crate::problem::Reason::Unsupported,
            format!("{field}.route"),
            format!("the weights sum to {sum}, not 100; each is treated as a share of {sum}"),
        ),
    }
    shares
}

fn check_destination(destination: &Destination, field: &str, report: &mut Report) {
    if destination.host.starts_with('*') || !is_host(&destination.host) {
        let host = &destination.host;
        report.invalid(
            format!("{field}.host"),
            format!("{host:?} is not a Service name"),
        );
    }
    if let Some(port) = &destination.port
        && u16::try_from(port.number).map_or(true, |number| number == 0)
    {
        report.invalid(
            format!("{field}.port.number"),
            "a port must be a number from 1 to 65535",
        );
    }
}

fn mirrors(route: &HttpRoute, field: &str, report: &mut Report) -> Vec<Copy> {
    let mut copies = Vec::new();
    let percent = route.mirror_percent.or(route.mirror_percent_oldest);
    let percent = percent.map(|whole| Percent {
        value: whole.into(),
    });
    if let Some(mirror) = &route.mirror {
        let destination = mirror.destination.clone().unwrap_or_else(|| Destination {
            host: mirror.host.clone().unwrap_or_default(),
            subset: mirror.subset.clone(),
            port: mirror.port.clone(),
        });
        let share = route.mirror_percentage.or(percent);
        copies.push((format!("{field}.mirror"), destination, share));
    }
    for (index, mirror) in route.mirrors.iter().enumerate() {
        let destination = mirror.destination.clone().unwrap_or_default();
        copies.push((
            format!("{field}.mirrors[{index}]"),
            destination,
            mirror.percentage,
        ));
    }
    copies
        .into_iter()
        .map(|(field, destination, share)| {
            check_destination(&destination, &field, report);
            let share = share.unwrap_or(Percent { value: 100.0 });
            let fraction = json!({ "default_value": policies::fraction(share, &field, report) });
            Copy {
                field,
                destination,
                refused: None,
                fraction,
            }
        })
        .collect()
}

fn rewrites(rewrite: &Rewrite, field: &str, report: &mut Report, options: &mut Map<String, Value>) {
    if let Some(authority) = &rewrite.authority {
        options.insert("host_rewrite_literal".into(), json!(authority));
    }
    match (&rewrite.uri, &rewrite.uri_regex_rewrite) {
        (Some(_), Some(_)) => report.invalid(field, "give only one of uri and uriRegexRewrite"),
        (Some(uri), None) => {
            // Envoy replaces the matched part, whether that is a prefix or the whole path.
            options.insert("prefix_rewrite".into(), json!(uri));
        }
        (None, Some(substitution)) => {
            if let Err(message) = check_regex(&substitution.r#match) {
                report.invalid(format!("{field}.uriRegexRewrite.match"), message);
            }
            options.insert(
                "regex_rewrite".into(),
                json!({
                    "pattern": { "regex": substitution.r#match },
                    "substitution": substitution.rewrite,
                }),
            );
        }
        (None, None) => {}
    }
}

/// Envoy's name for the status code of a redirect.
pub(super) fn redirect_code(code: u32, field: &str, report: &mut Report) -> Option<&'static str> {
    let name = match code {
        301 => "MOVED_PERMANENTLY",
        302 => "FOUND",
        303 => "SEE_OTHER",
        307 => "TEMPORARY_REDIRECT",
        308 => "PERMANENT_REDIRECT",
        code => {
            let message = format!("{code} is not a redirect status; use 301, 302, 303, 307 or 308");
            report.invalid(field, message);
            return None;
        }
    };
    Some(name)
}

fn redirect(to: &Redirect, field: &str, report: &mut Report) -> Option<Action> {
    let code = to.redirect_code.unwrap_or(301);
    let code = redirect_code(code, &format!("{field}.redirectCode"), report)?;
    let mut envoy = json!({ "response_code": code });
    if let Some(path) = to.uri.as_deref().filter(|path| !path.is_empty()) {
        envoy["path_redirect"] = json!(path);
    }
    if let Some(host) = &to.authority {
        envoy["host_redirect"] = json!(host);
    }
    if let Some(scheme) = &to.scheme {
        envoy["scheme_redirect"] = json!(scheme);
    }
    match (to.port, to.derive_port.as_deref()) {
        (Some(port), _) => envoy["port_redirect"] = json!(port),
        (None, None | Some("FROM_REQUEST_PORT")) => {}
        (None, Some(other)) => report.unsupported(
            format!("{field}.derivePort"),
            format!("{other} is not supported; set port to a number"),
        ),
    }
    Some(Action::Redirect(envoy))
}

fn direct_response(response: &DirectResponse, field: &str, report: &mut Report) -> Option<Action> {
    if !(200..600).contains(&response.status) {
        report.invalid(
            format!("{field}.status"),
            "a status must be a number from 200 to 599",
        );
        return None;
    }
    let mut envoy = json!({ "status": response.status });
    if let Some(body) = &response.body {
        if let Some(text) = &body.string {
            envoy["body"] = json!({ "inline_string": text });
        } else if let Some(bytes) = &body.bytes {
            envoy["body"] = json!({ "inline_bytes": bytes });
        }
    }
    // Envoy's limit for an inline body.
    let long = |part: &Value| part.as_str().is_some_and(|text| text.len() > 4096);
    if envoy["body"]
        .as_object()
        .is_some_and(|body| body.values().any(long))
    {
        report.invalid(
            format!("{field}.body"),
            "a body can have at most 4096 bytes",
        );
        return None;
    }
    Some(Action::Respond(envoy))
}
