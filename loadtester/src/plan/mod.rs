//! A run that can start: the command line, checked and resolved.

mod policy;
mod proxy;
mod request;
mod url;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Uri};
use loadtester_http1::Address;

use crate::command::{Output, Typed, UsageError};
use crate::report::thresholds::{BadCondition, Thresholds};
use crate::schedule::{Limit, Pacing};

pub use policy::{HostPattern, Refusal, TargetPolicy};
pub use proxy::Proxies;
pub use request::Request;
pub use url::NotAUrl;

/// One thread keeps a schedule up to this rate.
const RATE_OF_ONE_THREAD: f64 = 30_000.0;
/// Up to this many workers of plain HTTP/1.1, a second thread adds hardly any requests to the 140,000 per second of one, and
/// costs more CPU: responses that arrive while a thread is busy need no wake-up.
const WORKERS_OF_ONE_THREAD: usize = 64;

/// A run that can start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Requests to send, in turn.
    pub targets: Vec<Target>,
    /// Number of requests in flight at most.
    pub workers: usize,
    /// Threads to spread the workers over; never more than workers.
    pub threads: usize,
    /// How requests are spread over time.
    pub pacing: Pacing,
    /// When the run ends.
    pub limit: Limit,
    /// Time limit of one request, connecting included.
    pub timeout: Option<Duration>,
    /// Time after the end in which requests in flight may finish; `None` is as long as `timeout` allows.
    pub drain: Option<Duration>,
    /// True if connections are reused.
    pub keep_alive: bool,
    /// Redirects to follow.
    pub redirects: Redirects,
    /// HTTP version.
    pub protocol: Protocol,
    /// Certificates to trust; without a file, none is checked.
    pub ca_file: Option<PathBuf>,
    /// Format of the result.
    pub output: Output,
    /// Conditions that decide the exit code.
    pub thresholds: Thresholds,
    /// True if no progress line is shown.
    pub quiet: bool,
}

/// One URL, ready to be requested.
#[derive(Clone, Debug)]
pub struct Target {
    /// The request.
    pub request: Request,
    /// How its server is reached.
    pub route: Route,
}

/// How the server of a URL is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Address to connect to.
    pub address: Address,
    /// True if `address` is a proxy.
    pub proxied: bool,
    /// Credentials for the proxy.
    pub proxy_auth: Option<HeaderValue>,
}

impl Route {
    /// Without a proxy.
    fn direct(address: Address) -> Self {
        Self {
            address,
            proxied: false,
            proxy_auth: None,
        }
    }
}

/// Redirects to follow.
#[derive(Clone, Debug)]
pub enum Redirects {
    /// None: the redirect itself is the result.
    Off,
    /// Any.
    Follow,
    /// Those to hosts that the policy allows.
    Within(Arc<TargetPolicy>),
}

/// HTTP version and how it is negotiated. It decides which engine runs the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, with TLS or without.
    Http1,
    /// HTTP/2 if TLS agrees on it, otherwise HTTP/1.1.
    Http2,
    /// HTTP/2 without TLS, with prior knowledge.
    Http2Plain,
}

/// Where the command came from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A person at a terminal, who may name files and any host.
    Person,
    /// A webhook, which may name only hosts that the policy allows.
    Network(Arc<TargetPolicy>),
}

impl Plan {
    /// Checks and resolves a command line; reads the files it names.
    ///
    /// # Errors
    /// A value is not valid, a file cannot be read, or the origin may not use a flag or host.
    pub fn new(typed: &Typed, origin: &Origin, proxies: &Proxies) -> Result<Self, UsageError> {
        if let Origin::Network(_) = origin {
            refuse_local_resources(typed)?;
        }
        let body = match (&typed.body, &typed.body_file) {
            (Some(body), _) => Bytes::from(body.clone()),
            (None, Some(file)) => Bytes::from(read_file("-D", file)?),
            (None, None) => Bytes::new(),
        };
        let mut urls = typed.urls.clone();
        if let Some(file) = &typed.urls_file {
            let text = String::from_utf8_lossy(&read_file("--urls", file)?).into_owned();
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|l| !l.is_empty() && !l.starts_with('#'));
            urls.extend(lines.map(str::to_owned));
        }
        let mut targets = Vec::with_capacity(urls.len());
        for url in &urls {
            let uri = url::parse(url).map_err(UsageError)?;
            if typed.http2_plain && uri.scheme_str() == Some("https") {
                return Err(UsageError(format!(
                    "--h2c is HTTP/2 without TLS, but {url} needs TLS: use -h2"
                )));
            }
            let mut request = Request::new(typed, uri, body.clone())?;
            let route = match origin {
                Origin::Person => {
                    route(typed, Address::of_uri(&request.uri), &request.uri, proxies)?
                }
                Origin::Network(policy) => {
                    let allowed = policy.check(&request.uri);
                    let address = allowed.map_err(|refusal| UsageError(refusal.to_string()))?;
                    let route = route(typed, address.clone(), &request.uri, proxies)?;
                    request.set_authority(&address);
                    route
                }
            };
            targets.push(Target { request, route });
        }
        if targets.is_empty() {
            return Err(UsageError("--urls: the file contains no URL".to_owned()));
        }

