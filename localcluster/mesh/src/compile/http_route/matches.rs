//! Compiles `HTTPRouteMatch` to Envoy's `RouteMatch`, with its precedence.

use std::{cmp::Reverse, collections::BTreeSet};

use serde_json::{Map, Value, json};

use super::super::matches::{check_regex, insert_list, is_header_name};
use crate::{
    gateway_api::{HttpRouteMatch, MatchType, PathMatch, PathMatchType, ValueMatch},
    problem::Report,
};

/// The precedence of a match according to the Gateway API: the path, then a method, then the number of headers, then
/// the number of query parameters. The specification leaves regular expressions open. Here they come before prefixes,
/// because after them `/` would hide them all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    path: Path,
    without_method: bool,
    headers: Reverse<usize>,
    query_params: Reverse<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    Exact,
    Regex(Reverse<usize>),
    Prefix(Reverse<usize>),
}

type Envoy = Map<String, Value>;

/// Compiles all matches of a rule. A rule without matches applies to every request.
pub(super) fn compile(
    matches: &[HttpRouteMatch],
    field: &str,
    report: &mut Report,
) -> Vec<(Precedence, Envoy)> {
    let every = HttpRouteMatch {
        path: PathMatch::default(),
        headers: Vec::new(),
        query_params: Vec::new(),
        method: None,
    };
    let matches = match matches {
        [] => std::slice::from_ref(&every),
        some => some,
    };
    let numbered = matches.iter().enumerate();
    numbered
        .map(|(index, one)| compile_one(one, &format!("{field}.matches[{index}]"), report))
        .collect()
}

fn compile_one(one: &HttpRouteMatch, field: &str, report: &mut Report) -> (Precedence, Envoy) {
    let (path, mut envoy) = compile_path(&one.path, &format!("{field}.path"), report);
    let mut headers = values(&one.headers, &format!("{field}.headers"), true, report);
    let precedence = Precedence {
        path,
        without_method: one.method.is_none(),
        headers: Reverse(headers.len()),
        query_params: Reverse(one.query_params.len()),
    };
    if let Some(method) = one.method {
        headers.push(json!({ "name": ":method", "string_match": { "exact": method } }));
    }
    insert_list(&mut envoy, "headers", headers);
    let field = format!("{field}.queryParams");
    let parameters = values(&one.query_params, &field, false, report);
    insert_list(&mut envoy, "query_parameters", parameters);
    (precedence, envoy)
}

fn compile_path(path: &PathMatch, field: &str, report: &mut Report) -> (Path, Envoy) {
    let value = path.value.as_str();
    let (rank, name, condition) = match path.r#type {
        PathMatchType::RegularExpression => {
            if let Err(message) = check_regex(value) {
                report.invalid(format!("{field}.value"), message);
            }
            let rank = Path::Regex(Reverse(value.len()));
            (rank, "safe_regex", json!({ "regex": value }))
        }
        PathMatchType::Exact => {
            check_path(value, field, report);
            (Path::Exact, "path", json!(value))
        }
        PathMatchType::PathPrefix => {
            check_path(value, field, report);
            // A trailing slash has no meaning: /a/ and /a are the same prefix.
            match value.trim_end_matches('/') {
                "" => (Path::Prefix(Reverse(1)), "prefix", json!("/")),
                elements => {
                    let rank = Path::Prefix(Reverse(elements.len()));
                    (rank, "path_separated_prefix", json!(elements))
                }
            }
        }
    };
    (rank, Map::from_iter([(name.to_owned(), condition)]))
}

/// Reports a path that can never match, because Envoy normalizes the path of a request first.
fn check_path(path: &str, field: &str, report: &mut Report) {
    let fits = path.starts_with('/')
        && !["//", "/./", "/../"].iter().any(|part| path.contains(part))
        && !["/.", "/.."].iter().any(|end| path.ends_with(end))
        && !path.to_ascii_lowercase().contains("%2f")
        && path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&b));
    if !fits {
        report.invalid(
            format!("{field}.value"),
            format!("{path:?} is not a valid path; write it as in a URL, starting with /, without // and /.."),
        );
    }
}

fn values(values: &[ValueMatch], field: &str, headers: bool, report: &mut Report) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut envoy = Vec::new();
    for value in values {
        let field = format!("{field}[{}]", value.name);
        let name = match headers {
            true => value.name.to_ascii_lowercase(),
            false => value.name.clone(),
        };
        if !is_header_name(&value.name) {
            report.invalid(
                &field,
                format!(
                    "{:?} is not a valid name of a header or parameter",
                    value.name
                ),
            );
        }
        // If a name appears twice, the first entry applies.
        if !seen.insert(name.clone()) {
            continue;
        }
        let condition = match value.r#type {
            MatchType::Exact => json!({ "exact": value.value }),
            MatchType::RegularExpression => {
                if let Err(message) = check_regex(&value.value) {
                    report.invalid(format!("{field}.value"), message);
                }
                json!({ "safe_regex": { "regex": value.value } })
            }
        };
        envoy.push(json!({ "name": name, "string_match": condition }));
    }
    envoy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(one: Value) -> Precedence {
        let one: HttpRouteMatch = serde_json::from_value(one).unwrap();
        let mut report = Report::new(crate::problem::ObjectId {
            api_version: String::new(),
            kind: String::new(),
            namespace: String::new(),
            name: String::new(),
            uid: String::new(),
            generation: 0,
        });
        let precedence = compile_one(&one, "", &mut report).0;
        assert!(report.into_problems().is_empty(), "{one:?}");
        precedence
    }

    #[test]
    fn matches_are_ordered_by_the_precedence_of_the_gateway_api() {
        let path = |kind: &str, value: &str| json!({ "path": { "type": kind, "value": value } });
        let header = |name: &str| json!({ "name": name, "value": "x" });
        let in_order = [
            path("Exact", "/a"),
            path("RegularExpression", "/[a-z]+"),
            path("PathPrefix", "/longer"),
            json!({ "path": { "value": "/a" }, "method": "GET" }),
            json!({ "path": { "value": "/a" }, "headers": [header("p"), header("q")] }),
            json!({ "path": { "value": "/a" }, "headers": [header("p")], "queryParams": [header("q")] }),
            json!({ "path": { "value": "/a/" }, "headers": [header("p")] }),
            json!({ "path": { "value": "/a" }, "queryParams": [header("q")] }),
            path("PathPrefix", "/a"),
            json!({}),
        ];
        let ranks: Vec<Precedence> = in_order.iter().cloned().map(rank).collect();
        for (index, pair) in ranks.windows(2).enumerate() {
            assert!(
                pair[0] < pair[1],
                "{} must precede the next match",
                in_order[index]
            );
        }
    }
}
