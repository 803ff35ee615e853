//! The hosts that a webhook may send load to.

use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use loadtester_http1::Address;

/// The hosts that a webhook may send load to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPolicy {
    patterns: Vec<HostPattern>,
}

/// Pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `cluster`: names inside a cluster (`app`, `app.ns`, `app.ns.svc`, `app.ns.svc.cluster.local`) and loopback.
    Cluster,
    /// `*`: any host.
    Any,
    /// `*.example.com`: any name below `example.com`.
    Below(String),
    /// This name or address.
    Host(String),
}

/// The host is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("load on `{host}` is not allowed: the server's --allow-target lists the allowed hosts")]
pub struct Refusal {
    host: String,
}

impl Default for TargetPolicy {
    fn default() -> Self {
        Self {
            patterns: vec![HostPattern::Cluster],
        }
    }
}

impl TargetPolicy {
    /// A policy of these patterns; without any, the default policy.
    pub fn new(patterns: Vec<HostPattern>) -> Self {
        if patterns.is_empty() {
            Self::default()
        } else {
            Self { patterns }
        }
    }

    /// Returns the address to connect to, if the URL's host is allowed. A name such as `app.namespace` could be a public one, so
    /// it is looked up as `app.namespace.svc`, which exists only inside a cluster.
    ///
    /// # Errors
    /// No pattern matches.
    pub fn check(&self, uri: &Uri) -> Result<Address, Refusal> {
        let host = plain_name(uri.host().unwrap_or_default());
        let Some(name) = self.name_to_connect_to(&host) else {
            return Err(Refusal { host });
        };
        Ok(match Address::of_uri(uri) {
            Address::Tcp(_, port) => Address::Tcp(name, port),
            other => other,
        })
    }

    fn name_to_connect_to(&self, host: &str) -> Option<String> {
        if !is_name_or_address(host) {
            return None;
        }
        let by_name = |pattern: &&HostPattern| **pattern != HostPattern::Cluster;
        let mut by_name = self.patterns.iter().filter(by_name);
        if by_name.any(|pattern| pattern.matches(host)) {
            return Some(host.to_owned());
        }
        let in_cluster =
            self.patterns.contains(&HostPattern::Cluster) && HostPattern::Cluster.matches(host);
        in_cluster.then(|| name_inside_the_cluster(host))
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Cluster => is_cluster_internal(host),
            Self::Any => !host.is_empty(),
            Self::Below(suffix) => host
                .strip_suffix(suffix.as_str())
                .is_some_and(|left| left.strip_suffix('.').is_some_and(|name| !name.is_empty())),
            Self::Host(name) => host == name,
        }
    }
}

/// The canonical spelling of a host: without brackets, in lower case, without a final dot. An address is spelled as the
/// standard library does, and an IPv4 address inside an IPv6 one as IPv4.
fn plain_name(host: &str) -> String {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => name.to_owned(),
    }
}

/// Only addresses contain colons. The system's lookup would accept `::1%1` as an address with a scope, while this program would
/// treat it as a name.
fn is_name_or_address(host: &str) -> bool {
    !host.contains(':') || host.parse::<IpAddr>().is_ok()
}

/// `app.ns` as `app.ns.svc`; no other form of a name inside a cluster could be public.
fn name_inside_the_cluster(host: &str) -> String {
    match host.matches('.').count() {
        1 => format!("{host}.svc"),
        _ => host.to_owned(),
    }
}

/// True for names of one or two labels, of three that end in `svc`, and names below `svc.cluster.local`.
fn is_cluster_internal(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let labels: Vec<&str> = host.split('.').collect();
    if !labels.iter().all(|label| is_label(label)) || labels.last().is_some_and(|l| is_number(l)) {
        return false;
    }
    match labels[..] {
        [_] | [_, _] | [_, _, "svc"] => true,
        [_, _, "svc", ..] => host.ends_with(".svc.cluster.local"),
        _ => false,
    }
}

/// True for a valid label of a name in lower case.
fn is_label(label: &str) -> bool {
    let may =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !label.is_empty() && label.bytes().all(may)
}

