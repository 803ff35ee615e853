//! Decides which job a webhook asks for, from its metadata alone. Nothing is started here.

use std::sync::Arc;

use super::payload::Payload;
use crate::command::{self, Parsed, UsageError};
use crate::plan::{Origin, Plan, Proxies, TargetPolicy};

/// A load test or a program to run.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// A load test inside this process.
    Load(Arc<Plan>),
    /// A program that `--allow-exec` names, with its arguments.
    Program {
        /// Program and arguments.
        words: Vec<String>,
        /// True if the caller waits for the end (types other than `cmd`).
        awaited: bool,
    },
}

/// Reasons why a webhook asks for no job that can run. The response is 400 with this text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadJob {
    /// Flagger's text.
    #[error("metadata not found in payload")]
    NoMetadata,
    /// Flagger's text.
    #[error("cmd not found in metadata")]
    NoCommand,
    /// A type of Flagger's load tester that this server does not run.
    #[error("type `{0}` is not run by this load tester: {1}")]
    TypeNotRun(String, &'static str),
    /// Not a type of Flagger's load tester.
    #[error("unknown type `{0}`: this load tester runs type cmd")]
    UnknownType(String),
    /// A command that cannot be run.
    #[error("cannot run `{0}`: {1}")]
    Refused(String, UsageError),
    /// Another load generator; the second text is the equivalent command of hey.
    #[error("`{0}` is not run here: write `{1}`, which this load tester runs itself")]
    OtherGenerator(String, String),
    /// A generator of gRPC load.
    #[error(
        "`ghz` is not run here, and there is no equivalent for gRPC: allow it with --allow-exec ghz"
    )]
    Grpc,
    /// A program that is not allowed.
    #[error("`{0}` is not run here: only hey and programs named with --allow-exec are")]
    ProgramNotAllowed(String),
    /// Conditions for a program, which has no figures to check.
    #[error("failOn works only with a hey command: `{0}` has nothing but an exit code")]
    Unjudged(String),
}

/// Rules that decide if a job may run.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Hosts that load may go to.
    pub targets: Arc<TargetPolicy>,
    /// Programs that may be started.
    pub programs: Vec<String>,
    /// Proxies of the environment.
    pub proxies: Proxies,
}

impl Rules {
    /// The job of a payload.
    ///
    /// # Errors
    /// See [`BadJob`].
    pub(crate) fn job(&self, payload: &Payload) -> Result<Job, BadJob> {
        if payload.metadata.is_none() {
            return Err(BadJob::NoMetadata);
        }
        let kind = payload.kind();
        let command = payload
            .get("cmd")
            .map(str::trim)
            .filter(|cmd| !cmd.is_empty());
        let job = match kind {
            "cmd" => self.command(payload, command.ok_or(BadJob::NoCommand)?),
            "helm" | "helmv3" => self.program("helm", command.ok_or(BadJob::NoCommand)?),
            "kubectl" => self.program("kubectl", command.ok_or(BadJob::NoCommand)?),
            "bash" => Err(BadJob::TypeNotRun(
                kind.to_owned(),
                "no shell is ever started; use type cmd with a program that --allow-exec names",
            )),
            "ngrinder" | "concord" => Err(BadJob::TypeNotRun(
                kind.to_owned(),
                "call that service directly as a webhook of the canary",
            )),
            other => Err(BadJob::UnknownType(other.to_owned())),
        }?;
        match &job {
            Job::Program { words, .. } if payload.get("failOn").is_some() => {
                Err(BadJob::Unjudged(words.first().cloned().unwrap_or_default()))
            }
            _ => Ok(job),
        }
    }

    fn command(&self, payload: &Payload, command: &str) -> Result<Job, BadJob> {
        let refused = |error| BadJob::Refused(command.to_owned(), error);
        let words = split(command).map_err(refused)?;
        let program = words.first().map(String::as_str).unwrap_or_default();
        if program == "hey" {
            return self.load(payload, &words[1..]).map_err(refused);
        }
        if self.programs.iter().any(|allowed| allowed == program) {
            return Ok(Job::Program {
                words,
                awaited: false,
            });
        }
        Err(match program {
            "wrk" | "wrk2" | "oha" | "ab" | "vegeta" | "bombardier" | "k6" | "fortio" => {
                BadJob::OtherGenerator(program.to_owned(), native_equivalent(&words))
            }
            "ghz" => BadJob::Grpc,
            other => BadJob::ProgramNotAllowed(other.to_owned()),
        })
    }

