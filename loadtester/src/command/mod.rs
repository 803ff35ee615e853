//! hey's command line, as typed: by a person, or by a webhook in `metadata.cmd`.
//!
//! Flags follow Go's rules as hey's do (`-n 5`, `-n=5`, `--n 5`), with one mend: flags after the URL count.

mod duration;
mod flags;

use std::time::Duration;

pub use duration::parse_duration;
pub use flags::usage;

/// A command line that cannot be run; the text says which flag and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// How the result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// hey's summary.
    #[default]
    Summary,
    /// One line per request, in hey's columns.
    Csv,
    /// One object, described by `report.schema.json`.
    Json,
}

/// What was typed; nothing is resolved, read or looked up yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Typed {
    /// `-n`: requests in all.
    pub requests: Option<u64>,
    /// `-c`: workers.
    pub workers: Option<usize>,
    /// `-q`: requests per second of each worker.
    pub worker_rate: Option<f64>,
    /// `--rate`: requests per second of all workers together.
    pub total_rate: Option<f64>,
    /// `-z`: how long to send.
    pub duration: Option<Duration>,
    /// `--warmup`: how long to send before anything is recorded.
    pub warmup: Duration,
    /// `--drain`: how long to wait for requests still running at the end of `-z`.
    pub drain: Option<Duration>,
    /// `-t`: limit of one request; zero is none.
    pub timeout: Option<Duration>,
    /// `-o`, `--json`.
    pub output: Output,
    /// `--fail-on`: conditions that decide the exit code.
    pub fail_on: Option<String>,
    /// `-m`.
    pub method: Option<String>,
    /// `-H`, in the order typed.
    pub headers: Vec<String>,
    /// `-A`.
    pub accept: Option<String>,
    /// `-d`.
    pub body: Option<String>,
    /// `-D`.
    pub body_file: Option<String>,
    /// `-T`.
    pub content_type: Option<String>,
    /// `-U`.
    pub user_agent: Option<String>,
    /// `-a`.
    pub basic_auth: Option<String>,
    /// `-x`.
    pub proxy: Option<String>,
    /// `-host`.
    pub host: Option<String>,
    /// `-h2`: HTTP/2 by TLS.
    pub http2: bool,
    /// `--h2c`: HTTP/2 without TLS.
    pub http2_plain: bool,
    /// `-disable-compression`.
    pub disable_compression: bool,
    /// `-disable-keepalive`.
    pub disable_keepalive: bool,
    /// `-disable-redirects`.
    pub disable_redirects: bool,
    /// `-cpus`: threads.
    pub threads: Option<usize>,
    /// `--cacert`: certificates to trust; without it none is checked, as hey does.
    pub ca_file: Option<String>,
    /// `--unix-socket`.
    pub unix_socket: Option<String>,
    /// `--urls`: a file of URLs.
    pub urls_file: Option<String>,
    /// `--quiet`: no progress line.
    pub quiet: bool,
    /// URLs, requested in turn.
    pub urls: Vec<String>,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// `-h`, `-help`.
    Help,
    /// A run.
    Run(Box<Typed>),
}

/// Reads the words after `hey`.
///
/// # Errors
/// An unknown flag, a value of the wrong form, flags that contradict each other, no URL.
pub fn parse<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<Asked, UsageError> {
    let mut typed = Typed::default();
    let mut words = words.into_iter();
    let mut only_urls = false;
    while let Some(word) = words.next() {
        let word = word.as_ref();
        if only_urls || word.len() < 2 || !word.starts_with('-') {
            typed.urls.push(word.to_owned());
            continue;
        }
        if word == "--" {
            only_urls = true;
            continue;
        }
        let name = word
            .strip_prefix("--")
            .or_else(|| word.strip_prefix('-'))
            .unwrap_or(word);
        let (name, attached) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if matches!(name, "h" | "help") {
            return Ok(Asked::Help);
        }
        let flag = flags::find(name).ok_or_else(|| flags::unknown(word, name))?;
        flag.apply(&mut typed, attached, || {
            words.next().map(|value| value.as_ref().to_owned())
        })?;
    }
    refuse_contradictions(&typed)?;
    Ok(Asked::Run(Box::new(typed)))
}

fn refuse_contradictions(typed: &Typed) -> Result<(), UsageError> {
    let refuse = |message: &str| Err(UsageError(message.to_owned()));
    if typed.urls.is_empty() && typed.urls_file.is_none() {
        return refuse("no URL: write it as http://HOST:PORT/PATH");
    }
    if typed.worker_rate.is_some() && typed.total_rate.is_some() {
        return refuse(
            "-q (rate of each worker) and --rate (rate of all together) exclude each other",
        );
    }
    if typed.body.is_some() && typed.body_file.is_some() {
        return refuse("-d (body) and -D (file with the body) exclude each other");
    }
    if typed.http2 && typed.http2_plain {
        return refuse("-h2 (HTTP/2 by TLS) and --h2c (HTTP/2 without TLS) exclude each other");
    }
    if typed.unix_socket.is_some() && typed.proxy.is_some() {
        return refuse("--unix-socket and -x (proxy) exclude each other");
    }
    Ok(())
}

