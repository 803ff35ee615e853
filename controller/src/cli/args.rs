//! Command-line arguments.

use std::{ffi::OsString, net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    api::AlertProviderSpec,
    cluster::labels::LabelPrefixes,
    process::settings::{Notifier, Settings},
};

/// Releases new versions step by step, checks their metrics, and rolls back bad ones.
#[derive(Debug, Parser)]
#[command(
    name = "canary-controller",
    version,
    about,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        canary-controller --metrics-server http://prometheus.monitoring:9090 --enable-leader-election\n  \
        canary-controller crd | kubectl apply -f -\n  \
        canary-controller status simple-app --watch\n\n\
        The flags of Flagger's manifests also work with a single dash (-metrics-server=…)."
)]
pub struct Cli {
    /// Subcommand; `run` by default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `run` without the subcommand.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinitions as YAML
    Crd,
    /// Show canaries: phase, weight, checks and recent events
    Status(StatusArgs),
}

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Prometheus server for built-in and inline queries
    #[arg(long, value_name = "URL", default_value = "http://prometheus:9090")]
    pub metrics_server: String,
    /// Traffic provider of canaries without spec.provider
    ///
    /// `istio`, or `gatewayapi:v1`: one HTTPRoute per canary, attached to the parents in spec.service.gatewayRefs.
    #[arg(long, value_name = "NAME", default_value = "istio")]
    pub mesh_provider: String,
    /// Namespace to watch; all namespaces if empty
    #[arg(long, value_name = "NAMESPACE", default_value = "")]
    pub namespace: String,
    /// Keys of labels that may select the pods of a target, in order of preference
    #[arg(
        long,
        value_name = "KEYS",
        value_delimiter = ',',
        default_value = "app,name,app.kubernetes.io/name"
    )]
    pub selector_labels: Vec<String>,
    /// Prefixes of labels to copy to generated objects, separated by commas; * for all labels
    #[arg(long, value_name = "PREFIXES", default_value = "")]
    pub include_label_prefix: String,
    /// URL that receives every event
    #[arg(
        long,
        env = "EVENT_WEBHOOK_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub event_webhook: Option<String>,
    /// Refuse references to metric templates and alert providers in other namespaces
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub no_cross_namespace_refs: bool,
    /// Track the ConfigMaps and Secrets of targets
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub enable_config_tracking: bool,
    /// Minimum analysis interval
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub min_interval: Duration,
    /// Minimum level of log messages
    #[arg(long, value_enum, default_value = "info")]
    pub log_level: LogLevel,
    /// Format of the log
    #[arg(
        long,
        visible_alias = "zap-encoding",
        value_enum,
        default_value = "json"
    )]
    pub log_format: LogFormat,
    /// Enable leader election, so that several replicas can run
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub enable_leader_election: bool,
    /// Namespace of the Lease; overridden by --namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    pub leader_election_namespace: String,
    /// Duration of the Lease, in whole seconds from 3s to 60s
    ///
    /// If the leader dies, another replica takes over at most half a second after the Lease has expired (with the default).
    /// The leader renews the Lease three times per duration.
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = lease_duration)]
    pub leader_election_duration: Duration,
    /// Port of the rollout page, /metrics, /healthz and /readyz
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Address of the rollout page, /metrics, /healthz and /readyz
    #[arg(
        long,
        env = "BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = "127.0.0.1"
    )]
    pub bind: IpAddr,
    /// Path of the kubeconfig; by default that of the pod or of kubectl
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Cluster name in alerts
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// Slack webhook URL for alerts
    #[arg(long, env = "SLACK_URL", value_name = "URL", hide_env_values = true)]
    pub slack_url: Option<String>,
    /// Bearer token for Slack
    #[arg(
        long,
        env = "SLACK_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub slack_token: Option<String>,
    /// Slack user name
    #[arg(long, value_name = "NAME", default_value = "flagger")]
    pub slack_user: String,
    /// Slack channel
    #[arg(long, value_name = "NAME", default_value = "general")]
    pub slack_channel: String,
    /// Microsoft Teams webhook URL for alerts; overrides Slack
    #[arg(long, env = "MSTEAMS_URL", value_name = "URL", hide_env_values = true)]
    pub msteams_url: Option<String>,
}

/// Flags of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Name of the Canary; all of the namespace by default
    pub name: Option<String>,
    /// Namespace of the Canary
    #[arg(long, short, default_value = "default")]
    pub namespace: String,
    /// Keep the view up to date until interrupted
    #[arg(long, short)]
    pub watch: bool,
    /// Wait for the end of the release; exit with 0 if it was promoted, with 2 if it was rolled back
    #[arg(long, requires = "name")]
    pub until_done: bool,
    /// How long --until-done waits for the controller to notice a change of the target
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub start_within: Duration,
    /// Path of the kubeconfig; by default that of the pod or of kubectl
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Log levels. Flagger's names are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Details for debugging.
    Debug,
    /// Normal operation.
    Info,
    /// Problems that need attention.
    #[value(alias = "warning")]
    Warn,
    /// Failures.
    #[value(alias = "fatal", alias = "panic")]
    Error,
}

