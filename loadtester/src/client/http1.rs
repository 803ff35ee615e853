//! HTTP/1.1, with TLS or without, by the crate `loadtester-http1`.

use std::sync::Arc;
use std::time::Instant;

use loadtester_http1::{self as http1, Address, Endpoint, EndpointId, Reactor, Reply, Tunnel};
use rustls::ClientConfig;

use super::failure::Failure;
use super::redirect::Client;
use crate::plan::{Plan, Redirects, Request, Route};

/// State that the clients of one thread share: the plan's requests, encoded, and their endpoints.
pub(crate) struct Shared<'p> {
    plan: &'p Plan,
    client: http1::Shared<'p>,
    targets: Vec<(EndpointId, http1::Request)>,
}

impl<'p> Shared<'p> {
    pub(crate) fn new(plan: &'p Plan, reactor: &'p Reactor, tls: Arc<ClientConfig>) -> Self {
        let settings = http1::Settings {
            keep_alive: plan.keep_alive,
            wants_location: !matches!(plan.redirects, Redirects::Off),
            tls,
        };
        let client = http1::Shared::new(reactor, settings);
        let targets = plan.targets.iter().map(|target| {
            let (request, route) = (&target.request, &target.route);
            let endpoint = client.endpoint(endpoint(request, route));
            (endpoint, encode(request, route, plan.keep_alive))
        });
        Self {
            plan,
            targets: targets.collect(),
            client,
        }
    }
}

/// One worker's client.
pub(crate) struct Http1<'s> {
    shared: &'s Shared<'s>,
    client: http1::Client<'s>,
}

impl<'s> Http1<'s> {
    pub(crate) fn new(worker: usize, shared: &'s Shared<'s>) -> Self {
        Self {
            shared,
            client: http1::Client::new(worker, &shared.client),
        }
    }
}

impl Client for Http1<'_> {
    async fn send_target(&mut self, target: usize, started: Instant) -> Result<Reply, Failure> {
        let (endpoint, request) = &self.shared.targets[target];
        Ok(self.client.send(*endpoint, request, started).await?)
    }

    async fn send(&mut self, request: &Request, route: &Route) -> Result<Reply, Failure> {
        let to = endpoint(request, route);
        let reply = match self.shared.client.endpoint_if_room(&to) {
            Some(endpoint) => {
                let request = encode(request, route, self.shared.plan.keep_alive);
                self.client.send(endpoint, &request, Instant::now()).await?
            }
            None => {
                let request = encode(request, route, false);
                self.client.send_once(&to, &request).await?
            }
        };
        Ok(reply)
    }
}

/// A request with TLS needs a tunnel through a proxy; the proxy forwards any other itself.
fn endpoint(request: &Request, route: &Route) -> Endpoint {
    let secure = request.uri.scheme_str() == Some("https");
    Endpoint {
        address: route.address.clone(),
        tunnel: (secure && route.proxied).then(|| Tunnel {
            to: Address::of_uri(&request.uri).to_string(),
            credentials: route.proxy_auth.clone(),
        }),
        tls: secure.then(|| request.server_name()),
    }
}

fn encode(request: &Request, route: &Route, keep_alive: bool) -> http1::Request {
    let is_forwarded = route.proxied && request.uri.scheme_str() != Some("https");
    let proxy_auth = route.proxy_auth.as_ref().filter(|_| is_forwarded);
    request.encode(is_forwarded, keep_alive, proxy_auth)
}
