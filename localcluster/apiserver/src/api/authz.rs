//! Who may do what: role-based access control, evaluated on the roles and bindings in the store.

use http::StatusCode;
use serde_json::{Value, json};

use super::request::ResourceRequest;
use super::server::Server;
use super::user::User;
use crate::object;
use crate::registry::select;
use crate::status::ApiError;

/// Members of this group may do anything.
const MASTERS: &str = "system:masters";

const ROLES: &str = "/rbac.authorization.k8s.io/roles/";
const CLUSTER_ROLES: &str = "/rbac.authorization.k8s.io/clusterroles/";
const ROLE_BINDINGS: &str = "/rbac.authorization.k8s.io/rolebindings/";
const CLUSTER_ROLE_BINDINGS: &str = "/rbac.authorization.k8s.io/clusterrolebindings/";

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Something to objects.
    Resource {
        verb: String,
        group: String,
        /// With the subresource, if there is one: `pods/log`.
        resource: String,
        /// Empty for the cluster scope.
        namespace: String,
        /// Empty for all.
        name: String,
    },
    /// Something to a path.
    Path { verb: String, path: String },
}

impl Action {
    pub(crate) fn of(request: &ResourceRequest) -> Self {
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        };
        Self::Resource {
            verb: request.verb.as_str().to_owned(),
            group: request.group.clone(),
            resource,
            namespace: request.namespace.clone(),
            name: request.name.clone(),
        }
    }

    /// Returns whether a rule of a role allows this.
    fn is_allowed_by(&self, rule: &Value) -> bool {
        let lists = |field: &str, wanted: &str| {
            rule[field]
                .as_array()
                .into_iter()
                .flatten()
                .any(|value| value == wanted || value == "*")
        };
        match self {
            Self::Resource {
                verb,
                group,
                resource,
                name,
                ..
            } => {
                let names = rule["resourceNames"]
                    .as_array()
                    .filter(|names| !names.is_empty());
                lists("verbs", verb)
                    && lists("apiGroups", group)
                    && (lists("resources", resource) || lists_any_parent(rule, resource))
                    && names
                        .is_none_or(|names| names.iter().any(|allowed| allowed == name.as_str()))
            }
            Self::Path { verb, path } => {
                lists("verbs", verb)
                    && rule["nonResourceURLs"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|allowed| {
                            let allowed = allowed.as_str().unwrap_or_default();
                            allowed == path
                                || allowed
                                    .strip_suffix('*')
                                    .is_some_and(|prefix| path.starts_with(prefix))
                        })
            }
        }
    }

    fn namespace(&self) -> &str {
        match self {
            Self::Resource { namespace, .. } => namespace,
            Self::Path { .. } => "",
        }
    }
}

/// `*/scale` allows the subresource of any resource.
fn lists_any_parent(rule: &Value, resource: &str) -> bool {
    let Some((_, subresource)) = resource.split_once('/') else {
        return false;
    };
    let pattern = format!("*/{subresource}");
    rule["resources"]
        .as_array()
        .is_some_and(|list| list.iter().any(|value| *value == pattern))
}

impl Server {
    /// Returns whether the user may do this.
    pub(crate) fn allows(&self, user: &User, action: &Action) -> bool {
        user.groups.iter().any(|group| group == MASTERS)
            || self
                .rules(user, action.namespace())
                .iter()
                .any(|rule| action.is_allowed_by(rule))
    }

    /// The rules that apply to a user in a namespace.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Value> {
        let mut rules = Vec::new();
        for record in self.store.scan(CLUSTER_ROLE_BINDINGS) {
            if binds(&record.value, user, "") {
                rules.extend(self.role_rules(&record.value["roleRef"], ""));
            }
        }
        if !namespace.is_empty() {
            for record in self.store.scan(&format!("{ROLE_BINDINGS}{namespace}/")) {
                if binds(&record.value, user, namespace) {
                    rules.extend(self.role_rules(&record.value["roleRef"], namespace));
                }
            }
        }
        rules
    }

    fn role_rules(&self, reference: &Value, namespace: &str) -> Vec<Value> {
        let name = object::text(reference, "/name");
        let key = match object::text(reference, "/kind") {
            "ClusterRole" => format!("{CLUSTER_ROLES}{name}"),
            _ => format!("{ROLES}{namespace}/{name}"),
        };
        let Some(role) = self.store.get(&key) else {
            return Vec::new();
        };
        let own = |role: &Value| role["rules"].as_array().cloned().unwrap_or_default();
        let mut rules = own(&role.value);
        let selectors = &role.value["aggregationRule"]["clusterRoleSelectors"];
        for selector in selectors.as_array().into_iter().flatten() {
            for other in self.store.scan(CLUSTER_ROLES) {
                if select::selects(selector, &other.value["metadata"]["labels"]) {
                    rules.extend(own(&other.value));
                }
            }
        }
        rules
    }
}

