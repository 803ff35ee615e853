//! Who asks: bearer tokens.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::AUTHORIZATION;

use super::server::Server;
use super::user::User;
use crate::object;
use crate::status::ApiError;

/// Paths that answer without credentials.
const PUBLIC: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Puts the [`User`] into the request, or refuses it.
pub(crate) async fn authenticate(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Response {
    let user = match bearer_token(&request) {
        Some(token) => server.user_of_token(token),
        None if PUBLIC.contains(&request.uri().path()) => Some(User {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
        }),
        None => None,
    };
    match user {
        Some(user) => {
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        None => unauthorized().into_response(),
    }
}

fn unauthorized() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
}

fn bearer_token(request: &Request) -> Option<&str> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Server {
    /// Whose token this is, if it is a valid one.
    pub(crate) fn user_of_token(&self, token: &str) -> Option<User> {
        if self.tokens.is_admin(token) {
            return Some(User::new("system:admin", ["system:masters"]));
        }
        let claims = self.tokens.verify(token, self.clock.now().as_second())?;
        let bound = claims.kubernetes;
        // A token ends with the account and the pod it was issued for.
        self.check_bound("serviceaccounts", &bound.namespace, &bound.serviceaccount)?;
        if let Some(pod) = &bound.pod {
            self.check_bound("pods", &bound.namespace, pod)?;
        }
        Some(User::service_account(
            &bound.namespace,
            &bound.serviceaccount.name,
        ))
    }

    fn check_bound(
        &self,
        plural: &str,
        namespace: &str,
        reference: &crate::tokens::Reference,
    ) -> Option<()> {
        let kind = self.catalog().find("", "v1", plural).ok()?;
        let record = self.store.get(&kind.key(namespace, &reference.name))?;
        (object::uid(&record.value) == reference.uid).then_some(())
    }
}

impl User {
    /// A user who has shown who they are.
    pub(crate) fn new<'a>(name: &str, groups: impl IntoIterator<Item = &'a str>) -> Self {
        let groups = groups
            .into_iter()
            .chain(["system:authenticated"])
            .map(str::to_owned)
            .collect();
        Self {
            name: name.to_owned(),
            groups,
        }
    }

    /// The user that a service account is.
    pub(crate) fn service_account(namespace: &str, name: &str) -> Self {
        let own = format!("system:serviceaccounts:{namespace}");
        Self::new(
            &format!("system:serviceaccount:{namespace}:{name}"),
            ["system:serviceaccounts", own.as_str()],
        )
    }
}
