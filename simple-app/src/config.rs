//! The settings. Each flag has an environment variable with the same meaning.

use std::net::IpAddr;
use std::time::Duration;

use crate::faults::{Delay, ErrorRate, Faults, parse_duration};

const EXAMPLES: &str = "\
Examples:
  simple-app                                        version \"dev\" on http://127.0.0.1:8080/
  VERSION=1.0.1 PORT=9000 simple-app                settings from the environment
  simple-app --version-label 1.0.2-slow --delay 3s±500ms
  simple-app --version-label 1.0.3-errors --error-rate 50%";

/// Settings of one process. A flag wins over its environment variable.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "simple-app",
    about = "Responds with its version on / and exports a request summary on /metrics",
    after_help = EXAMPLES
)]
pub struct Config {
    /// Version in responses and in the log
    #[arg(
        long = "version-label",
        env = "VERSION",
        default_value = "dev",
        value_name = "VERSION"
    )]
    pub version: String,

    /// Address to listen on (in a container, 0.0.0.0 or the container's address)
    #[arg(
        long,
        env = "BIND_ADDRESS",
        default_value = "127.0.0.1",
        value_name = "IP"
    )]
    pub bind_address: IpAddr,

    /// Port of the app, which also serves /metrics; 0 picks a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Port for /metrics, /healthz and /readyz alone; 0 picks a free one
    #[arg(long, env = "METRICS_PORT", default_value_t = 8000)]
    pub metrics_port: u16,

    /// Delay of each response: `3s`, or with jitter `3s±500ms` (also `3s+-500ms`)
    #[arg(
        long,
        env = "DELAY",
        default_value = "0s",
        value_name = "DURATION[±JITTER]"
    )]
    pub delay: Delay,

    /// Share of requests that get status 500: from 0 to 1, or a percentage such as `50%`
    #[arg(long, env = "ERROR_RATE", default_value = "0", value_name = "SHARE")]
    pub error_rate: ErrorRate,

    /// Time to keep serving after SIGTERM, until load balancers have noticed that the app is not ready
    #[arg(long, env = "DRAIN_DELAY", default_value = "3s", value_name = "DURATION",
          value_parser = parse_duration)]
    pub drain_delay: Duration,
}

impl Config {
    /// The faults that this process injects.
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
    fn an_error_names_the_flag_and_the_expected_format() {
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
    fn the_help_has_every_environment_variable_and_examples() {
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
