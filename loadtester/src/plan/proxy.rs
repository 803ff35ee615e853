//! Chooses the proxy for a URL, by the environment variables that most programs read.

use std::net::IpAddr;

use http::Uri;

/// `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in either case.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    exceptions: Vec<String>,
}

impl Proxies {
    /// Reads the environment.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables through `get`; names in lower case win.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let set = |value: &String| !value.trim().is_empty();
            get(&name.to_lowercase())
                .filter(set)
                .or_else(|| get(name).filter(set))
        };
        Self {
            http: either("HTTP_PROXY"),
            https: either("HTTPS_PROXY"),
            exceptions: either("NO_PROXY")
                .unwrap_or_default()
                .split(',')
                .map(|entry| entry.trim().to_ascii_lowercase())
                .filter(|entry| !entry.is_empty())
                .collect(),
        }
    }

    /// The proxy for `uri`. `localhost` and loopback addresses are always connected to directly.
    pub fn for_uri(&self, uri: &Uri) -> Option<&str> {
        let https = uri.scheme_str() == Some("https");
        let proxy = if https { &self.https } else { &self.http }.as_deref()?;
        let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let address: Option<IpAddr> = host.parse().ok();
        let direct = host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self
                .exceptions
                .iter()
                .any(|entry| matches(entry, &host, address, port));
        (!direct).then_some(proxy)
    }
}

/// Matches one entry of `NO_PROXY`: `*`, an address, a network, or a domain with its subdomains (only the subdomains if it
/// has a leading dot). All except a network may have a port.
fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return match (network.parse(), bits.parse(), address) {
            (Ok(network), Ok(bits), Some(address)) => contains(network, bits, address),
            _ => false,
        };
    }
    let (name, entry_port) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
            (name, digits.parse::<u16>().ok())
        }
        _ => (entry, None),
    };
    if entry_port.is_some_and(|entry_port| entry_port != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']).trim_start_matches('*');
    if let (Ok(entry_address), Some(address)) = (name.parse::<IpAddr>(), address) {
        return entry_address == address;
    }
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|left| left.ends_with('.'))
        }
    }
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn is_proxied(no_proxy: &str, url: &str) -> bool {
        proxies(&[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", no_proxy)])
            .for_uri(&url.parse().unwrap())
            .is_some()
    }

    #[test]
    fn each_scheme_has_its_proxy_and_lower_case_wins() {
        let both = proxies(&[
            ("HTTP_PROXY", "http://upper:1"),
            ("http_proxy", "http://lower:1"),
            ("HTTPS_PROXY", "http://secure:1"),
        ]);
        assert_eq!(
            both.for_uri(&Uri::from_static("http://a/")),
            Some("http://lower:1")
        );
        assert_eq!(
            both.for_uri(&Uri::from_static("https://a/")),
            Some("http://secure:1")
        );
        assert_eq!(proxies(&[]).for_uri(&Uri::from_static("http://a/")), None);
    }

    #[test]
    fn loopback_is_never_proxied() {
        for url in [
            "http://localhost:8080/",
            "http://127.4.5.6/",
            "http://[::1]/",
        ] {
            assert!(!is_proxied("", url), "{url}");
        }
    }

    #[test]
    fn exceptions_are_domains_addresses_networks_and_ports() {
        for (entry, url, proxied) in [
            ("*", "http://a.b/", false),
            ("b.c", "http://b.c/", false),
            ("b.c", "http://a.b.c/", false),
            ("b.c", "http://ab.c/", true),
            (".b.c", "http://b.c/", true),
            ("*.b.c", "http://a.b.c/", false),
            ("x, b.c:81", "http://b.c:81/", false),
            ("b.c:81", "http://b.c/", true),
            ("10.0.0.0/8", "http://10.1.2.3/", false),
            ("10.0.0.0/8", "http://11.1.2.3/", true),
            ("0.0.0.0/0", "http://11.1.2.3/", false),
            ("fd00::/8", "http://[fd00::5]/", false),
            ("10.1.2.3", "http://10.1.2.3:5/", false),
            ("nonsense/99,/", "http://10.1.2.3/", true),
        ] {
            assert_eq!(is_proxied(entry, url), proxied, "{entry} {url}");
        }
    }
}