    fn load(&self, payload: &Payload, words: &[String]) -> Result<Job, UsageError> {
        let mut typed = match command::parse(words)? {
            Parsed::Run(typed) => typed,
            Parsed::Help => return Err(UsageError("-h prints help and sends no load".to_owned())),
        };
        if let Some(conditions) = payload.get("failOn") {
            typed.fail_on = Some(conditions.to_owned());
        }
        let origin = Origin::Network(Arc::clone(&self.targets));
        Ok(Job::Load(Arc::new(Plan::new(
            &typed,
            &origin,
            &self.proxies,
        )?)))
    }

    fn program(&self, program: &str, command: &str) -> Result<Job, BadJob> {
        if !self.programs.iter().any(|allowed| allowed == program) {
            return Err(BadJob::ProgramNotAllowed(program.to_owned()));
        }
        let arguments =
            split(command).map_err(|error| BadJob::Refused(command.to_owned(), error))?;
        let words = std::iter::once(program.to_owned())
            .chain(arguments)
            .collect();
        Ok(Job::Program {
            words,
            awaited: true,
        })
    }
}

/// The command of hey that is equivalent to another generator's, as far as the flags of wrk and wrk2 say.
fn native_equivalent(words: &[String]) -> String {
    let value = |flag: &str| {
        let at = words.iter().position(|word| word.starts_with(flag))?;
        let attached = &words[at][flag.len()..];
        if attached.is_empty() {
            words.get(at + 1).map(String::as_str)
        } else {
            Some(attached)
        }
    };
    let url = words.iter().rev().find(|word| word.contains("://"));
    let rate = value("-R").map_or_else(String::new, |rate| format!(" --rate {rate}"));
    // wrk also accepts seconds without a unit.
    let duration = value("-d").map(|time| match time.parse::<u64>() {
        Ok(seconds) => format!("{seconds}s"),
        Err(_) => time.to_owned(),
    });
    format!(
        "hey -z {} -c {}{rate} {}",
        duration.as_deref().unwrap_or("DURATION"),
        value("-c").unwrap_or("WORKERS"),
        url.map_or("URL", String::as_str),
    )
}

/// Words that are operators in a shell.
const OPERATORS: [&str; 9] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"];

/// Splits the words as in a shell, and refuses operators that need a shell.
fn split(command: &str) -> Result<Vec<String>, UsageError> {
    let words = command::split_words(command)
        .ok_or_else(|| UsageError("the quotes are unbalanced".to_owned()))?;
    let unquoted = without_quoted(command);
    // An operator in a comment is not among the words.
    let is_used = |operator: &&&str| {
        let is_it = |word: &str| word == **operator;
        unquoted.split([' ', '\t', '\n']).any(is_it) && words.iter().any(|word| is_it(word))
    };
    match OPERATORS.iter().find(is_used) {
        Some(operator) => Err(UsageError(format!(
            "no shell runs the command, so `{operator}` has no meaning: quote it if it is an argument"
        ))),
        None => Ok(words),
    }
}

