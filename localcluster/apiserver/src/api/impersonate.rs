//! Acting as somebody else (`kubectl --as`), for those who may.

use http::{HeaderMap, HeaderName};

use super::authz::{self, Action};
use super::server::Server;
use super::user::User;
use crate::status::ApiError;

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");

/// The user as whom a request is to be answered.
pub(crate) fn effective_user(
    server: &Server,
    user: User,
    headers: &HeaderMap,
) -> Result<User, ApiError> {
    let texts = |name: &HeaderName| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect()
    };
    let (names, groups) = (texts(&USER), texts(&GROUP));
    let Some(name) = names.into_iter().next() else {
        if headers
            .keys()
            .any(|header| header.as_str().starts_with("impersonate-"))
        {
            return Err(ApiError::bad_request(
                "impersonation needs a user: set Impersonate-User",
            ));
        }
        return Ok(user);
    };
    let account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let mut actions = vec![match account {
        Some((namespace, name)) => impersonation("serviceaccounts", namespace, name),
        None => impersonation("users", "", &name),
    }];
    actions.extend(
        groups
            .iter()
            .map(|group| impersonation("groups", "", group)),
    );
    if let Some(refused) = actions.iter().find(|action| !server.allows(&user, action)) {
        return Err(authz::forbidden(&user, refused));
    }
    Ok(match account {
        Some((namespace, name)) if groups.is_empty() => User::service_account(namespace, name),
        _ => User::new(&name, groups.iter().map(String::as_str)),
    })
}

fn impersonation(resource: &str, namespace: &str, name: &str) -> Action {
    Action::Resource {
        verb: "impersonate".to_owned(),
        group: String::new(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}
