//! Sends the plan's requests and follows redirects, the same way for every client.

use std::future::Future;
use std::time::Instant;

use loadtester_http1::{Address, Reply};

use super::failure::{Failure, MOST_REDIRECTS};
use crate::plan::{NotAUrl, Plan, Redirects, Request, Route};

/// Sends requests for one worker, one at a time. Dropping a future closes the connection it used, or in HTTP/2 resets its
/// stream.
pub(crate) trait Client {
    /// Sends the request of a target of the plan.
    fn send_target(
        &mut self,
        target: usize,
        started: Instant,
    ) -> impl Future<Output = Result<Reply, Failure>>;

    /// Sends a request that a redirect leads to.
    fn send(
        &mut self,
        request: &Request,
        route: &Route,
    ) -> impl Future<Output = Result<Reply, Failure>>;
}

/// Sends the request of a target and follows redirects. The timing covers all requests.
pub(crate) async fn exchange(
    client: &mut impl Client,
    plan: &Plan,
    target: usize,
    started: Instant,
) -> Result<Reply, Failure> {
    let reply = client.send_target(target, started).await?;
    if reply.location.is_none() {
        return Ok(reply);
    }
    // Boxed because it is rare and large, and every worker's future would have room for it.
    Box::pin(follow(client, plan, target, reply)).await
}

async fn follow(
    client: &mut impl Client,
    plan: &Plan,
    target: usize,
    mut reply: Reply,
) -> Result<Reply, Failure> {
    let first = &plan.targets[target];
    let mut followed: Option<Request> = None;
    for hops in 0.. {
        let request = followed.as_ref().unwrap_or(&first.request);
        let location = reply.location.as_deref();
        let Some(next) = next(&plan.redirects, request, reply.status, location)? else {
            break;
        };
        if hops == MOST_REDIRECTS {
            return Err(Failure::TooManyRedirects);
        }
        let route = route(&plan.redirects, &first.route, &next)?;
        let before = reply.timing;
        reply = client.send(&next, &route).await?;
        reply.timing += before;
        followed = Some(next);
    }
    Ok(reply)
}

/// The request that the response to `request` leads to. `None` if it is no redirect or the plan follows none.
fn next(
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
        .map_err(|NotAUrl| Failure::Redirect("it does not name an HTTP URL".to_owned()))?;
    if let Redirects::Within(policy) = redirects {
        let refused = |refusal| Failure::Redirect(format!("{refusal}"));
        next.set_authority(&policy.check(&next.uri).map_err(refused)?);
    }
    Ok(Some(next))
}

/// How the redirected request is sent: the same way as the first one, if that went through a proxy or a Unix socket.
fn route(redirects: &Redirects, first: &Route, request: &Request) -> Result<Route, Failure> {
    let to = match redirects {
        Redirects::Within(policy) => {
            let refused = |refusal| Failure::Redirect(format!("{refusal}"));
            policy.check(&request.uri).map_err(refused)?
        }
        Redirects::Off | Redirects::Follow => Address::of_uri(&request.uri),
    };
    let mut route = first.clone();
    if !route.proxied && !matches!(route.address, Address::Unix(_)) {
        route.address = to;
    }
    Ok(route)
}