/// True for a number, which makes the host an address: the system's lookup reads `2852039166`, `0xa9fea9fe` and `127.1` so.
fn is_number(label: &str) -> bool {
    label.starts_with("0x") || label.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "cluster" => return Ok(Self::Cluster),
            "*" => return Ok(Self::Any),
            _ => {}
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text.as_str()),
        };
        let name = plain_name(name);
        let may = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if name.is_empty() || !name.chars().all(may) || !is_name_or_address(&name) {
            return Err(format!(
                "`{text}` is not a host pattern: write NAME, *.DOMAIN, cluster or *, without a port"
            ));
        }
        Ok(if below {
            Self::Below(name)
        } else {
            Self::Host(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], url: &str) -> bool {
        let patterns = patterns
            .iter()
            .map(|pattern| pattern.parse().unwrap())
            .collect();
        TargetPolicy::new(patterns)
            .check(&url.parse().unwrap())
            .is_ok()
    }

    #[test]
    fn by_default_only_names_inside_the_cluster_and_loopback_are_allowed() {
        for url in [
            "http://simple-app-canary.default:80/",
            "http://app/",
            "http://app.ns.svc/",
            "http://app.ns.svc.cluster.local:8080/x",
            "http://127.9.1.1:8080/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost:8080/",
            "http://localhost./",
            "http://app_1.ns-2./",
            "http://2048.shop/",
            "http://app.ns.svc.cluster.local./",
        ] {
            assert!(allows(&[], url), "{url}");
        }
        for url in [
            "http://www.example.com/",
            "http://169.254.169.254/latest/meta-data",
            "http://10.0.0.1/",
            "http://svc.cluster.local.evil.com/",
            "http://app.ns.svc.evil.com/",
            "http://a..b/",
            "http://a../",
            "http://./",
        ] {
            assert!(!allows(&[], url), "{url}");
        }
    }

    #[test]
    fn hosts_that_the_lookup_reads_as_addresses_are_not_names() {
        for url in [
            "http://2852039166/",
            "http://2852039166./",
            "http://0xa9fea9fe/",
            "http://0XA9FEA9FE/",
            "http://0251.0376.0251.0376/",
            "http://127.1/",
            "http://10.0x1/",
            "http://[::ffff:a9fe:a9fe%1]/",
            "http://[::1%1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://a~b/",
        ] {
            assert!(!allows(&[], url), "{url}");
        }
        assert!(!allows(&["*"], "http://[::ffff:a9fe:a9fe%1]/"));
        assert!(!allows(&["*.io", "cluster"], "http://[::1%1.io]/"));
    }

    #[test]
    fn every_spelling_of_an_address_is_the_same_address() {
        assert!(allows(&["10.1.2.3"], "http://[::ffff:10.1.2.3]/"));
        assert!(allows(&["[::ffff:10.1.2.3]"], "http://10.1.2.3/"));
        assert!(allows(&["[fd00:0:0::5]"], "http://[FD00::5]:80/"));
        assert!(!allows(&["fd00::5"], "http://[fd00::6]/"));
    }

    #[test]
    fn a_name_that_could_be_public_is_looked_up_inside_the_cluster() {
        let connects_to = |patterns: &[&str], url: &str| {
            let patterns = patterns
                .iter()
                .map(|pattern| pattern.parse().unwrap())
                .collect();
            TargetPolicy::new(patterns)
                .check(&url.parse().unwrap())
                .unwrap()
                .to_string()
        };
        assert_eq!(
            connects_to(&[], "http://example.com/"),
            "example.com.svc:80"
        );
        assert_eq!(
            connects_to(&[], "http://app.default:8080/"),
            "app.default.svc:8080"
        );
        assert_eq!(
            connects_to(&[], "http://Example.com.:8080/"),
            "example.com.svc:8080"
        );
        assert_eq!(
            connects_to(&[], "http://[::ffff:127.0.0.1]/"),
            "127.0.0.1:80"
        );
        assert_eq!(connects_to(&[], "http://app/"), "app:80");
        assert_eq!(connects_to(&[], "http://127.0.0.1:8080/"), "127.0.0.1:8080");
        assert_eq!(
            connects_to(&["cluster", "example.com"], "http://example.com/"),
            "example.com:80"
        );
        assert_eq!(
            connects_to(&["example.com"], "http://example.com./"),
            "example.com:80"
        );
    }

    #[test]
    fn patterns_replace_the_default() {
        assert!(allows(&["*.example.com"], "http://a.b.example.com/"));
        assert!(!allows(&["*.example.com"], "http://example.com/"));
        assert!(!allows(&["*.example.com"], "http://badexample.com/"));
        assert!(allows(&["10.1.2.3", "x.y.z"], "http://10.1.2.3:80/"));
        assert!(!allows(&["x.y.z"], "http://app.default/"));
        assert!(allows(&["x.y.z", "cluster"], "http://app.default/"));
        assert!(allows(&["*"], "http://anything.example/"));
        assert!(allows(&["x.y.z."], "http://x.y.z/"));
        assert!(allows(&["*.example.com."], "http://a.example.com./"));
        for wrong in ["http://x/", "x:80", "*.", "."] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }
}