/// Returns whether a binding names the user, one of their groups or their service account.
fn binds(binding: &Value, user: &User, namespace: &str) -> bool {
    binding["subjects"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|subject| {
            let name = object::text(subject, "/name");
            match object::text(subject, "/kind") {
                "User" => name == user.name,
                "Group" => user.groups.iter().any(|group| group == name),
                "ServiceAccount" => {
                    let given = object::text(subject, "/namespace");
                    let home = if given.is_empty() { namespace } else { given };
                    user.name == format!("system:serviceaccount:{home}:{name}")
                }
                _ => false,
            }
        })
}

/// The answer to somebody who may not.
pub(crate) fn forbidden(user: &User, action: &Action) -> ApiError {
    let (message, details) = match action {
        Action::Path { verb, path } => (
            format!(
                "forbidden: User {:?} cannot {verb} path {path:?}",
                user.name
            ),
            json!({}),
        ),
        Action::Resource {
            verb,
            group,
            resource,
            namespace,
            name,
        } => {
            let plural = resource.split('/').next().unwrap_or_default();
            let qualified = if group.is_empty() {
                plural.to_owned()
            } else {
                format!("{plural}.{group}")
            };
            let subject = if name.is_empty() {
                qualified
            } else {
                format!("{qualified} {name:?}")
            };
            let scope = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {namespace:?}")
            };
            let message = format!(
                "{subject} is forbidden: User {:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}",
                user.name
            );
            (
                message,
                json!({ "name": name, "group": group, "kind": plural }),
            )
        }
    };
    let mut error = ApiError::new(StatusCode::FORBIDDEN, "Forbidden", message);
    error.details = details;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(verb: &str, group: &str, resource: &str, name: &str) -> Action {
        Action::Resource {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn rules_allow_what_they_list() {
        let rule = json!({
            "verbs": ["get", "list"], "apiGroups": ["apps"],
            "resources": ["deployments", "deployments/status"],
        });
        assert!(resource("get", "apps", "deployments", "a").is_allowed_by(&rule));
        assert!(resource("list", "apps", "deployments/status", "").is_allowed_by(&rule));
        assert!(!resource("update", "apps", "deployments", "a").is_allowed_by(&rule));
        assert!(!resource("get", "", "deployments", "a").is_allowed_by(&rule));
        assert!(!resource("get", "apps", "deployments/scale", "a").is_allowed_by(&rule));
    }

    #[test]
    fn wildcards_names_and_subresources_count() {
        let all = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] });
        assert!(resource("delete", "x", "anything/sub", "a").is_allowed_by(&all));
        let scale = json!({ "verbs": ["get"], "apiGroups": ["*"], "resources": ["*/scale"] });
        assert!(resource("get", "apps", "deployments/scale", "a").is_allowed_by(&scale));
        assert!(!resource("get", "apps", "deployments", "a").is_allowed_by(&scale));
        let named = json!({
            "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"],
        });
        assert!(resource("get", "", "secrets", "one").is_allowed_by(&named));
        assert!(!resource("get", "", "secrets", "two").is_allowed_by(&named));
        assert!(!resource("get", "", "secrets", "").is_allowed_by(&named));
    }

    #[test]
    fn paths_are_allowed_exactly_or_by_prefix() {
        let rule = json!({ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/apis/*"] });
        let path = |path: &str| Action::Path {
            verb: "get".to_owned(),
            path: path.to_owned(),
        };
        assert!(
            path("/healthz").is_allowed_by(&rule) && path("/apis/apps/v1").is_allowed_by(&rule)
        );
        assert!(!path("/metrics").is_allowed_by(&rule) && !path("/healthz/x").is_allowed_by(&rule));
    }
}