/// Reads a whole command such as `hey -z 2m -q 1000 -c 2 http://app.default:80/`, splitting words as a shell
/// would: quotes count, nothing is expanded or run.
///
/// # Errors
/// Unbalanced quotes, another program than hey, and all of [`parse`].
pub fn parse_command(command: &str) -> Result<Asked, UsageError> {
    let words = split_words(command)
        .ok_or_else(|| UsageError(format!("unbalanced quotes in `{command}`")))?;
    match words.split_first() {
        Some((program, words)) if program == "hey" => parse(words),
        Some((program, _)) => Err(UsageError(format!("`{program}` is not hey"))),
        None => Err(UsageError("the command is empty".to_owned())),
    }
}

/// The words of a command as a shell would split them; none if its quotes are unbalanced.
pub(crate) fn split_words(command: &str) -> Option<Vec<String>> {
    shlex::split(&join_lines(command))
}

/// Takes out what makes a line go on in the next one. shlex would make an empty word of it before an indented line.
fn join_lines(command: &str) -> String {
    let mut joined = String::with_capacity(command.len());
    let mut quote = None;
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        let escapes = c == '\\' && quote != Some('\'');
        if escapes && rest.next_if_eq(&'\n').is_some() {
            continue;
        }
        joined.push(c);
        if escapes {
            joined.extend(rest.next());
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(line: &str) -> Typed {
        match parse_command(line) {
            Ok(Asked::Run(typed)) => *typed,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refusal(line: &str) -> String {
        parse_command(line).unwrap_err().0
    }

    #[test]
    fn a_line_may_go_on_in_the_next() {
        for (command, words) in [
            ("a \\\n  -b c\\\nd", &["a", "-b", "cd"][..]),
            ("a \"b\\\nc\" 'd\\\ne'", &["a", "bc", "d\\\ne"]),
            ("a \\\\\n 'b' \"'\\\n'\"", &["a", "\\", "b", "''"]),
        ] {
            assert_eq!(split_words(command).unwrap(), words, "{command:?}");
        }
    }

    #[test]
    fn the_canarys_command_is_read() {
        let expected = Typed {
            duration: Some(Duration::from_secs(120)),
            worker_rate: Some(1000.0),
            workers: Some(2),
            urls: vec!["http://simple-app-canary.default:80/".into()],
            ..Typed::default()
        };
        assert_eq!(
            typed("hey -z 2m -q 1000 -c 2 http://simple-app-canary.default:80/"),
            expected
        );
    }

    #[test]
    fn a_flag_may_stand_anywhere_with_one_dash_or_two_and_its_value_attached_or_not() {
        let expected = typed("hey -n 5 -disable-keepalive http://a/");
        for line in [
            "hey --n=5 -disable-keepalive=true http://a/",
            "hey http://a/ -n 5 --disable-keepalive",
            "hey -disable-keepalive http://a/ -n=5",
            "hey -n 5 -disable-keepalive -- http://a/",
        ] {
            assert_eq!(typed(line), expected, "{line}");
        }
        assert!(!typed("hey -disable-keepalive=false http://a/").disable_keepalive);
    }

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let typed = typed(r#"hey -m POST -H 'X-Name: a b' -d "{\"a\": 1}" http://a/"#);
        assert_eq!(typed.headers, ["X-Name: a b"]);
        assert_eq!(typed.body.as_deref(), Some(r#"{"a": 1}"#));
    }

    #[test]
    fn a_refusal_names_the_flag_and_the_mend() {
        for (line, parts) in [
            ("hey", &["no URL"][..]),
            ("hey -n", &["-n", "value"]),
            ("hey -n many http://a/", &["-n", "many"]),
            ("hey -n 0 http://a/", &["-n", "1"]),
            ("hey -c 0 http://a/", &["-c", "1"]),
            ("hey -q -1 http://a/", &["-q"]),
            ("hey -z 5 http://a/", &["-z", "10s"]),
            ("hey -o xml http://a/", &["-o", "csv"]),
            ("hey -q 1 --rate 5 http://a/", &["-q", "--rate"]),
            ("hey --concurrency 5 http://a/", &["--concurrency"]),
            ("hey -disable-keepalives http://a/", &["-disable-keepalive"]),
            ("hey 'http://a/", &["quotes"]),
            ("", &["empty"]),
            ("wrk http://a/", &["wrk"]),
        ] {
            let message = refusal(line);
            for part in parts {
                assert!(
                    message.contains(part),
                    "{line}: {part} is missing in: {message}"
                );
            }
        }
    }

    #[test]
    fn help_is_asked_for_as_in_hey() {
        assert_eq!(parse(["-h"]), Ok(Asked::Help));
        assert_eq!(parse(["-n", "5", "--help"]), Ok(Asked::Help));
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(command in "(hey )?[ -~\\n]{0,80}") {
            let _ = parse_command(&command);
        }

        #[test]
        fn what_was_typed_is_what_is_read(
            requests in 1u64..1_000_000,
            workers in 1usize..5000,
            rate in 0.1f64..100_000.0,
            seconds in 0u64..100_000,
            url_first: bool,
        ) {
            let flags = format!("-n {requests} -c={workers} --q {rate} -z {seconds}s");
            let line = if url_first {
                format!("hey http://a/ {flags}")
            } else {
                format!("hey {flags} http://a/")
            };
            let expected = Typed {
                requests: Some(requests),
                workers: Some(workers),
                worker_rate: Some(rate),
                duration: Some(Duration::from_secs(seconds)),
                urls: vec!["http://a/".into()],
                ..Typed::default()
            };
            prop_assert_eq!(typed(&line), expected);
        }
    }
}
