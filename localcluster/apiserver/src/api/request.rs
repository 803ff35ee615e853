//! What a request asks for, read from its method, path and query. The rules are upstream's
//! `RequestInfo`: authorization, metrics and dispatch all work on the same reading.

use http::{Method, Uri};

use crate::status::ApiError;

/// The verbs of authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// The verb as it stands in RBAC rules.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// A request for objects of some kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceRequest {
    pub(crate) verb: Verb,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    /// Empty when there is none.
    pub(crate) subresource: String,
    /// Empty when there is none.
    pub(crate) namespace: String,
    /// Empty when there is none.
    pub(crate) name: String,
}

/// A request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// About objects.
    Resource(ResourceRequest),
    /// About anything else: discovery, health, metrics.
    Path,
}

impl Target {
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(unescaped)
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Self::Path,
        };
        let (namespace, rest) = match rest {
            [] => return Self::Path,
            // The namespace itself and its subresources, not something inside it.
            ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => {
                (if rest.len() > 1 { rest[1] } else { "" }, rest)
            }
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        let name = part(1);
        let verb = match *method {
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE if name.is_empty() => Verb::DeleteCollection,
            Method::DELETE => Verb::Delete,
            _ if query.flag("watch") => Verb::Watch,
            _ if name.is_empty() => Verb::List,
            _ => Verb::Get,
        };
        Self::Resource(ResourceRequest {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            resource: part(0),
            subresource: rest.get(2..).unwrap_or_default().join("/"),
            namespace: namespace.to_owned(),
            name,
        })
    }
}

/// A path segment without percent escapes.
fn unescaped(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| std::str::from_utf8(after.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The query parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|query| Self(query.0))
            .map_err(|error| ApiError::bad_request(error.to_string()))
    }

    /// The first value of a parameter that is not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, value)| name == key && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// A yes-or-no parameter; no when it is missing.
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1" | "True"))
    }

    /// A number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        self.get(key)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "invalid value {text:?} of parameter {key}: not a number"
                    ))
                })
            })
            .transpose()
    }

    /// Returns whether to go through with the change; an error for anything but `All`.
    pub(crate) fn dry_run(&self) -> Result<bool, ApiError> {
        for value in self.all("dryRun") {
            if value != "All" {
                return Err(ApiError::bad_request(format!(
                    "dryRun: Unsupported value: {value:?}: supported values: \"All\""
                )));
            }
        }
        Ok(self.get("dryRun").is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, uri: &str) -> Target {
        let uri: Uri = uri.parse().unwrap();
        Target::parse(&method, uri.path(), &Query::parse(&uri).unwrap())
    }

    fn resource(target: Target) -> String {
        match target {
            Target::Resource(r) => format!(
                "{} {}/{} {} {:?} ns={} name={}",
                r.verb.as_str(),
                r.group,
                r.version,
                r.resource,
                r.subresource,
                r.namespace,
                r.name
            ),
            Target::Path => "path".to_owned(),
        }
    }

    #[test]
    fn paths_are_read_as_upstream_reads_them() {
        let cases = [
            (Method::GET, "/api/v1/pods", "list /v1 pods \"\" ns= name="),
            (
                Method::GET,
                "/api/v1/pods?watch=1",
                "watch /v1 pods \"\" ns= name=",
            ),
            (
                Method::GET,
                "/api/v1/namespaces",
                "list /v1 namespaces \"\" ns= name=",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a",
                "get /v1 namespaces \"\" ns=a name=a",
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/a/finalize",
                "update /v1 namespaces \"finalize\" ns=a name=a",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods/b/log",
                "get /v1 pods \"log\" ns=a name=b",
            ),
            (
                Method::DELETE,
                "/apis/apps/v1/namespaces/a/deployments",
                "deletecollection apps/v1 deployments \"\" ns=a name=",
            ),
            (
                Method::PATCH,
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                "patch apps/v1 deployments \"scale\" ns=a name=d",
            ),
            (Method::GET, "/apis/apps/v1", "path"),
            (Method::GET, "/healthz", "path"),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(resource(parse(method, uri)), expected, "{uri}");
        }
    }
}
