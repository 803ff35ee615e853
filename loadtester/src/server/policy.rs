//! Which hosts a webhook may send load to.

use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

use crate::plan::{Address, address_of};

/// Host patterns; see [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPolicy {
    patterns: Vec<HostPattern>,
}

/// A host a webhook may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `cluster`: names inside a cluster (`app`, `app.ns`, `app.ns.svc`, `app.ns.svc.cluster.local`) and loopback.
    Cluster,
    /// `*`: any host.
    Any,
    /// `*.example.com`: any name below.
    Below(String),
    /// This name or address.
    Host(String),
}

/// A host that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "load on `{host}` is not allowed here: the server's --allow-target names the hosts that are"
)]
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
    /// A policy of these patterns; with none, the default one.
    pub fn new(patterns: Vec<HostPattern>) -> Self {
        if patterns.is_empty() {
            Self::default()
        } else {
            Self { patterns }
        }
    }

    /// Lets the URL's host pass, and says where to connect to. A name such as `app.namespace`, which could be a
    /// public one, is then looked up as `app.namespace.svc`, which only a cluster knows.
    ///
    /// # Errors
    /// No pattern matches.
    pub fn check(&self, uri: &Uri) -> Result<Address, Refusal> {
        let as_written = address_of(uri);
        let host = uri
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_ascii_lowercase();
        let by_name = |pattern: &&HostPattern| **pattern != HostPattern::Cluster;
        if self
            .patterns
            .iter()
            .filter(by_name)
            .any(|pattern| pattern.matches(&host))
        {
            return Ok(as_written);
        }
        if !self.patterns.contains(&HostPattern::Cluster) || !HostPattern::Cluster.matches(&host) {
            return Err(Refusal { host });
        }
        let is_address = host.parse::<IpAddr>().is_ok();
        Ok(match as_written {
            Address::Tcp(_, port) if !is_address && host.matches('.').count() == 1 => {
                Address::Tcp(format!("{host}.svc"), port)
            }
            other => other,
        })
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

/// Names of one or two labels, of three that end in `svc`, and those below `svc.cluster.local`.
fn is_cluster_internal(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return false;
    }
    match labels[..] {
        [_] | [_, _] | [_, _, "svc"] => true,
        [_, _, "svc", ..] => host.trim_end_matches('.').ends_with(".svc.cluster.local"),
        _ => false,
    }
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
            None => (false, text.trim_matches(['[', ']'])),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!(
                "`{text}` is no host pattern: write NAME, *.DOMAIN, cluster or *"
            ));
        }
        Ok(if below {
            Self::Below(name.to_owned())
        } else {
            Self::Host(name.to_owned())
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
            "http://localhost:8080/",
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
        ] {
            assert!(!allows(&[], url), "{url}");
        }
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
        assert_eq!(connects_to(&[], "http://app/"), "app:80");
        assert_eq!(connects_to(&[], "http://127.0.0.1:8080/"), "127.0.0.1:8080");
        assert_eq!(
            connects_to(&["cluster", "example.com"], "http://example.com/"),
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
        assert!("http://x/".parse::<HostPattern>().is_err());
    }
}