/// The command with a mark in place of quoted and escaped text, in which an operator is plain text.
fn without_quoted(command: &str) -> String {
    const QUOTED: char = '_';
    let mut unquoted = String::new();
    let mut quote = None;
    let mut rest = command.chars();
    while let Some(c) = rest.next() {
        let escapes = c == '\\' && quote != Some('\'');
        if escapes {
            // A backslash before a line end joins two lines.
            if rest.next() != Some('\n') {
                unquoted.push(QUOTED);
            }
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
            unquoted.push(QUOTED);
        } else if quote.is_none() {
            unquoted.push(c);
        }
    }
    unquoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(metadata: &[(&str, &str)], programs: &[&str]) -> Result<Job, String> {
        let body = serde_json::json!({
            "name": "app", "namespace": "default",
            "metadata": metadata.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let rules = Rules {
            targets: Arc::default(),
            programs: programs
                .iter()
                .map(|program| (*program).to_owned())
                .collect(),
            proxies: Proxies::default(),
        };
        let payload = Payload::parse(body.to_string().as_bytes()).unwrap();
        rules.job(&payload).map_err(|error| error.to_string())
    }

    fn refusal(metadata: &[(&str, &str)]) -> String {
        job(metadata, &[]).unwrap_err()
    }

    #[test]
    fn the_command_of_the_canary_becomes_a_load_test_with_every_spelling_of_the_type() {
        let command = (
            "cmd",
            "hey -z 2m -q 1000 -c 2 http://simple-app-canary.default:80/",
        );
        for metadata in [
            &[command][..],
            &[command, ("type", "cmd")],
            &[command, ("type", "")],
        ] {
            let Ok(Job::Load(plan)) = job(metadata, &[]) else {
                panic!("{metadata:?}")
            };
            assert_eq!((plan.workers, plan.targets.len()), (2, 1));
        }
    }

    #[test]
    fn a_refusal_names_the_reason_and_the_fix() {
        for (metadata, part) in [
            (&[][..], "cmd not found in metadata"),
            (&[("cmd", "  ")], "cmd not found in metadata"),
            (&[("cmd", "hey http://a/ && rm -rf /")], "`&&`"),
            (
                &[("cmd", "hey -z 1m http://example.com.evil.org/")],
                "--allow-target",
            ),
            (&[("cmd", "hey -D /etc/passwd http://a/")], "-D"),
            (&[("cmd", "hey -x http://proxy http://a/")], "-x"),
            (&[("cmd", "hey -z http://a/")], "-z"),
            (&[("cmd", "hey \"http://a/")], "quotes"),
            (
                &[("cmd", "wrk -t2 -c10 -d 30s http://a/")],
                "`hey -z 30s -c 10 http://a/`",
            ),
            (
                &[("cmd", "wrk2 -c 4 -d1m -R2000 http://a/")],
                "`hey -z 1m -c 4 --rate 2000 http://a/`",
            ),
            (
                &[("cmd", "wrk -c 2 -d 5 http://a/")],
                "`hey -z 5s -c 2 http://a/`",
            ),
            (
                &[("cmd", "oha http://a/")],
                "`hey -z DURATION -c WORKERS http://a/`",
            ),
            (&[("cmd", "ghz --insecure a:80")], "--allow-exec ghz"),
            (&[("cmd", "curl http://a/")], "--allow-exec"),
            (
                &[("cmd", "hey http://a/"), ("failOn", "p99<fast")],
                "p99<fast",
            ),
            (&[("type", "bash"), ("cmd", "true")], "no shell"),
            (&[("type", "helmv3"), ("cmd", "test x")], "`helm`"),
            (&[("type", "kubectl"), ("cmd", "get pods")], "`kubectl`"),
            (&[("type", "concord")], "concord"),
            (&[("type", "ngrinder")], "ngrinder"),
            (&[("type", "magic")], "magic"),
        ] {
            let message = refusal(metadata);
            assert!(
                message.contains(part),
                "{metadata:?}: {part} is missing in: {message}"
            );
        }
    }

    #[test]
    fn a_program_runs_only_if_it_is_allowed_and_keeps_its_quoted_words() {
        let words = |job| match job {
            Ok(Job::Program { words, awaited }) => (words.join("|"), awaited),
            other => panic!("{other:?}"),
        };
        let metadata = [("cmd", "curl -H 'a: b c' http://a/")];
        assert_eq!(
            words(job(&metadata, &["curl"])),
            ("curl|-H|a: b c|http://a/".into(), false)
        );
        let judged = [("cmd", "curl http://a/"), ("failOn", "errors<1%")];
        let refusal = job(&judged, &["curl"]).unwrap_err();
        assert!(refusal.contains("failOn"), "{refusal}");
        let metadata = [("type", "helmv3"), ("cmd", "test 'my app'")];
        assert_eq!(
            words(job(&metadata, &["helm"])),
            ("helm|test|my app".into(), true)
        );
    }

    #[test]
    fn shell_operators_are_text_when_quoted() {
        for (command, last) in [
            ("curl -d '|'", "|"),
            ("curl -d \";\"", ";"),
            ("curl -d \\<", "<"),
            ("curl -d 'a && b'", "a && b"),
            ("curl -d \"it's && \\\" && \"", "it's && \" && "),
            ("curl -d 'a'\"'\"' && b'", "a' && b"),
            ("curl -d '\\' '&'", "&"),
            ("curl 'http://a/?b;c' # && more", "http://a/?b;c"),
        ] {
            let Ok(Job::Program { words, .. }) = job(&[("cmd", command)], &["curl"]) else {
                panic!("{command}")
            };
            assert_eq!(words.last().map(String::as_str), Some(last), "{command}");
        }
        for (command, operator) in [
            ("curl a && b", "&&"),
            ("curl ';' ; b", ";"),
            ("curl 'a b' | c", "|"),
            ("curl \"a'\" > b", ">"),
            ("curl a \\\n&& b", "&&"),
            ("curl '\\' & b", "&"),
            ("curl a\n&&\nb", "&&"),
        ] {
            let refusal = job(&[("cmd", command)], &["curl"]).unwrap_err();
            assert!(
                refusal.contains(&format!("`{operator}`")),
                "{command}: {refusal}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_command_starts_a_program_that_is_not_allowed(command in "[ -~]{0,60}") {
            let is_program = matches!(job(&[("cmd", &command)], &[]), Ok(Job::Program { .. }));
            prop_assert!(!is_program, "{}", command);
        }
    }
}
