//! The table of flags: name, value, help and the field that each sets.

use std::fmt::Write as _;
use std::str::FromStr;

use super::duration::parse_duration;
use super::typed::{Output, Typed, UsageError};

/// Stores a value. The error says which value was expected.
type Take = fn(&mut Typed, String) -> Result<(), String>;

enum Kind {
    /// `-x`, or `-x=true` and `-x=false`.
    Switch(fn(&mut Typed, bool)),
    /// `-x VALUE`; the text is the name of the value in the help.
    Value(&'static str, Take),
}

pub(super) struct Flag {
    name: &'static str,
    help: &'static str,
    kind: Kind,
}

const fn value(name: &'static str, what: &'static str, help: &'static str, take: Take) -> Flag {
    Flag {
        name,
        help,
        kind: Kind::Value(what, take),
    }
}

const fn switch(name: &'static str, help: &'static str, set: fn(&mut Typed, bool)) -> Flag {
    Flag {
        name,
        help,
        kind: Kind::Switch(set),
    }
}

/// The flags of hey.
static HEY: &[Flag] = &[
    value(
        "n",
        "N",
        "Total number of requests, exactly (200)",
        |t, v| set(&mut t.requests, at_least_one(&v)),
    ),
    value(
        "c",
        "N",
        "Workers, each with one request at a time (50)",
        |t, v| set(&mut t.workers, at_least_one(&v).and_then(at_most(100_000))),
    ),
    value(
        "q",
        "RATE",
        "Requests per second of each worker (no limit)",
        |t, v| {
            // In hey, 0 means no limit, and templates fill it in.
            t.worker_rate = match v.parse() {
                Ok(0.0) => None,
                _ => Some(rate(&v)?),
            };
            Ok(())
        },
    ),
    value(
        "z",
        "DURATION",
        "Send for this time, such as 10s or 3m; -n is then ignored",
        |t, v| {
            t.duration = Some(parse_duration(&v)?).filter(|duration| !duration.is_zero());
            Ok(())
        },
    ),
    value(
        "o",
        "FORMAT",
        "Write `csv` (one line per request) or `json` instead of the summary",
        |t, v| {
            t.output = match v.as_str() {
                "csv" => Output::Csv,
                "json" => Output::Json,
                _ => {
                    return Err(format!(
                        "`{v}` is neither csv nor json (Go templates are not supported; json has every figure)"
                    ));
                }
            };
            Ok(())
        },
    ),
    value("m", "METHOD", "HTTP method (GET)", |t, v| {
        text(&mut t.method, v)
    }),
    value(
        "H",
        "HEADER",
        "Header such as 'Accept: text/plain'; may be repeated, the last one of a name wins",
        |t, v| {
            t.headers.push(v);
            Ok(())
        },
    ),
    value(
        "t",
        "SECONDS",
        "Time limit of one request (20), 0 for none; durations such as 500ms work too",
        |t, v| {
            let seconds = v.parse::<u64>().map(|seconds| format!("{seconds}s"));
            set(&mut t.timeout, parse_duration(&seconds.unwrap_or(v)))
        },
    ),
    value("A", "TYPES", "Accept header", |t, v| text(&mut t.accept, v)),
    value("d", "BODY", "Body of each request", |t, v| {
        text(&mut t.body, v)
    }),
    value("D", "FILE", "File with the body of each request", |t, v| {
        text(&mut t.body_file, v)
    }),
    value("T", "TYPE", "Content-Type header (text/html)", |t, v| {
        text(&mut t.content_type, v)
    }),
    value("U", "AGENT", "User-Agent header", |t, v| {
        text(&mut t.user_agent, v)
    }),
    value("a", "USER:PASSWORD", "Basic authentication", |t, v| {
        text(&mut t.basic_auth, v)
    }),
    value(
        "x",
        "URL",
        "HTTP proxy (without it, HTTP_PROXY, HTTPS_PROXY and NO_PROXY apply)",
        |t, v| text(&mut t.proxy, v),
    ),
    value("host", "HOST", "Host header", |t, v| text(&mut t.host, v)),
    switch("h2", "HTTP/2 over TLS", |t, on| t.http2 = on),
    switch("disable-compression", "Do not ask for gzip", |t, on| {
        t.disable_compression = on;
    }),
    switch(
        "disable-keepalive",
        "Open a new connection for each request",
        |t, on| t.disable_keepalive = on,
    ),
    switch("disable-redirects", "Do not follow redirects", |t, on| {
        t.disable_redirects = on;
    }),
    value(
        "cpus",
        "N",
        "Threads (chosen from cores, workers and rate)",
        |t, v| set(&mut t.threads, at_least_one(&v).and_then(at_most(1024))),
    ),
];

/// Flags that hey does not have.
static MORE: &[Flag] = &[
    value(
        "rate",
        "RATE",
        "Requests per second of all workers together, sent on schedule; latency is then also \
           measured from the moment due",
        |t, v| set(&mut t.total_rate, rate(&v)),
    ),
    value(
        "warmup",
        "DURATION",
        "Send for this time before recording starts",
        |t, v| {
            t.warmup = parse_duration(&v)?;
            Ok(())
        },
    ),
    value(
        "drain",
        "DURATION",
        "Wait at most this time for requests in flight after -z (up to -t)",
        |t, v| set(&mut t.drain, parse_duration(&v)),
    ),
    switch("json", "Write the result as one JSON object", |t, on| {
        t.output = if on { Output::Json } else { Output::Summary };
    }),
    value(
        "fail-on",
        "CONDITIONS",
        "Exit with code 2 unless all hold, such as 'p99<50ms,errors<1%,rate>900'; may be repeated",
        |t, v| {
            // An unset variable in a script must not disable the check.
            if v.split(',').all(|condition| condition.trim().is_empty()) {
                return Err("no condition: write it as 'p99<50ms,errors<1%'".to_owned());
            }
            t.fail_on = Some(match t.fail_on.take() {
                Some(before) => format!("{before},{v}"),
                None => v,
            });
            Ok(())
        },
    ),
    switch("h2c", "HTTP/2 without TLS", |t, on| t.http2_plain = on),
    value(
        "cacert",
        "FILE",
        "Check TLS certificates against this file (by default they are not checked, as in hey)",
        |t, v| text(&mut t.ca_file, v),
    ),
    value(
        "unix-socket",
        "PATH",
        "Connect to this socket instead of the host of the URL",
        |t, v| text(&mut t.unix_socket, v),
    ),
    value(
        "urls",
        "FILE",
        "File of URLs, one per line, requested in turn",
        |t, v| text(&mut t.urls_file, v),
    ),
    switch("quiet", "No progress line", |t, on| t.quiet = on),
];

impl Flag {
    pub(super) fn apply(
        &self,
        typed: &mut Typed,
        attached: Option<String>,
        next: impl FnOnce() -> Option<String>,
    ) -> Result<(), UsageError> {
        let name = self.spelled();
        match self.kind {
            Kind::Switch(set) => {
                let on = match attached.as_deref() {
                    None | Some("true" | "1" | "t") => true,
                    Some("false" | "0" | "f") => false,
                    Some(other) => {
                        return Err(UsageError(format!(
                            "{name}: `{other}` is neither true nor false"
                        )));
                    }
                };
                set(typed, on);
                Ok(())
            }
            Kind::Value(what, take) => {
                let value = attached
                    .or_else(next)
                    .ok_or_else(|| UsageError(format!("{name} needs a value: {name} {what}")))?;
                take(typed, value).map_err(|reason| UsageError(format!("{name}: {reason}")))
            }
        }
    }

