//! Which request follows a redirect, for every client alike.

use super::Failure;
use crate::plan::{Address, NoUrl, Redirects, Request, Route, address_of};

/// Redirects followed for one request.
pub(super) const MOST: usize = 10;

/// The request that the answer to `request` leads to; none if it is no redirect or none is followed.
pub(super) fn next(
    redirects: &Redirects,
    request: &Request,
    status: u16,
    location: Option<&str>,
) -> Result<Option<Request>, Failure> {
    let Some(location) = location else {
        return Ok(None);
    };
    if matches!(redirects, Redirects::Off) || !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut next = request
        .redirected(status, location)
        .map_err(|NoUrl| Failure::Redirect("a redirect that names no HTTP URL".to_owned()))?;
    if let Redirects::Within(policy) = redirects {
        let refused = |refusal| Failure::Redirect(format!("redirect: {refusal}"));
        next.ask_for(&policy.check(&next.uri).map_err(refused)?);
    }
    Ok(Some(next))
}

/// How the redirected request is reached: as the first one, if that went through a proxy or a Unix socket.
pub(super) fn route(
    redirects: &Redirects,
    first: &Route,
    request: &Request,
) -> Result<Route, Failure> {
    let to = match redirects {
        Redirects::Within(policy) => {
            let refused = |refusal| Failure::Redirect(format!("redirect: {refusal}"));
            policy.check(&request.uri).map_err(refused)?
        }
        Redirects::Off | Redirects::Follow => address_of(&request.uri),
    };
    let mut route = first.clone();
    if !route.proxied && !matches!(route.address, Address::Unix(_)) {
        route.address = to;
    }
    Ok(route)
}
