//! The command line: what was typed.

use std::{ffi::OsString, net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    api::AlertProviderSpec,
    cluster::labels::LabelPrefixes,
    process::settings::{Notifier, Settings},
};

/// Releases new versions step by step, judged by metrics, and takes bad ones back.
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
        Flags of Flagger's own manifests are accepted with one dash too (-metrics-server=…)."
)]
pub struct Cli {
    /// What to do; `run` when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `run`, which may be given without naming it.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinitions as YAML
    Crd,
    /// Show canaries: phase, weight, checks and latest events
    Status(StatusArgs),
}

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Prometheus server of built-in and inline queries
    #[arg(long, value_name = "URL", default_value = "http://prometheus:9090")]
    pub metrics_server: String,
    /// Traffic provider of canaries that name none
    ///
    /// `istio`, or `gatewayapi:v1`: one HTTPRoute for each canary, under the parents in spec.service.gatewayRefs.
    #[arg(long, value_name = "NAME", default_value = "istio")]
    pub mesh_provider: String,
    /// Namespace to watch; all when empty
    #[arg(long, value_name = "NAMESPACE", default_value = "")]
    pub namespace: String,
    /// Labels by which targets may select their pods, in order of preference
    #[arg(
        long,
        value_name = "KEYS",
        value_delimiter = ',',
        default_value = "app,name,app.kubernetes.io/name"
    )]
    pub selector_labels: Vec<String>,
    /// Prefixes of labels that are copied to generated objects, comma separated; * for all
    #[arg(long, value_name = "PREFIXES", default_value = "")]
    pub include_label_prefix: String,
    /// Address that is called with every event
    #[arg(
        long,
        env = "EVENT_WEBHOOK_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub event_webhook: Option<String>,
    /// Refuse references to objects in other namespaces
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub no_cross_namespace_refs: bool,
    /// Follow ConfigMaps and Secrets of targets
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub enable_config_tracking: bool,
    /// Shortest analysis interval that is accepted
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub min_interval: Duration,
    /// Least important messages that are logged
    #[arg(long, value_enum, default_value = "info")]
    pub log_level: LogLevel,
    /// Form of the log
    #[arg(
        long,
        visible_alias = "zap-encoding",
        value_enum,
        default_value = "json"
    )]
    pub log_format: LogFormat,
    /// Act only while holding a Lease, so that several replicas can run
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub enable_leader_election: bool,
    /// Namespace of the Lease; --namespace when that is given
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    pub leader_election_namespace: String,
    /// How long a Lease that is not renewed counts, in whole seconds. Another replica takes over after two thirds to nine
    /// eighths of it. The holder writes the Lease three times in it
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
    /// kubeconfig of the cluster; that of the pod or of kubectl when absent
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of the cluster, sent with alerts
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// Slack address that alerts are sent to
    #[arg(long, env = "SLACK_URL", value_name = "URL", hide_env_values = true)]
    pub slack_url: Option<String>,
    /// Bearer token of the Slack address
    #[arg(
        long,
        env = "SLACK_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub slack_token: Option<String>,
    /// User shown in Slack
    #[arg(long, value_name = "NAME", default_value = "flagger")]
    pub slack_user: String,
    /// Channel in Slack
    #[arg(long, value_name = "NAME", default_value = "general")]
    pub slack_channel: String,
    /// Microsoft Teams address that alerts are sent to; used instead of Slack
    #[arg(long, env = "MSTEAMS_URL", value_name = "URL", hide_env_values = true)]
    pub msteams_url: Option<String>,
}

/// Flags of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Name of the Canary; all when absent
    pub name: Option<String>,
    /// Namespace
    #[arg(long, short, default_value = "default")]
    pub namespace: String,
    /// Keep showing
    #[arg(long, short)]
    pub watch: bool,
    /// End with the release: exit 0 when it was promoted, 2 when it was rolled back
    #[arg(long, requires = "name")]
    pub until_done: bool,
    /// How long --until-done waits for the controller to notice a change of the target
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub start_within: Duration,
    /// kubeconfig of the cluster
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Levels of the log, as Flagger names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Progress.
    Info,
    /// What someone should look at.
    #[value(alias = "warning")]
    Warn,
    /// What failed.
    #[value(alias = "fatal", alias = "panic")]
    Error,
}

impl LogLevel {
    /// The filter of the log.
    #[must_use]
    pub fn filter(self) -> &'static str {
        match self {
            LogLevel::Debug => {
                "debug,hyper=info,hyper_util=info,tower=info,kube_client=info,rustls=info,reqwest=info"
            }
            // Failed watches are logged by `cluster`; the library logs them as a dump of the answer.
            LogLevel::Info => "info,kube_runtime::watcher=error",
            LogLevel::Warn => "warn,kube_runtime::watcher=error",
            LogLevel::Error => "error",
        }
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    #[value(alias = "text")]
    Console,
}

impl RunArgs {
    /// What the flags mean for canaries.
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

    /// The namespace to watch; `None` means all.
    #[must_use]
    pub fn watched_namespace(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }
}

/// Makes two dashes of the single one that Go programs take: `-metrics-server=…`. Short flags of one letter and
/// negative numbers are left alone.
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

/// The API server keeps whole seconds, and renewals need their time.
fn lease_duration(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    if given.subsec_nanos() != 0 || !(3..=60).contains(&given.as_secs()) {
        return Err("give whole seconds, from 3s to 60s".to_owned());
    }
    Ok(given)
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::release::duration::parse(text)
        .ok_or_else(|| "write a number and a unit (ms, s, m or h), such as 10s".to_owned())
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
    fn the_command_line_is_well_formed() {
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
    fn the_duration_of_the_lease_is_in_whole_seconds_and_long_enough_to_be_renewed() {
        assert_eq!(parse(&[]).run.leader_election_duration, DURATION);
        let given = |text: &str| lease_duration(text).map(|given| given.as_secs());
        assert_eq!(given("15s"), Ok(15));
        for wrong in ["1s", "3500ms", "2m", "x"] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn switches_need_no_value_and_short_flags_stay_short() {
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
    fn teams_beats_slack() {
        let cli = parse(&["--slack-url=http://s", "--msteams-url=http://t"]);
        let notifier = cli.run.settings().notifier;
        let provider = notifier.unwrap().provider;
        assert_eq!(
            (provider.type_.as_str(), provider.address.as_deref()),
            ("msteams", Some("http://t"))
        );
    }
}
