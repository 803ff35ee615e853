//! The filters of a rule.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    super::{Copy, actions::redirect_code, check_regex, headers, policies},
    backends::resolve,
    modifier::operations,
};
use crate::{
    gateway_api::{
        CorsFilter, FilterType, HttpRouteFilter, HttpRouteRule, PathMatchType, PathModifier,
        PathModifierType, RequestMirror, RequestRedirect, UrlRewrite,
    },
    istio::{CorsPolicy, Percent, StringMatch},
    problem::Report,
};

/// The compiled filters of a rule.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// Fields of Envoy's `RouteAction`.
    pub(super) options: Map<String, Value>,
    /// Mirrors.
    pub(super) mirrors: Vec<Copy>,
    /// Envoy's `RedirectAction`.
    pub(super) redirect: Option<Value>,
}

/// Compiles the filters. Adds header changes and settings of Envoy's filters to `extras`.
pub(super) fn compile(
    rule: &HttpRouteRule,
    field: &str,
    namespace: &str,
    report: &mut Report,
    extras: &mut Map<String, Value>,
) -> Filters {
    let mut filters = Filters::default();
    let mut seen = BTreeSet::new();
    for (index, filter) in rule.filters.iter().enumerate() {
        let field = format!("{field}.filters[{index}]");
        let kind = filter.r#type;
        if !seen.insert(format!("{kind:?}")) && kind != FilterType::RequestMirror {
            report.invalid(&field, format!("a rule can have only one {kind:?}"));
            continue;
        }
        if one(
            filter,
            rule,
            &field,
            namespace,
            report,
            extras,
            &mut filters,
        )
        .is_none()
        {
            let message = format!("a filter of type {kind:?} requires the field of that name");
            report.invalid(field, message);
        }
    }
    if seen.contains("RequestRedirect") && seen.contains("URLRewrite") {
        let message = "a rule cannot have both RequestRedirect and URLRewrite; remove one of them";
        report.invalid(format!("{field}.filters"), message);
    }
    filters
}

/// Compiles one filter. Returns `None` if the field that its type requires is missing.
fn one(
    filter: &HttpRouteFilter,
    rule: &HttpRouteRule,
    field: &str,
    namespace: &str,
    report: &mut Report,
    extras: &mut Map<String, Value>,
    filters: &mut Filters,
) -> Option<()> {
    match filter.r#type {
        FilterType::RequestHeaderModifier => {
            let changes = operations(filter.request_header_modifier.as_ref()?);
            let field = format!("{field}.requestHeaderModifier");
            if let Some(authority) =
                headers::operations(&changes, "request", &field, report, extras)
            {
                filters
                    .options
                    .insert("host_rewrite_literal".into(), json!(authority));
            }
        }
        FilterType::ResponseHeaderModifier => {
            let changes = operations(filter.response_header_modifier.as_ref()?);
            let field = format!("{field}.responseHeaderModifier");
            headers::operations(&changes, "response", &field, report, extras);
        }
        FilterType::RequestMirror => {
            let field = format!("{field}.requestMirror");
            let mirror = filter.request_mirror.as_ref()?;
            filters
                .mirrors
                .push(copy(mirror, &field, namespace, report));
        }
        FilterType::RequestRedirect => {
            let field = format!("{field}.requestRedirect");
            let to = filter.request_redirect.as_ref()?;
            filters.redirect = redirect(to, rule, &field, report);
        }
        FilterType::URLRewrite => {
            let field = format!("{field}.urlRewrite");
            rewrite(
                filter.url_rewrite.as_ref()?,
                rule,
                &field,
                report,
                &mut filters.options,
            );
        }
        FilterType::CORS => {
            let field = format!("{field}.cors");
            let policy = sharing(filter.cors.as_ref()?);
            let settings = policies::share_origins(&policy, &field, report);
            let settings = json!({ "envoy.filters.http.cors": settings });
            extras.insert("typed_per_filter_config".into(), settings);
        }
        FilterType::ExtensionRef => {
            let to = filter.extension_ref.as_ref()?;
            let message = format!(
                "{} {} is not supported; this mesh has only the filters of the Gateway API",
                to.kind, to.name
            );
            report.invalid(format!("{field}.extensionRef"), message);
        }
    }
    Some(())
}

