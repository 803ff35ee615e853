//! The command line of hey, from a terminal or from `metadata.cmd` of a webhook.
//!
//! Flags follow Go's rules as in hey (`-n 5`, `-n=5`, `--n 5`), except that flags after the URL count too.

mod duration;
mod flags;
mod typed;

pub use duration::parse_duration;
pub use flags::usage;
pub use typed::{Output, Typed, UsageError};

/// The meaning of a command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// `-h`, `-help`.
    Help,
    /// A run.
    Run(Box<Typed>),
}

/// Parses the words after `hey`.
///
/// # Errors
/// A flag is unknown, a value is malformed, flags contradict each other, or there is no URL.
pub fn parse<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<Parsed, UsageError> {
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
            return Ok(Parsed::Help);
        }
        let flag = flags::find(name).ok_or_else(|| flags::unknown(word, name))?;
        flag.apply(&mut typed, attached, || {
            words.next().map(|value| value.as_ref().to_owned())
        })?;
    }
    refuse_contradictions(&typed)?;
    Ok(Parsed::Run(Box::new(typed)))
}

fn refuse_contradictions(typed: &Typed) -> Result<(), UsageError> {
    let refuse = |message: &str| Err(UsageError(message.to_owned()));
    if typed.urls.is_empty() && typed.urls_file.is_none() {
        return refuse("no URL: write it as http://HOST:PORT/PATH");
    }
    if typed.worker_rate.is_some() && typed.total_rate.is_some() {
        return refuse("-q (rate per worker) and --rate (total rate) exclude each other");
    }
    if typed.body.is_some() && typed.body_file.is_some() {
        return refuse("-d (body) and -D (file with the body) exclude each other");
    }
    if typed.http2 && typed.http2_plain {
        return refuse("-h2 (HTTP/2 over TLS) and --h2c (HTTP/2 without TLS) exclude each other");
    }
    if typed.unix_socket.is_some() && typed.proxy.is_some() {
        return refuse("--unix-socket and -x (proxy) exclude each other");
    }
    Ok(())
}

/// Parses a whole command such as `hey -z 2m -q 1000 -c 2 http://app.default:80/`. Words are split as in a shell: quotes
/// count, nothing is expanded or executed.
///
/// # Errors
/// The quotes are unbalanced, the program is not hey, or [`parse`] fails.
pub fn parse_command(command: &str) -> Result<Parsed, UsageError> {
    let words = split_words(command)
        .ok_or_else(|| UsageError(format!("unbalanced quotes in `{command}`")))?;
    match words.split_first() {
        Some((program, words)) if program == "hey" => parse(words),
        Some((program, _)) => Err(UsageError(format!("`{program}` is not hey"))),
        None => Err(UsageError("the command is empty".to_owned())),
    }
}

/// The words of a command, split as in a shell; `None` if its quotes are unbalanced.
pub(crate) fn split_words(command: &str) -> Option<Vec<String>> {
    shlex::split(&join_lines(command))
}

/// Removes each backslash before a line end, together with the line end. shlex would make an empty word of it before an
/// indented line.
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn typed(line: &str) -> Typed {
        match parse_command(line) {
            Ok(Parsed::Run(typed)) => *typed,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refusal(line: &str) -> String {
        parse_command(line).unwrap_err().0
    }

    #[test]
    fn a_backslash_at_the_end_of_a_line_joins_it_with_the_next() {
        for (command, words) in [
            ("a \\\n  -b c\\\nd", &["a", "-b", "cd"][..]),
            ("a \"b\\\nc\" 'd\\\ne'", &["a", "bc", "d\\\ne"]),
            ("a \\\\\n 'b' \"'\\\n'\"", &["a", "\\", "b", "''"]),
        ] {
            assert_eq!(split_words(command).unwrap(), words, "{command:?}");
        }
    }

    #[test]
    fn the_command_of_the_canary_is_parsed() {
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
    fn flags_may_stand_anywhere_with_one_dash_or_two_and_with_an_attached_value() {
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
    fn words_are_split_as_in_a_shell() {
        let typed = typed(r#"hey -m POST -H 'X-Name: a b' -d "{\"a\": 1}" http://a/"#);
        assert_eq!(typed.headers, ["X-Name: a b"]);
        assert_eq!(typed.body.as_deref(), Some(r#"{"a": 1}"#));
    }

    #[test]
    fn an_error_names_the_flag_and_the_fix() {
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
    fn help_is_requested_by_the_same_flags_as_in_hey() {
        assert_eq!(parse(["-h"]), Ok(Parsed::Help));
        assert_eq!(parse(["-n", "5", "--help"]), Ok(Parsed::Help));
    }

    proptest! {
        #[test]
        fn any_text_is_handled(command in "(hey )?[ -~\\n]{0,80}") {
            let _ = parse_command(&command);
        }

        #[test]
        fn every_flag_has_the_value_typed(
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