        let limit = Limit {
            requests: typed
                .duration
                .is_none()
                .then(|| typed.requests.unwrap_or(200)),
            duration: typed.duration,
            warmup: typed.warmup,
        };
        let most = limit
            .requests
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let workers = typed.workers.unwrap_or(50).min(most);
        let pacing = match (typed.worker_rate, typed.total_rate) {
            (Some(rate), _) => Pacing::PerWorker(rate),
            (None, Some(rate)) => Pacing::Total(rate),
            (None, None) => Pacing::Unpaced,
        };
        let redirects = match origin {
            _ if typed.disable_redirects => Redirects::Off,
            Origin::Person => Redirects::Follow,
            Origin::Network(policy) => Redirects::Within(Arc::clone(policy)),
        };
        let protocol = match (typed.http2, typed.http2_plain) {
            (true, _) => Protocol::Http2,
            (false, true) => Protocol::Http2Plain,
            (false, false) => Protocol::Http1,
        };
        let timeout = typed.timeout.unwrap_or(Duration::from_secs(20));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match (typed.threads, origin) {
            (Some(threads), Origin::Person) => threads,
            // Each thread takes memory, and more threads than cores help nobody.
            (Some(threads), Origin::Network(_)) => threads.min(cores),
            (None, _) => usual_threads(pacing, workers, is_plain(protocol, &targets), cores),
        };
        Ok(Self {
            targets,
            workers,
            threads: threads.min(workers),
            pacing,
            limit,
            timeout: (!timeout.is_zero()).then_some(timeout),
            drain: typed.drain,
            keep_alive: !typed.disable_keepalive && !request::asks_to_close(&typed.headers),
            redirects,
            protocol,
            ca_file: typed.ca_file.clone().map(PathBuf::from),
            output: typed.output,
            thresholds: typed
                .fail_on
                .as_deref()
                .unwrap_or_default()
                .parse()
                .map_err(|error: BadCondition| UsageError(format!("--fail-on: {error}")))?,
            quiet: typed.quiet,
        })
    }
}

impl Plan {
    /// True if requests are due at set moments.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.pacing != Pacing::Unpaced
    }
}

/// True if every URL is requested by HTTP/1.1 without TLS.
fn is_plain(protocol: Protocol, targets: &[Target]) -> bool {
    let plain = |target: &Target| target.request.uri.scheme_str() == Some("http");
    protocol == Protocol::Http1 && targets.iter().all(plain)
}

/// Number of threads for a run without `-cpus`.
fn usual_threads(pacing: Pacing, workers: usize, plain: bool, cores: usize) -> usize {
    match pacing.total_rate(workers) {
        Some(rate) if rate <= RATE_OF_ONE_THREAD => 1,
        // TLS and HTTP/2 need so much CPU that every core helps.
        _ if !plain => cores,
        _ => workers.div_ceil(WORKERS_OF_ONE_THREAD).min(cores),
    }
}

fn refuse_local_resources(typed: &Typed) -> Result<(), UsageError> {
    for (flag, used) in [
        ("-D", typed.body_file.is_some()),
        ("-x", typed.proxy.is_some()),
        ("--urls", typed.urls_file.is_some()),
        ("--cacert", typed.ca_file.is_some()),
        ("--unix-socket", typed.unix_socket.is_some()),
    ] {
        if used {
            return Err(UsageError(format!(
                "{flag} names a resource of the load tester's own machine, which a webhook may not use"
            )));
        }
    }
    Ok(())
}

fn read_file(flag: &str, path: &str) -> Result<Vec<u8>, UsageError> {
    std::fs::read(path).map_err(|error| UsageError(format!("{flag}: cannot read {path}: {error}")))
}