fn copy(mirror: &RequestMirror, field: &str, namespace: &str, report: &mut Report) -> Copy {
    let backend = format!("{field}.backendRef");
    let (destination, refused) = resolve(&mirror.backend_ref, namespace, &backend, report);
    let percent = match (mirror.percent, mirror.fraction) {
        (Some(_), Some(_)) => {
            report.invalid(field, "set only one of percent and fraction");
            100.0
        }
        (Some(percent), None) => percent.into(),
        (None, Some(part)) if part.denominator == 0 || part.numerator > part.denominator => {
            let message = "a fraction must be at most 1, and its denominator at least 1";
            report.invalid(format!("{field}.fraction"), message);
            100.0
        }
        (None, Some(part)) => 100.0 * f64::from(part.numerator) / f64::from(part.denominator),
        (None, None) => 100.0,
    };
    let share = Percent { value: percent };
    let fraction = policies::fraction(share, &format!("{field}.percent"), report);
    Copy {
        field: backend,
        destination,
        refused,
        fraction: json!({ "default_value": fraction }),
    }
}

fn redirect(
    to: &RequestRedirect,
    rule: &HttpRouteRule,
    field: &str,
    report: &mut Report,
) -> Option<Value> {
    let code = redirect_code(
        to.status_code.into(),
        &format!("{field}.statusCode"),
        report,
    )?;
    let mut envoy = Map::from_iter([("response_code".to_owned(), json!(code))]);
    if let Some(scheme) = &to.scheme {
        envoy.insert("scheme_redirect".into(), json!(scheme));
    }
    if let Some(host) = &to.hostname {
        envoy.insert("host_redirect".into(), json!(host));
    }
    if let Some(port) = to.port {
        envoy.insert("port_redirect".into(), json!(port));
    }
    match path(to.path.as_ref(), rule, &format!("{field}.path"), report) {
        Some(NewPath::Full(path)) => drop(envoy.insert("path_redirect".into(), json!(path))),
        Some(NewPath::Envoy(name, value)) => drop(envoy.insert(name.into(), value)),
        None => {}
    }
    Some(envoy.into())
}

fn rewrite(
    to: &UrlRewrite,
    rule: &HttpRouteRule,
    field: &str,
    report: &mut Report,
    options: &mut Map<String, Value>,
) {
    if let Some(host) = &to.hostname {
        options.insert("host_rewrite_literal".into(), json!(host));
    }
    match path(to.path.as_ref(), rule, &format!("{field}.path"), report) {
        Some(NewPath::Full(path)) => {
            let all = regex_rewrite("^.*$", &path.replace('\\', r"\\"));
            options.insert("regex_rewrite".into(), all);
        }
        Some(NewPath::Envoy(name, value)) => drop(options.insert(name.into(), value)),
        None => {}
    }
}

