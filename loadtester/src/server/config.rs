//! The settings of the server.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use regex_lite::Regex;

use super::gates::ConfigMapName;
use crate::command::parse_duration;
use crate::plan::HostPattern;

const EXAMPLES: &str = "\
Examples:
  loadtester serve
  loadtester serve --bind 0.0.0.0 --gates-configmap loadtester-gates --namespace-regexp '^(default|shop)$'
  loadtester serve --allow-target cluster --allow-target '*.staging.example.com' --max-rate 5000";

/// Settings of the server. A flag wins over its environment variable.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Config {
    /// Address to listen on (in a container, 0.0.0.0 or the container's address)
    #[arg(
        long,
        alias = "bind-address",
        env = "BIND_ADDRESS",
        default_value = "127.0.0.1",
        value_name = "IP"
    )]
    pub bind: IpAddr,

    /// Port; 0 picks a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// File for the gates, so that they survive a restart; without it or a ConfigMap they are kept in memory
    #[arg(long, env = "GATES_FILE", value_name = "FILE")]
    pub gates_file: Option<PathBuf>,

    /// ConfigMap for the gates, so that they survive a restart and all replicas share them; it must exist, and the pod's
    /// ServiceAccount needs get and patch on it
    #[arg(
        long,
        env = "GATES_CONFIGMAP",
        value_name = "[NAMESPACE/]NAME",
        conflicts_with = "gates_file"
    )]
    pub gates_configmap: Option<ConfigMapName>,

    /// Folder with the token of the pod's ServiceAccount
    #[arg(
        long,
        env = "SERVICE_ACCOUNT_DIR",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount",
        value_name = "DIR"
    )]
    pub service_account_dir: PathBuf,

    /// Regular expression for the namespaces of canaries (not anchored: write ^…$)
    #[arg(long, env = "NAMESPACE_REGEXP", value_name = "REGEXP")]
    pub namespace_regexp: Option<Regex>,

    /// Hosts that load may go to: NAME, *.DOMAIN, `cluster` (names inside the cluster and loopback, the default) or *
    #[arg(
        long,
        env = "ALLOW_TARGET",
        value_delimiter = ',',
        value_name = "PATTERN"
    )]
    pub allow_target: Vec<HostPattern>,

    /// Program that a command may start besides hey, spelled like the first word of the command; never a shell
    #[arg(long, env = "ALLOW_EXEC", value_delimiter = ',', value_name = "PROGRAM",
          value_parser = parse_program)]
    pub allow_exec: Vec<String>,

    /// Secret that callers must send as bearer token or as password
    #[arg(
        long,
        env = "LOADTESTER_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        value_parser = parse_token
    )]
    pub token: Option<String>,

    /// Maximum number of running tasks
    #[arg(long, env = "MAX_TASKS", default_value_t = 20, value_parser = parse_count, value_name = "N")]
    pub max_tasks: usize,

    /// Maximum number of workers of one load test
    #[arg(long, env = "MAX_WORKERS", default_value_t = 1000, value_parser = parse_count, value_name = "N")]
    pub max_workers: usize,

    /// Time limit for the head of a request, including idle time on a kept connection; should be longer than the
    /// interval of webhooks, because proxies keep connections open between them
    #[arg(long, env = "HEAD_TIMEOUT", default_value = "75s", value_parser = parse_time,
          value_name = "DURATION")]
    pub head_timeout: Duration,

    /// Maximum requests per second of all load tests together; each load test must then have a rate
    #[arg(long, env = "MAX_RATE", value_parser = parse_rate, value_name = "RATE")]
    pub max_rate: Option<f64>,

    /// Time limit of a task
    #[arg(long, env = "TASK_TIMEOUT", default_value = "1h", value_parser = parse_time,
          value_name = "DURATION")]
    pub timeout: Duration,
}

/// Refuses an empty token, which would admit exactly the callers with an empty password.
fn parse_token(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(
            "the token of --token or LOADTESTER_TOKEN is empty: set a secret, or unset the token to admit every caller"
                .to_owned(),
        );
    }
    // A Secret made from a file often ends with a newline.
    Ok(text.trim().to_owned())
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err("write a whole number of at least 1".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("write a number of requests per second above 0".to_owned()),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time.is_zero() {
        return Err(
            "a limit of zero would end everything at once: write a time such as 30s or 1h"
                .to_owned(),
        );
    }
    Ok(time)
}

/// Refuses shells: a shell would execute any text from the network.
fn parse_program(text: &str) -> Result<String, String> {
    const SHELLS: [&str; 12] = [
        "sh", "bash", "rbash", "dash", "zsh", "ksh", "mksh", "fish", "ash", "csh", "tcsh",
        "busybox",
    ];
    let program = text.trim();
    let name = program.rsplit('/').next().unwrap_or_default();
    if name.is_empty() {
        return Err("write the name of a program".to_owned());
    }
    if SHELLS.contains(&name) {
        return Err(format!(
            "`{name}` is a shell, which would execute any text from the network"
        ));
    }
    Ok(program.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_cannot_be_allowed() {
        for shell in ["sh", "bash", "/bin/sh", " zsh ", "", "/"] {
            assert!(parse_program(shell).is_err(), "{shell}");
        }
        assert_eq!(parse_program("curl"), Ok("curl".to_owned()));
    }

    #[test]
    fn limits_that_allow_nothing_or_everything_are_refused() {
        for rate in ["nan", "inf", "-5", "0", "fast"] {
            assert!(parse_rate(rate).is_err(), "{rate}");
        }
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        assert!(parse_count("0").is_err() && parse_time("0s").is_err());
        assert_eq!(
            (parse_count("1"), parse_token("abc\n")),
            (Ok(1), Ok("abc".to_owned()))
        );
    }
}