    /// The flag with its dashes, as help and messages write it: one for the flags of hey, two for others.
    fn spelled(&self) -> String {
        let dashes = if HEY.iter().any(|flag| flag.name == self.name) {
            "-"
        } else {
            "--"
        };
        format!("{dashes}{}", self.name)
    }
}

pub(super) fn find(name: &str) -> Option<&'static Flag> {
    HEY.iter().chain(MORE).find(|flag| flag.name == name)
}

/// The error for an unknown flag. It names the flag that was probably meant.
pub(super) fn unknown(word: &str, name: &str) -> UsageError {
    let meant = match name {
        "concurrency" | "connections" => find("c"),
        "requests" => find("n"),
        "duration" => find("z"),
        _ => HEY.iter().chain(MORE).find(|flag| {
            flag.name.len() > 2 && (name.starts_with(flag.name) || flag.name.starts_with(name))
        }),
    };
    let hint = meant.map_or_else(String::new, |flag| {
        format!("; did you mean {}?", flag.spelled())
    });
    UsageError(format!("unknown flag {word}{hint} (-h lists all flags)"))
}

/// The text of `hey -h`.
pub fn usage() -> String {
    let mut text = String::from(
        "Usage: hey [flags] URL...\n\n\
         Sends requests to the URL with several workers at once and reports the results.\n\n",
    );
    list(&mut text, "Flags of hey", HEY);
    list(&mut text, "Additional flags", MORE);
    text.push_str(
        "Examples:\n  \
         hey -n 1000 -c 10 http://localhost:8080/\n  \
         hey -z 2m -q 1000 -c 2 http://simple-app-canary.default:80/\n  \
         hey -z 30s --rate 2000 -c 20 --fail-on 'p99<50ms,errors<1%' http://localhost:8080/\n\n\
         Exit code: 0 after a run, 2 if a condition of --fail-on does not hold, 1 if nothing was run.\n",
    );
    text
}

fn list(text: &mut String, title: &str, flags: &[Flag]) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{title}:");
    for flag in flags {
        let left = match flag.kind {
            Kind::Switch(_) => flag.spelled(),
            Kind::Value(what, _) => format!("{} {what}", flag.spelled()),
        };
        let _ = writeln!(text, "  {left:<22} {}", flag.help);
    }
    text.push('\n');
}

fn set<T>(place: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *place = Some(value?);
    Ok(())
}

fn text(place: &mut Option<String>, value: String) -> Result<(), String> {
    *place = Some(value);
    Ok(())
}

fn at_least_one<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if number >= T::from(1) => Ok(number),
        _ => Err(format!("`{text}` is not a whole number of at least 1")),
    }
}

fn at_most(most: usize) -> impl Fn(usize) -> Result<usize, String> {
    move |number| {
        if number <= most {
            Ok(number)
        } else {
            Err(format!("{number} is above the maximum of {most}"))
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    const MOST: f64 = 1e9;
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MOST => Ok(rate),
        _ => Err(format!(
            "`{text}` is not a rate: write a number of requests per second above 0 and up to 1000000000"
        )),
    }
}