/// The way to build the new path.
enum NewPath {
    /// The complete path.
    Full(String),
    /// A field of Envoy's redirect or route.
    Envoy(&'static str, Value),
}

fn path(
    modifier: Option<&PathModifier>,
    rule: &HttpRouteRule,
    field: &str,
    report: &mut Report,
) -> Option<NewPath> {
    let modifier = modifier?;
    match (
        modifier.r#type,
        &modifier.replace_full_path,
        &modifier.replace_prefix_match,
    ) {
        (PathModifierType::ReplaceFullPath, Some(path), None) => {
            let slash = if path.starts_with('/') { "" } else { "/" };
            Some(NewPath::Full(format!("{slash}{path}")))
        }
        (PathModifierType::ReplacePrefixMatch, None, Some(replacement)) => {
            let prefix = match &rule.matches[..] {
                [] => "/",
                [only] if only.path.r#type == PathMatchType::PathPrefix => &only.path.value,
                _ => {
                    let message = "replacePrefixMatch requires a rule with exactly one match, of type PathPrefix";
                    report.invalid(format!("{field}.replacePrefixMatch"), message);
                    return None;
                }
            };
            Some(replace_prefix(prefix, replacement))
        }
        (kind, ..) => {
            let message =
                format!("a path of type {kind:?} requires the field of that name and no other");
            report.invalid(field, message);
            None
        }
    }
}

/// Replaces a prefix of whole path elements. Trailing slashes of the prefix and of the replacement have no meaning, and
/// the rest of the path begins with a slash.
fn replace_prefix(prefix: &str, replacement: &str) -> NewPath {
    let prefix = prefix.trim_end_matches('/');
    let replacement = replacement.trim_end_matches('/');
    let slash = if replacement.is_empty() || replacement.starts_with('/') {
        ""
    } else {
        "/"
    };
    let replacement = format!("{slash}{replacement}");
    if !prefix.is_empty() && !replacement.is_empty() {
        return NewPath::Envoy("prefix_rewrite", json!(replacement));
    }
    let literal = regex::escape(prefix);
    let substitution = format!(r"{}/\1", replacement.replace('\\', r"\\"));
    let envoy = regex_rewrite(&format!("^{literal}/*(.*)$"), &substitution);
    NewPath::Envoy("regex_rewrite", envoy)
}

fn regex_rewrite(pattern: &str, substitution: &str) -> Value {
    debug_assert!(check_regex(pattern).is_ok());
    json!({ "pattern": { "regex": pattern }, "substitution": substitution })
}

/// Converts the filter to Istio's policy.
fn sharing(cors: &CorsFilter) -> CorsPolicy {
    let origin = |origin: &String| match origin.contains('*') {
        // `*` matches any part of the host, but not the scheme.
        true if origin == "*" => StringMatch {
            regex: Some(".*".into()),
            ..StringMatch::default()
        },
        true => StringMatch {
            regex: Some(regex::escape(origin).replace(r"\*", "[^/]+")),
            ..StringMatch::default()
        },
        false => StringMatch {
            exact: Some(origin.clone()),
            ..StringMatch::default()
        },
    };
    CorsPolicy {
        allow_origins: cors.allow_origins.iter().map(origin).collect(),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        max_age: Some(format!("{}s", cors.max_age)),
        allow_credentials: cors.allow_credentials,
        unmatched_preflights: Some("IGNORE".into()),
        ..CorsPolicy::default()
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    /// The examples from the documentation of the Gateway API, and edge cases.
    #[test]
    fn a_prefix_is_replaced_by_whole_path_elements() {
        for (prefix, replacement, path, expected) in [
            ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz", "/foo", "/xyz"),
            ("/foo", "/xyz", "/foo/", "/xyz/"),
            ("/foo", "", "/foo/bar", "/bar"),
            ("/foo/", "", "/foo/", "/"),
            ("/foo", "", "/foo", "/"),
            ("/foo", "/", "/foo/", "/"),
            ("/foo", "/", "/foo/bar", "/bar"),
            ("/", "/xyz", "/bar", "/xyz/bar"),
            ("/", "/xyz", "/", "/xyz/"),
            ("/a.b", "", "/a.b/c", "/c"),
        ] {
            let rewritten = match replace_prefix(prefix, replacement) {
                NewPath::Envoy("prefix_rewrite", new) => {
                    // Envoy replaces the prefix of the match.
                    let rest = &path[prefix.trim_end_matches('/').len()..];
                    format!("{}{rest}", new.as_str().unwrap())
                }
                NewPath::Envoy(_, regex) => {
                    let pattern = Regex::new(regex["pattern"]["regex"].as_str().unwrap()).unwrap();
                    let substitution = regex["substitution"].as_str().unwrap();
                    let substitution = substitution.replace(r"\1", "${1}");
                    pattern.replace_all(path, substitution).into_owned()
                }
                NewPath::Full(_) => unreachable!(),
            };
            assert_eq!(rewritten, expected, "{path}: {prefix} by {replacement:?}");
        }
    }
}
