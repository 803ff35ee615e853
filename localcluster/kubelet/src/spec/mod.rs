//! Translates a Pod and the objects it refers to into the process to start. Pure: no file, clock or
//! client.

mod command;
mod env;
mod expand;
mod limits;
mod quantity;

pub(crate) use command::find_program;
pub use command::{Command, ContainerError, resolve_command};
pub use env::{ConfigError, Environment, Injected, Sources, container_env};
pub use expand::expand;
pub(crate) use limits::unsupported_probe;
pub use limits::{Limits, limits_of};

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use localcluster_shared::process::Launch;

use crate::image::Image;

/// `PATH` of a container whose image does not set it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The folders of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFolders {
    root: PathBuf,
}

impl PodFolders {
    /// Creates the paths below `root`, the pod's own folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The pod's own folder, which contains all the others.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder in which the files of the container's image are laid out.
    pub fn rootfs(&self, container: &str) -> PathBuf {
        self.root.join("containers").join(container).join("rootfs")
    }

    /// `HOME` of the pod's processes.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The content of an `emptyDir` volume.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name)
    }

    /// Folder of the service account: `token`, `ca.crt` and `namespace`, as in Kubernetes, and a
    /// `kubeconfig` that refers to the token.
    pub fn service_account(&self) -> PathBuf {
        self.root.join("serviceaccount")
    }

    /// `TMPDIR` of a container: the emptyDir mounted at `/tmp` if there is one, so that containers
    /// can share it, otherwise a folder of the pod.
    pub fn tmp(&self, spec: &PodSpec, container: &Container) -> PathBuf {
        let mounted = container
            .volume_mounts
            .iter()
            .flatten()
            .find(|mount| mount.mount_path.trim_end_matches('/') == "/tmp");
        let empty_dir = |name: &str| {
            spec.volumes
                .iter()
                .flatten()
                .any(|volume| volume.name == name && volume.empty_dir.is_some())
        };
        match mounted {
            Some(mount) if empty_dir(&mount.name) => self.volume(&mount.name),
            _ => self.root.join("tmp"),
        }
    }
}

/// Names of the ConfigMaps and Secrets that a container's environment refers to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
}

/// Collects the references of `container` to other objects.
pub fn references(container: &Container) -> References {
    let mut found = References::default();
    for source in container.env_from.iter().flatten() {
        found
            .config_maps
            .extend(source.config_map_ref.as_ref().map(|r| r.name.clone()));
        found
            .secrets
            .extend(source.secret_ref.as_ref().map(|r| r.name.clone()));
    }
    for from in container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref())
    {
        found
            .config_maps
            .extend(from.config_map_key_ref.as_ref().map(|r| r.name.clone()));
        found
            .secrets
            .extend(from.secret_key_ref.as_ref().map(|r| r.name.clone()));
    }
    found
}

/// Errors in a container's specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The environment is invalid; waiting reason `CreateContainerConfigError`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The program cannot be run; waiting reason `CreateContainerError`.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

/// Returns the process to start for `container` of `pod`.
///
/// # Errors
/// See [`SpecError`]. Its text becomes the message of the container's waiting state.
pub fn launch(
    pod: &Pod,
    container: &Container,
    image: &Image,
    sources: &Sources,
    injected: &Injected,
    folders: &PodFolders,
) -> Result<Launch, SpecError> {
    let env = container_env(pod, container, image, sources, injected)?;
    let rootfs = folders.rootfs(&container.name);
    let command = resolve_command(container, image, &env)?;
    let in_rootfs = |path: &str| rootfs.join(path.trim_start_matches('/'));
    Ok(Launch {
        program: in_rootfs(&command.program),
        args: command.args.into_iter().map(Into::into).collect(),
        env: env.all,
        cwd: container
            .working_dir
            .as_deref()
            .map_or_else(|| rootfs.clone(), in_rootfs),
    })
}

#[cfg(test)]
mod tests;
