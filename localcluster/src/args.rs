//! The command line.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Parser, Subcommand};

/// A small Kubernetes for one machine: API server, controllers, kubelet, mesh (Envoy) and
/// monitoring (Prometheus). Containers run as host processes from a local image store.
#[derive(Debug, Parser)]
#[command(name = "localcluster", version, arg_required_else_help = true)]
pub struct Args {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a complete cluster in this process until Ctrl-C or SIGTERM.
    Up(UpArgs),
    /// Stop the cluster of a state directory and wait until it has ended.
    Stop(StateArgs),
    /// Print the addresses of the running cluster. The exit code is 3 if no cluster runs.
    Status(StatusArgs),
    /// Build, list and remove images of the local store.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Run only the API server.
    Apiserver(ApiserverArgs),
    /// Run only the controllers, with any conformant API server.
    Controllers(ClientArgs),
    /// Run only the kubelet, with any conformant API server.
    Kubelet(KubeletArgs),
    /// Run only the mesh, with any conformant API server.
    Mesh(MeshArgs),
    /// Run only the monitoring, with any conformant API server.
    Monitoring(MonitoringArgs),
    /// Execute another program that ends with the given parent process.
    #[command(hide = true)]
    Shim(ShimArgs),
}

/// The state directory of a cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct StateArgs {
    /// Directory of the cluster's state.
    #[arg(long, env = "LOCALCLUSTER_STATE", default_value = ".local/cluster")]
    pub state_dir: PathBuf,
}

/// `localcluster up`
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
    /// The external programs.
    #[command(flatten)]
    pub programs: ProgramArgs,
    /// The ingress.
    #[command(flatten)]
    pub ingress: IngressArgs,
}

/// The external programs that localcluster runs.
#[derive(Debug, Clone, clap::Args)]
pub struct ProgramArgs {
    /// The Envoy program.
    #[arg(long, env = "ENVOY", default_value = "envoy")]
    pub envoy: PathBuf,
    /// The Prometheus program.
    #[arg(long, env = "PROMETHEUS", default_value = "prometheus")]
    pub prometheus: PathBuf,
}

/// The ingress listener.
#[derive(Debug, Clone, clap::Args)]
pub struct IngressArgs {
    /// Address of the ingress. `auto` or port 0 selects a free port on 127.0.0.1.
    #[arg(long, env = "INGRESS", default_value = "127.0.0.1:8080", value_parser = ingress_address)]
    pub ingress: SocketAddr,
    /// Service that gets the ingress requests for hosts without a route.
    #[arg(long, value_name = "SERVICE.NAMESPACE", value_parser = service_and_namespace)]
    pub ingress_default: Option<(String, String)>,
}

fn service_and_namespace(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((name, namespace)) if !name.is_empty() && !namespace.is_empty() => {
            Ok((name.into(), namespace.into()))
        }
        _ => Err("it must be SERVICE.NAMESPACE, e.g. simple-app.default".into()),
    }
}

fn ingress_address(text: &str) -> Result<SocketAddr, String> {
    if text == "auto" {
        return Ok((Ipv4Addr::LOCALHOST, 0).into());
    }
    text.parse()
        .map_err(|_| "it must be ADDRESS:PORT, e.g. 127.0.0.1:8080, or auto".into())
}

/// `localcluster status`
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
    /// Print only this field, e.g. `ingress`.
    #[arg(long)]
    pub field: Option<String>,
}

/// `localcluster image …`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Add a program of this machine to the store under a name and tag.
    Build(ImageBuildArgs),
    /// List the images.
    Ls(StateArgs),
    /// Remove images by name and tag.
    Rm(ImageRemoveArgs),
}

/// `localcluster image build`
#[derive(Debug, clap::Args)]
pub struct ImageBuildArgs {
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
    /// Name and tag, e.g. simple-app:1.0.1. Repeat the option to give the image several names.
    #[arg(short = 't', long = "tag", required = true)]
    pub tags: Vec<String>,
    /// Path of the program on this machine.
    #[arg(long)]
    pub from: PathBuf,
    /// Path of the program in the image [default: /usr/local/bin/NAME].
    #[arg(long)]
    pub path: Option<String>,
    /// Environment variable of the containers.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub env: Vec<(String, String)>,
    /// Program and leading arguments, one word each [default: the program].
    #[arg(long, value_name = "WORD", num_args = 1.., allow_hyphen_values = true)]
    pub entrypoint: Vec<String>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("it must be NAME=VALUE".into()),
    }
}

/// `localcluster image rm`
#[derive(Debug, clap::Args)]
pub struct ImageRemoveArgs {
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
    /// Names and tags of the images.
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// `localcluster apiserver`
#[derive(Debug, clap::Args)]
pub struct ApiserverArgs {
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
}

/// The API server of a part.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientArgs {
    /// The kubeconfig of the API server.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: PathBuf,
}

/// The block of addresses that a part uses.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BlockArgs {
    /// N of the address block 127.N.0.0/16 for pods, Envoy and Prometheus.
    #[arg(long, value_name = "N")]
    pub block: u8,
}

/// `localcluster kubelet`
#[derive(Debug, clap::Args)]
pub struct KubeletArgs {
    /// The API server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
    /// The address block.
    #[command(flatten)]
    pub block: BlockArgs,
}

/// `localcluster mesh`
#[derive(Debug, clap::Args)]
pub struct MeshArgs {
    /// The API server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
    /// The address block.
    #[command(flatten)]
    pub block: BlockArgs,
    /// The external programs.
    #[command(flatten)]
    pub programs: ProgramArgs,
    /// The ingress.
    #[command(flatten)]
    pub ingress: IngressArgs,
}

/// `localcluster monitoring`
#[derive(Debug, clap::Args)]
pub struct MonitoringArgs {
    /// The API server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The state directory.
    #[command(flatten)]
    pub state: StateArgs,
    /// The address block.
    #[command(flatten)]
    pub block: BlockArgs,
    /// The external programs.
    #[command(flatten)]
    pub programs: ProgramArgs,
}

/// `localcluster shim`
#[derive(Debug, clap::Args)]
pub struct ShimArgs {
    /// Process id of the parent.
    #[arg(long)]
    pub parent: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}
