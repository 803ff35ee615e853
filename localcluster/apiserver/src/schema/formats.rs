//! Formats of strings, as upstream knows and checks them. A format that is not known is no rule.
//!
//! Not checked, though known: `bsonobjectid`, `creditcard`, `hexcolor`, `isbn`, `isbn10`, `isbn13`, `mac`,
//! `rgbcolor` and `ssn`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

/// The formats that are no cause for a warning, without their hyphens, which do not count.
const KNOWN: [&str; 24] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

/// Returns whether a format is one of Kubernetes.
pub(super) fn is_known(format: &str) -> bool {
    KNOWN.contains(&format.replace('-', "").as_str())
}

/// Returns whether a text has a format. Every text has a format that is not known.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "byte" => matches(&BASE64, text),
        "cidr" => is_cidr(text),
        "date" => is_date(text),
        "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "email" => matches(&EMAIL, text),
        "hostname" => is_hostname(text),
        // Upstream calls every address with a point an IPv4 address, and allows leading zeros.
        "ipv4" => text.contains('.') && (ipv4(text).is_some() || text.parse::<Ipv6Addr>().is_ok()),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "uri" => is_request_uri(text),
        "uuid" => matches(&UUID, text),
        "uuid3" => matches(&UUID3, text),
        "uuid4" => matches(&UUID4, text),
        "uuid5" => matches(&UUID5, text),
        _ => true,
    }
}

type Pattern = LazyLock<Option<Regex>>;

fn matches(pattern: &Pattern, text: &str) -> bool {
    pattern
        .as_ref()
        .is_some_and(|pattern| pattern.is_match(text))
}

macro_rules! patterns {
    ($($name:ident = $pattern:expr;)*) => {
        $( static $name: Pattern = LazyLock::new(|| Regex::new($pattern).ok()); )*

        #[cfg(test)]
        const PATTERNS: &[(&str, &Pattern)] = &[$( (stringify!($name), &$name) ),*];
    };
}

patterns! {
    BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$";
    DATE_TIME = r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
    DURATION_PART = r"([0-9]+)\s*([A-Za-zµ]+)";
    GO_DURATION = r"^[-+]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$";
    // An address, alone or in angle brackets behind a name; what mail programs write, not all of RFC 5322.
    EMAIL = r#"^\s*(?:(?:[^<>@,;:"]*|"[^"]*")\s*<[^\s<>@,;:"()\[\]\\]+@[^\s<>@,;:"()\\]+>|[^\s<>@,;:"()\[\]\\]+@[^\s<>@,;:"()\\]+)\s*$"#;
    HOSTNAME = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
    UUID = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID3 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID4 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    UUID5 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
}

/// `2006-01-02`
fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<Date>().is_ok()
}

/// A date, `t` in either case, a time with a zone. Months and hours are checked, days of a zone are not.
fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    let captured = DATE_TIME
        .as_ref()
        .and_then(|pattern| pattern.captures(time));
    is_date(date)
        && captured.is_some_and(|time| &time[1] <= "23" && &time[2] <= "59" && &time[3] <= "59")
}

/// Go's durations (`1h30m`), and everything with a number and a unit in it (`22 ns`, `3 days`).
fn is_duration(text: &str) -> bool {
    const WHOLE: [&str; 11] = ["ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"];
    const PREFIXES: [&str; 8] = [
        "nano", "micro", "milli", "sec", "min", "hour", "day", "week",
    ];
    if matches(&GO_DURATION, text) {
        return true;
    }
    let Some(part) = DURATION_PART.as_ref() else {
        return false;
    };
    let mut known = false;
    for part in part.captures_iter(text) {
        if part[1].parse::<i64>().is_err() {
            return false;
        }
        let unit = part[2].to_lowercase();
        known |= WHOLE.contains(&unit.as_str())
            || PREFIXES.iter().any(|prefix| unit.starts_with(prefix));
    }
    known
}

fn is_hostname(text: &str) -> bool {
    matches(&HOSTNAME, text) && text.len() <= 255 && text.split('.').all(|label| label.len() <= 63)
}

/// An address whose numbers may have leading zeros.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut numbers = [0; 4];
    let mut parts = text.split('.');
    for number in &mut numbers {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = digits.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then(|| numbers.into())
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = if ipv4(address).is_some() {
        32
    } else if address.parse::<Ipv6Addr>().is_ok() {
        128
    } else {
        return false;
    };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    digits && length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// A URI with a scheme, or an absolute path.
fn is_request_uri(text: &str) -> bool {
    if text.chars().any(|c| c.is_ascii_control()) || !escapes_are_whole(text) {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let Some(rest) = rest.strip_prefix("//") else {
        return scheme && !rest.is_empty();
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = match host.rsplit_once(':') {
        Some((before, port)) if before.contains('[') == before.contains(']') => port,
        _ => "",
    };
    scheme && !host.contains(' ') && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether two hexadecimal digits follow each percent sign.
fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for (name, pattern) in PATTERNS {
            assert!(pattern.is_some(), "{name}");
        }
    }
}
