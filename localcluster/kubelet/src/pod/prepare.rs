//! Preparation of pods and containers: folders, files, environment and token.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use api_failure::{ApiFailure, if_present};
use base64::Engine;
use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Container, Pod, Secret, ServiceAccount},
};
use kube::{Api, ResourceExt, api::PostParams};
use serde_json::json;

use crate::{
    host::Host,
    image::Image,
    probe::Checker,
    spec::{self, Injected, PodFolders, Sources, SpecError},
};

/// Requested lifetime of a pod's token, in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// The reason and message of a container's waiting state if it cannot be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unprepared {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Unprepared {
    fn config(message: impl Into<String>) -> Self {
        Self {
            reason: "CreateContainerConfigError",
            message: message.into(),
        }
    }

    fn container(message: impl Into<String>) -> Self {
        Self {
            reason: "CreateContainerError",
            message: message.into(),
        }
    }
}

impl From<SpecError> for Unprepared {
    fn from(error: SpecError) -> Self {
        match error {
            SpecError::Config(error) => Self::config(error.to_string()),
            SpecError::Container(error) => Self::container(error.to_string()),
        }
    }
}

/// Prepares one start of `container`: resolves environment and program, and lays out the files.
pub(crate) async fn container(
    host: &Host,
    pod: &Pod,
    container: &Container,
    image: &Image,
    injected: &Injected,
    folders: &PodFolders,
) -> Result<Checker, Unprepared> {
    let sources = sources(host, pod, container).await?;
    let spec = pod.spec.clone().unwrap_or_default();
    let injected = Injected {
        tmp: folders.tmp(&spec, container),
        ..injected.clone()
    };
    let launch = spec::launch(pod, container, image, &sources, &injected, folders)?;
    let env =
        spec::container_env(pod, container, image, &sources, &injected).map_err(SpecError::from)?;
    let rootfs = folders.rootfs(&container.name);
    let (images, target, laid_out) = (host.images.clone(), rootfs.clone(), image.clone());
    let made = [
        injected.tmp.clone(),
        injected.home.clone(),
        launch.cwd.clone(),
    ];
    let work = tokio::task::spawn_blocking(move || -> Result<(), String> {
        images
            .lay_out(&laid_out, &target)
            .map_err(|error| error.to_string())?;
        for folder in made {
            fs::create_dir_all(&folder)
                .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        }
        Ok(())
    });
    work.await
        .map_err(|error| Unprepared::container(error.to_string()))?
        .map_err(Unprepared::container)?;
    Ok(Checker {
        address: injected
            .pod_ip
            .parse()
            .map_err(|_| Unprepared::container("the pod has no address"))?,
        container: container.clone(),
        launch,
        image: image.clone(),
        env,
        rootfs,
        spawner: host.spawner.clone(),
    })
}

async fn sources(host: &Host, pod: &Pod, container: &Container) -> Result<Sources, Unprepared> {
    let references = spec::references(container);
    let namespace = pod.namespace().unwrap_or_default();
    let config_maps: Api<ConfigMap> = Api::namespaced(host.client.clone(), &namespace);
    let secrets: Api<Secret> = Api::namespaced(host.client.clone(), &namespace);
    let mut sources = Sources::default();
    let failed = |failure: ApiFailure| Unprepared::config(failure.to_string());
    for name in references.config_maps {
        let found = if_present(config_maps.get(&name).await).map_err(failed)?;
        sources.config_maps.insert(name, found);
    }
    for name in references.secrets {
        let found = if_present(secrets.get(&name).await).map_err(failed)?;
        sources.secrets.insert(name, found);
    }
    Ok(sources)
}

/// Creates the pod's folders and the kubeconfig of its service account. Returns the delay until the
/// token must be renewed, or `None` if the pod gets no token.
pub(crate) async fn pod(
    host: &Host,
    pod: &Pod,
    folders: &PodFolders,
) -> Result<Option<Duration>, Unprepared> {
    let spec = pod.spec.clone().unwrap_or_default();
    let empty_dirs = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.empty_dir.is_some());
    let paths: Vec<_> = empty_dirs
        .map(|volume| folders.volume(&volume.name))
        .chain([folders.home()])
        .collect();
    for folder in paths {
        tokio::fs::create_dir_all(&folder).await.map_err(|error| {
            Unprepared::container(format!("cannot create {}: {error}", folder.display()))
        })?;
    }
    let Some(api) = &host.config.api else {
        return Ok(None);
    };
    let namespace = pod.namespace().unwrap_or_default();
    let name = spec
        .service_account_name
        .clone()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "default".into());
    let accounts: Api<ServiceAccount> = Api::namespaced(host.client.clone(), &namespace);
    let account = if_present(accounts.get(&name).await)
        .map_err(|failure| Unprepared::config(failure.to_string()))?;
    let Some(account) = account else {
        return Err(Unprepared::config(format!(
            "serviceaccount \"{name}\" not found"
        )));
    };
    if spec
        .automount_service_account_token
        .or(account.automount_service_account_token)
        == Some(false)
    {
        return Ok(None);
    }
    let renew = renew_token(host, &namespace, &name, folders).await?;
    let authority = api
        .certificate_authority
        .as_ref()
        .map(|pem| base64::engine::general_purpose::STANDARD.encode(pem));
    let mut cluster = json!({"server": api.server});
    if let Some(authority) = authority {
        cluster["certificate-authority-data"] = authority.into();
    }
    // The token is in a separate file, so that running programs pick up renewals.
    let folder = folders.service_account();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": name, "user": {"tokenFile": folder.join("token")}}],
        "contexts": [{"name": "pod", "context": {"cluster": "cluster", "user": name, "namespace": namespace}}],
    });
    let kubeconfig = serde_yaml::to_string(&kubeconfig)
        .map_err(|error| Unprepared::container(error.to_string()))?;
    write_for_pod(&folder.join("kubeconfig"), &kubeconfig)?;
    write_for_pod(&folder.join("namespace"), &namespace)?;
    if let Some(authority) = &api.certificate_authority {
        write_for_pod(&folder.join("ca.crt"), authority)?;
    }
    Ok(Some(renew))
}

/// Requests a token of the service account and writes it into the pod's folder. Returns the delay
/// until the next renewal: 80 % of the lifetime, as in the kubelet of Kubernetes.
pub(crate) async fn renew_token(
    host: &Host,
    namespace: &str,
    account: &str,
    folders: &PodFolders,
) -> Result<Duration, Unprepared> {
    let accounts: Api<ServiceAccount> = Api::namespaced(host.client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .map_err(|error| {
            let failure = ApiFailure::from(error);
            Unprepared::config(format!("failed to fetch token: {failure}"))
        })?;
    let status = answer
        .status
        .ok_or_else(|| Unprepared::config("failed to fetch token: the response has no status"))?;
    write_for_pod(&folders.service_account().join("token"), &status.token)?;
    let life = status
        .expiration_timestamp
        .0
        .duration_since(Timestamp::now());
    let life = Duration::try_from(life).unwrap_or(Duration::from_secs(60));
    Ok((life * 4 / 5).max(Duration::from_secs(10)))
}

fn write_for_pod(path: &Path, text: &str) -> Result<(), Unprepared> {
    write_private(path, text)
        .map_err(|error| Unprepared::container(format!("cannot write {}: {error}", path.display())))
}

/// Writes a file with mode 0600 atomically.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn private_files_have_mode_0600_and_are_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/token");
        for text in ["first", "second"] {
            write_private(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
