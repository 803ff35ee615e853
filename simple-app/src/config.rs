//! What can be set: each flag has an environment variable of the same meaning.

use std::net::IpAddr;
use std::time::Duration;

use crate::faults::{Delay, ErrorRate, Faults, parse_duration};

const EXAMPLES: &str = "\
Examples:
  simple-app                                        version \"dev\" on http://127.0.0.1:8080/
  VERSION=1.0.1 PORT=9000 simple-app                the same settings by environment
  simple-app --version-label 1.0.2-slow --delay 3s±500ms
  simple-app --version-label 1.0.3-errors --error-rate 50%";

/// Settings of one process; a flag wins over its environment variable.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "simple-app",
    about = "Answers its version on /, exports a request summary on /metrics",
    after_help = EXAMPLES
)]
pub struct Config {
    /// Version to answer and to log
    #[arg(
        long = "version-label",
        env = "VERSION",
        default_value = "dev",
        value_name = "VERSION"
    )]
    pub version: String,

    /// Address to listen on (a container needs 0.0.0.0 or its own address)
    #[arg(
        long,
        env = "BIND_ADDRESS",
        default_value = "127.0.0.1",
        value_name = "IP"
    )]
    pub bind_address: IpAddr,

    /// Port of the app, which answers /metrics too; 0 picks a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Port that answers /metrics, /healthz and /readyz only; 0 picks a free one
    #[arg(long, env = "METRICS_PORT", default_value_t = 8000)]
    pub metrics_port: u16,

    /// Wait before each answer: `3s`, or with jitter `3s±500ms` (also written `3s+-500ms`)
    #[arg(
        long,
        env = "DELAY",
        default_value = "0s",
        value_name = "DURATION[±JITTER]"
    )]
    pub delay: Delay,

    /// Share of requests to answer with 500: from 0 to 1, or a percentage such as `50%`
    #[arg(long, env = "ERROR_RATE", default_value = "0", value_name = "SHARE")]
    pub error_rate: ErrorRate,

    /// How long to keep serving after SIGTERM, while load balancers notice that readiness fails
    #[arg(long, env = "DRAIN_DELAY", default_value = "3s", value_name = "DURATION",
          value_parser = parse_duration)]
    pub drain_delay: Duration,
}

impl Config {
    /// The faults this process injects.
    pub fn faults(&self) -> Faults {
        Faults {
            delay: self.delay,
            error_rate: self.error_rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::Config;

    fn refusal(args: &[&str]) -> String {
        Config::try_parse_from([&["simple-app"], args].concat())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_bad_value_is_refused_with_the_flag_and_the_form_expected() {
        let delay = refusal(&["--delay", "soon"]);
        assert!(
            delay.contains("--delay") && delay.contains("3s±500ms"),
            "{delay}"
        );
        let rate = refusal(&["--error-rate", "150%"]);
        assert!(
            rate.contains("--error-rate") && rate.contains("from 0 to 1"),
            "{rate}"
        );
        assert!(refusal(&["--port", "80000"]).contains("--port"));
        assert!(refusal(&["--bind-address", "everywhere"]).contains("--bind-address"));
    }

    #[test]
    fn the_help_names_every_environment_variable_and_shows_examples() {
        let help = refusal(&["--help"]);
        for name in [
            "VERSION",
            "BIND_ADDRESS",
            "PORT",
            "METRICS_PORT",
            "DELAY",
            "ERROR_RATE",
            "DRAIN_DELAY",
            "Examples:",
        ] {
            assert!(help.contains(name), "{name} is missing in: {help}");
        }
    }
}
