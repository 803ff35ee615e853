//! What was typed.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Parser, Subcommand};

/// A small, honest Kubernetes for one machine: API server, controllers, kubelet, mesh (Envoy) and
/// monitoring (Prometheus). Containers run as host processes from a local image store.
#[derive(Debug, Parser)]
#[command(name = "localcluster", version, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole cluster in this process until Ctrl-C or SIGTERM.
    Up(UpArgs),
    /// Stop the cluster of a state directory and wait until it is gone.
    Stop(StateArgs),
    /// Say whether the cluster runs and where its parts answer; exit code 3 when it does not run.
    Status(StatusArgs),
    /// Build, list and remove images of the local store.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Run only the API server.
    Apiserver(ApiserverArgs),
    /// Run only the controllers, beside any conformant API server.
    Controllers(ClientArgs),
    /// Run only the kubelet, beside any conformant API server.
    Kubelet(KubeletArgs),
    /// Run only the mesh, beside any conformant API server.
    Mesh(MeshArgs),
    /// Run only the monitoring, beside any conformant API server.
    Monitoring(MonitoringArgs),
    /// Become another program that ends when the given parent does.
    #[command(hide = true)]
    Shim(ShimArgs),
}

/// Where a cluster keeps everything.
#[derive(Debug, Clone, clap::Args)]
pub struct StateArgs {
    /// Directory of the cluster's state.
    #[arg(long, env = "LOCALCLUSTER_STATE", default_value = ".local/cluster")]
    pub state_dir: PathBuf,
}

/// `localcluster up`
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Where the parts that are other programs come from.
    #[command(flatten)]
    pub programs: ProgramArgs,
    /// Where people reach the applications.
    #[command(flatten)]
    pub ingress: IngressArgs,
}

/// Programs that localcluster runs but does not contain.
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
    /// Address of the ingress; `auto` or port 0 picks a free port on 127.0.0.1.
    #[arg(long, env = "INGRESS", default_value = "127.0.0.1:8080", value_parser = ingress_address)]
    pub ingress: SocketAddr,
    /// Service that answers for hosts that no route names.
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
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Print one field of the description instead of all, e.g. `ingress`.
    #[arg(long)]
    pub field: Option<String>,
}

/// `localcluster image …`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Put files of this machine into the store under a name and tag.
    Build(ImageBuildArgs),
    /// List the images.
    Ls(StateArgs),
    /// Remove images by name and tag.
    Rm(ImageRemoveArgs),
}

/// `localcluster image build`
#[derive(Debug, clap::Args)]
pub struct ImageBuildArgs {
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Name and tag, e.g. simple-app:1.0.1; several give one content several names.
    #[arg(short = 't', long = "tag", required = true)]
    pub tags: Vec<String>,
    /// A program on this machine.
    #[arg(long)]
    pub from: PathBuf,
    /// Where the program lies in the image [default: /usr/local/bin/NAME].
    #[arg(long)]
    pub path: Option<String>,
    /// Environment of its containers.
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
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Names and tags.
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// `localcluster apiserver`
#[derive(Debug, clap::Args)]
pub struct ApiserverArgs {
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Which API server a part talks to.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientArgs {
    /// The kubeconfig of the API server.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: PathBuf,
}

/// The block of addresses that a part uses.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BlockArgs {
    /// N of the address block 127.N.0.0/16 that pods, Envoy and Prometheus live in.
    #[arg(long, value_name = "N")]
    pub block: u8,
}

/// `localcluster kubelet`
#[derive(Debug, clap::Args)]
pub struct KubeletArgs {
    /// Which API server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Which addresses.
    #[command(flatten)]
    pub block: BlockArgs,
}

/// `localcluster mesh`
#[derive(Debug, clap::Args)]
pub struct MeshArgs {
    /// Which API server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Which addresses.
    #[command(flatten)]
    pub block: BlockArgs,
    /// Which programs.
    #[command(flatten)]
    pub programs: ProgramArgs,
    /// Where people reach the applications.
    #[command(flatten)]
    pub ingress: IngressArgs,
}

/// `localcluster monitoring`
#[derive(Debug, clap::Args)]
pub struct MonitoringArgs {
    /// Which API server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Where the state is kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// Which addresses.
    #[command(flatten)]
    pub block: BlockArgs,
    /// Which programs.
    #[command(flatten)]
    pub programs: ProgramArgs,
}

/// `localcluster shim`
#[derive(Debug, clap::Args)]
pub struct ShimArgs {
    /// Process id of the parent to outlive by nothing.
    #[arg(long)]
    pub parent: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}