fn route(
    typed: &Typed,
    address: Address,
    uri: &Uri,
    proxies: &Proxies,
) -> Result<Route, UsageError> {
    if let Some(path) = &typed.unix_socket {
        return Ok(Route::direct(Address::Unix(path.into())));
    }
    let Some(proxy) = typed.proxy.as_deref().or_else(|| proxies.for_uri(uri)) else {
        return Ok(Route::direct(address));
    };
    let bad = || {
        UsageError(format!(
            "`{proxy}` is not a proxy: write it as http://HOST:PORT"
        ))
    };
    // Many people set a proxy without a scheme.
    let text = if proxy.contains("://") {
        proxy.to_owned()
    } else {
        format!("http://{proxy}")
    };
    let proxy_uri: Uri = text.parse().map_err(|_| bad())?;
    if proxy_uri.scheme_str() != Some("http")
        || proxy_uri.host().is_none()
        || !url::has_valid_port(&proxy_uri)
    {
        return Err(bad());
    }
    let user = proxy_uri
        .authority()
        .and_then(|a| a.as_str().rsplit_once('@'))
        .map(|(user, _)| user);
    let proxy_auth = user.map(url::credentials).transpose();
    let proxy_auth = proxy_auth.map_err(|NotAUrl| bad())?;
    Ok(Route {
        address: Address::of_uri(&proxy_uri),
        proxied: true,
        proxy_auth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Parsed, parse_command};

    fn plan(line: &str) -> Result<Plan, UsageError> {
        let Ok(Parsed::Run(typed)) = parse_command(line) else {
            panic!("{line}")
        };
        Plan::new(&typed, &Origin::Person, &Proxies::default())
    }

    fn plan_of_a_webhook(line: &str, variables: &[(&str, &str)]) -> Plan {
        let Ok(Parsed::Run(typed)) = parse_command(line) else {
            panic!("{line}")
        };
        let get = |name: &str| {
            let set = variables.iter().find(|(key, _)| *key == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        let origin = Origin::Network(Arc::default());
        Plan::new(&typed, &origin, &Proxies::read(get)).unwrap()
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.to_owned(), port)
    }

    #[test]
    fn defaults_are_those_of_hey() {
        let plan = plan("hey http://app/").unwrap();
        assert_eq!(
            (plan.limit.requests, plan.limit.duration),
            (Some(200), None)
        );
        assert_eq!((plan.workers, plan.pacing), (50, Pacing::Unpaced));
        assert_eq!(plan.timeout, Some(Duration::from_secs(20)));
        assert!(
            plan.keep_alive && plan.thresholds.is_empty() && is_plain(plan.protocol, &plan.targets)
        );
    }

    #[test]
    fn a_duration_wins_over_a_number_and_a_zero_timeout_is_no_limit() {
        let plan = plan("hey -n 5 -z 2s -t 0 http://app/").unwrap();
        assert_eq!(plan.limit.requests, None);
        assert_eq!(plan.limit.duration, Some(Duration::from_secs(2)));
        assert_eq!(plan.timeout, None);
    }

    #[test]
    fn there_are_never_more_workers_than_requests_nor_threads_than_workers() {
        let few = plan("hey -n 3 -cpus 8 http://app/").unwrap();
        assert_eq!((few.workers, few.threads), (3, 3));
        let paced = plan("hey -q 1000 -c 2 -z 1s http://app/").unwrap();
        assert_eq!(
            paced.threads, 1,
            "one thread keeps a moderate schedule best"
        );
    }

    #[test]
    fn a_webhook_gets_no_more_threads_than_cores() {
        let cores = std::thread::available_parallelism().unwrap().get();
        let plan = plan_of_a_webhook("hey -z 1m -c 1000 -cpus 1000 http://app/", &[]);
        assert_eq!((plan.workers, plan.threads), (1000, cores.min(1000)));
    }

    #[test]
    fn a_proxy_gets_the_name_that_was_allowed() {
        let proxy = [("HTTP_PROXY", "http://proxy.example:3128")];
        for (url, line, host) in [
            (
                "http://github.com/x",
                "GET http://github.com.svc:80/x HTTP/1.1",
                "github.com",
            ),
            (
                "http://app.default:81?q",
                "GET http://app.default.svc:81/?q HTTP/1.1",
                "app.default:81",
            ),
            ("http://app/", "GET http://app/ HTTP/1.1", "app"),
        ] {
            let plan = plan_of_a_webhook(&format!("hey -z 1m {url}"), &proxy);
            let target = &plan.targets[0];
            assert_eq!(target.route.address, tcp("proxy.example", 3128));
            let wire = target.request.encode(true, true, None);
            let wire = String::from_utf8(wire.bytes().to_vec()).unwrap();
            assert!(
                wire.starts_with(&format!("{line}\r\nHost: {host}\r\n")),
                "{wire}"
            );
        }
    }

    #[test]
    fn the_number_of_threads_depends_on_workers_rate_and_tls() {
        let unpaced = |workers, plain| usual_threads(Pacing::Unpaced, workers, plain, 4);
        assert_eq!(unpaced(2, true), 1);
        assert_eq!(unpaced(50, true), 1);
        assert_eq!(unpaced(100, true), 2);
        assert_eq!(unpaced(500, true), 4);
        assert_eq!(unpaced(50, false), 4, "TLS needs the cores");
        assert_eq!(usual_threads(Pacing::Total(1e6), 500, true, 4), 4);
    }

    #[test]
    fn the_address_comes_from_scheme_host_and_port() {
        for (url, address) in [
            ("http://app.default/x", tcp("app.default", 80)),
            ("https://app.default/", tcp("app.default", 443)),
            ("http://127.0.0.1:8080", tcp("127.0.0.1", 8080)),
            ("http://[::1]:81/", tcp("::1", 81)),
        ] {
            assert_eq!(
                plan(&format!("hey {url}")).unwrap().targets[0]
                    .route
                    .address,
                address
            );
        }
        assert_eq!(tcp("::1", 81).to_string(), "[::1]:81");
    }

    #[test]
    fn http2_and_tls_are_not_plain_http1() {
        for line in [
            "hey https://app/",
            "hey --h2c http://app/",
            "hey http://a/ https://b/",
        ] {
            let plan = plan(line).unwrap();
            assert!(!is_plain(plan.protocol, &plan.targets), "{line}");
        }
    }
}