impl LogLevel {
    /// Returns the filter of the log.
    #[must_use]
    pub fn filter(self) -> &'static str {
        match self {
            LogLevel::Debug => {
                "debug,hyper=info,hyper_util=info,tower=info,kube_client=info,rustls=info,reqwest=info"
            }
            // The controller logs failed requests and watches. The libraries would log them again, as dumps.
            LogLevel::Info => {
                "info,kube_runtime::watcher=error,kube_client=off,rustls_platform_verifier=off"
            }
            LogLevel::Warn => {
                "warn,kube_runtime::watcher=error,kube_client=off,rustls_platform_verifier=off"
            }
            LogLevel::Error => "error,kube_client=off,rustls_platform_verifier=off",
        }
    }
}

/// Log formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    #[value(alias = "text")]
    Console,
}

impl RunArgs {
    /// Converts the flags to settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let slack = || {
            Some(Notifier {
                provider: AlertProviderSpec {
                    type_: "slack".to_owned(),
                    address: Some(given(&self.slack_url)?),
                    username: Some(self.slack_user.clone()),
                    channel: Some(self.slack_channel.clone()),
                    ..AlertProviderSpec::default()
                },
                token: given(&self.slack_token),
            })
        };
        let teams = |address| Notifier {
            provider: AlertProviderSpec {
                type_: "msteams".to_owned(),
                address: Some(address),
                ..AlertProviderSpec::default()
            },
            token: None,
        };
        Settings {
            metrics_server: self.metrics_server.clone(),
            mesh_provider: self.mesh_provider.clone(),
            selector_labels: self.selector_labels.clone(),
            label_prefixes: LabelPrefixes::parse(&self.include_label_prefix),
            event_webhook: given(&self.event_webhook),
            no_cross_namespace_refs: self.no_cross_namespace_refs,
            config_tracking: self.enable_config_tracking,
            min_interval: self.min_interval,
            cluster_name: given(&self.cluster_name),
            notifier: given(&self.msteams_url).map(teams).or_else(slack),
        }
    }

    /// Returns the namespace to watch; `None` for all namespaces.
    #[must_use]
    pub fn watched_namespace(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }
}

/// Adds the second dash to long flags with a single one, which Go programs accept: `-metrics-server=…`. Flags of one
/// letter and negative numbers are unchanged.
pub fn with_two_dashes(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let convert = |arg: OsString| match arg.to_str().and_then(|text| text.strip_prefix('-')) {
        Some(rest) => {
            let name = rest.split('=').next().unwrap_or_default();
            let is_long = name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase());
            if is_long {
                OsString::from(format!("--{rest}"))
            } else {
                arg
            }
        }
        None => arg,
    };
    args.into_iter().map(convert).collect()
}

/// Parses the duration of the Lease. A Lease has whole seconds, and shorter ones would leave no time for renewals.
fn lease_duration(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    if given.subsec_nanos() != 0 || !(3..=60).contains(&given.as_secs()) {
        return Err("use whole seconds, from 3s to 60s".to_owned());
    }
    Ok(given)
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::release::duration::parse(text)
        .ok_or_else(|| "use a number and a unit (ms, s, m or h), such as 10s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::lease::DURATION;

    fn parse(args: &[&str]) -> Cli {
        let args = std::iter::once("canary-controller")
            .chain(args.iter().copied())
            .map(OsString::from);
        Cli::try_parse_from(with_two_dashes(args)).unwrap()
    }

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_flaggers_manifests_are_accepted() {
        let cli = parse(&[
            "-log-level=info",
            "-include-label-prefix=app.kubernetes.io",
            "-mesh-provider=istio",
            "-metrics-server=http://prometheus.istio-system:9090",
            "-enable-config-tracking=false",
            "-enable-leader-election=true",
            "-leader-election-namespace=istio-system",
            "-slack-channel=x",
            "-selector-labels=a,b",
        ]);
        assert!(cli.command.is_none());
        assert!(!cli.run.enable_config_tracking);
        assert!(cli.run.enable_leader_election);
        assert_eq!(
            cli.run.metrics_server,
            "http://prometheus.istio-system:9090"
        );
        assert_eq!(cli.run.settings().selector_labels, ["a", "b"]);
    }

    #[test]
    fn the_lease_duration_has_whole_seconds_within_limits() {
        assert_eq!(parse(&[]).run.leader_election_duration, DURATION);
        let given = |text: &str| lease_duration(text).map(|given| given.as_secs());
        assert_eq!(given("15s"), Ok(15));
        for wrong in ["1s", "3500ms", "2m", "x"] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn switches_need_no_value_and_short_flags_work() {
        let cli = parse(&[
            "run",
            "--enable-leader-election",
            "--no-cross-namespace-refs",
            "--min-interval",
            "500ms",
        ]);
        let Some(Command::Run(run)) = cli.command else {
            panic!("not run")
        };
        assert!(
            run.enable_leader_election && run.no_cross_namespace_refs && run.enable_config_tracking
        );
        assert_eq!(run.min_interval, Duration::from_millis(500));
        let cli = parse(&["status", "app", "-n", "test", "-w"]);
        let Some(Command::Status(status)) = cli.command else {
            panic!("not status")
        };
        assert!(status.watch && status.namespace == "test");
    }

    #[test]
    fn teams_overrides_slack() {
        let cli = parse(&["--slack-url=http://s", "--msteams-url=http://t"]);
        let notifier = cli.run.settings().notifier;
        let provider = notifier.unwrap().provider;
        assert_eq!(
            (provider.type_.as_str(), provider.address.as_deref()),
            ("msteams", Some("http://t"))
        );
    }
}
