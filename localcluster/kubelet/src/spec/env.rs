//! The environment of a container.

use std::{collections::BTreeMap, path::PathBuf};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Container, EnvVarSource, ObjectFieldSelector, Pod, Secret},
};

use super::{expand, quantity};
use crate::image::Image;

/// Values that the cluster adds to every container's environment.
#[derive(Debug, Clone, Default)]
pub struct Injected {
    /// The pod's address. Servers must bind to it, because pods share the host's ports.
    pub pod_ip: String,
    /// The node's address.
    pub host_ip: String,
    /// HTTP proxy that resolves cluster names, e.g. `http://127.9.0.2:15001`.
    pub proxy: Option<String>,
    /// Host and port of the API server.
    pub api_server: Option<(String, String)>,
    /// Folder of the service account; `None` if the pod gets no token.
    pub service_account: Option<PathBuf>,
    /// `TMPDIR`.
    pub tmp: PathBuf,
    /// `HOME`.
    pub home: PathBuf,
}

/// Objects that environment variables refer to. `None` marks an object that does not exist.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// By name, in the pod's namespace.
    pub config_maps: BTreeMap<String, Option<ConfigMap>>,
    /// By name, in the pod's namespace.
    pub secrets: BTreeMap<String, Option<Secret>>,
}

/// Errors of a container's environment, in the words of the kubelet of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A mandatory object is missing.
    #[error("{kind} \"{name}\" not found")]
    MissingObject {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A mandatory key is missing.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    MissingKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace of the object.
        namespace: String,
        /// Name of the object.
        name: String,
        /// The key.
        key: String,
    },
    /// A name or value is not valid in an environment, or its source is not supported.
    #[error("environment variable {variable}: {why}")]
    Unusable {
        /// Name of the variable.
        variable: String,
        /// The problem.
        why: String,
    },
}

/// A container's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// All variables, sorted by name.
    pub all: Vec<(String, String)>,
    /// Variables from the pod (`env` and `envFrom`). Only these may be used in `command` and `args`.
    pub from_pod: BTreeMap<String, String>,
}

/// Builds the environment of `container` from its image, [`Injected`], `envFrom` and `env`. Later
/// sources take precedence, so the pod's own values always win.
///
/// # Errors
/// See [`ConfigError`].
pub fn container_env(
    pod: &Pod,
    container: &Container,
    image: &Image,
    sources: &Sources,
    injected: &Injected,
) -> Result<Environment, ConfigError> {
    let mut from_pod = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            let optional = reference.optional.unwrap_or(false);
            if let Some(map) = object("configmap", &reference.name, optional, &sources.config_maps)?
            {
                for (key, value) in map.data.iter().flatten() {
                    from_pod.insert(format!("{prefix}{key}"), value.clone());
                }
            }
        }
        if let Some(reference) = &source.secret_ref {
            let optional = reference.optional.unwrap_or(false);
            if let Some(secret) = object("secret", &reference.name, optional, &sources.secrets)? {
                for (key, value) in secret.data.iter().flatten() {
                    let name = format!("{prefix}{key}");
                    let value = text(&name, value)?;
                    from_pod.insert(name, value);
                }
            }
        }
    }
    // As in Kubernetes, a value may refer to preceding variables of `env`, but not to `envFrom`.
    let mut defined: BTreeMap<String, String> = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => {
                Some(expand(value, |name| defined.get(name).map(String::as_str)))
            }
            (_, Some(from)) => value_from(&variable.name, from, pod, container, sources, injected)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            defined.insert(variable.name.clone(), value);
        }
    }
    from_pod.extend(defined);

    let mut all: BTreeMap<String, String> =
        [("PATH".to_owned(), super::DEFAULT_PATH.to_owned())].into();
    all.extend(image.env.clone());
    all.extend(injected_env(pod, injected));
    all.extend(from_pod.clone());
    for (name, value) in &all {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let why =
                "its name must not be empty or contain '=', and neither name nor value may contain NUL"
                    .to_owned();
            return Err(ConfigError::Unusable {
                variable: name.clone(),
                why,
            });
        }
    }
    Ok(Environment {
        all: all.into_iter().collect(),
        from_pod,
    })
}

fn injected_env(pod: &Pod, injected: &Injected) -> BTreeMap<String, String> {
    let spec = pod.spec.as_ref();
    let hostname = spec
        .and_then(|spec| spec.hostname.clone())
        .or_else(|| pod.metadata.name.clone());
    let mut env = BTreeMap::new();
    let mut set = |names: &[&str], value: String| {
        env.extend(names.iter().map(|name| ((*name).to_owned(), value.clone())));
    };
    set(&["BIND_ADDRESS", "POD_IP"], injected.pod_ip.clone());
    set(&["HOSTNAME"], hostname.unwrap_or_default());
    set(&["TMPDIR"], injected.tmp.display().to_string());
    set(&["HOME"], injected.home.display().to_string());
    if let Some(proxy) = &injected.proxy {
        set(&["HTTP_PROXY", "http_proxy"], proxy.clone());
        // Local addresses (the API server, other pods by address) need no proxy.
        set(&["NO_PROXY", "no_proxy"], "localhost,127.0.0.0/8".into());
    }
    if let Some((host, port)) = &injected.api_server {
        set(&["KUBERNETES_SERVICE_HOST"], host.clone());
        set(&["KUBERNETES_SERVICE_PORT"], port.clone());
    }
    if let Some(folder) = &injected.service_account {
        // Without mounts, the token cannot appear at the path where programs expect it.
        set(&["SERVICE_ACCOUNT_DIR"], folder.display().to_string());
        let kubeconfig = folder.join("kubeconfig");
        set(&["KUBECONFIG"], kubeconfig.display().to_string());
    }
    env
}

/// Resolves `valueFrom`. `None` leaves the variable unset, as an optional source is missing.
fn value_from(
    variable: &str,
    from: &EnvVarSource,
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    injected: &Injected,
) -> Result<Option<String>, ConfigError> {
    let namespace = || pod.metadata.namespace.clone().unwrap_or_default();
    let unusable = |why| ConfigError::Unusable {
        variable: variable.to_owned(),
        why,
    };
    if let Some(field) = &from.field_ref {
        return field_value(pod, field, injected)
            .map(Some)
            .map_err(unusable);
    }
    if let Some(field) = &from.resource_field_ref {
        return quantity::field_value(pod, container, field)
            .map(Some)
            .map_err(unusable);
    }
    if let Some(reference) = &from.config_map_key_ref {
        let optional = reference.optional.unwrap_or(false);
        let map = object("configmap", &reference.name, optional, &sources.config_maps)?;
        let Some(map) = map else { return Ok(None) };
        let value = map
            .data
            .as_ref()
            .and_then(|data| data.get(&reference.key))
            .cloned();
        return if value.is_some() || optional {
            Ok(value)
        } else {
            let (name, key) = (reference.name.clone(), reference.key.clone());
            Err(ConfigError::MissingKey {
                kind: "ConfigMap",
                namespace: namespace(),
                name,
                key,
            })
        };
    }
    if let Some(reference) = &from.secret_key_ref {
        let optional = reference.optional.unwrap_or(false);
        let secret = object("secret", &reference.name, optional, &sources.secrets)?;
        let Some(secret) = secret else {
            return Ok(None);
        };
        return match secret
            .data
            .as_ref()
            .and_then(|data| data.get(&reference.key))
        {
            Some(value) => text(variable, value).map(Some),
            None if optional => Ok(None),
            None => {
                let (name, key) = (reference.name.clone(), reference.key.clone());
                Err(ConfigError::MissingKey {
                    kind: "Secret",
                    namespace: namespace(),
                    name,
                    key,
                })
            }
        };
    }
    Err(unusable(
        "valueFrom must be fieldRef, resourceFieldRef, configMapKeyRef or secretKeyRef".into(),
    ))
}

fn object<'a, T>(
    kind: &'static str,
    name: &str,
    optional: bool,
    known: &'a BTreeMap<String, Option<T>>,
) -> Result<Option<&'a T>, ConfigError> {
    match known.get(name).and_then(Option::as_ref) {
        None if !optional => Err(ConfigError::MissingObject {
            kind,
            name: name.to_owned(),
        }),
        found => Ok(found),
    }
}

fn text(variable: &str, value: &ByteString) -> Result<String, ConfigError> {
    String::from_utf8(value.0.clone()).map_err(|_| ConfigError::Unusable {
        variable: variable.to_owned(),
        why: "the secret's value is not UTF-8".to_owned(),
    })
}

fn field_value(
    pod: &Pod,
    field: &ObjectFieldSelector,
    injected: &Injected,
) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let entry = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref()
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default()
    };
    let path = field.field_path.as_str();
    if let Some((map, key)) = path
        .strip_suffix("']")
        .and_then(|path| path.split_once("['"))
    {
        return match map {
            "metadata.labels" => Ok(entry(&meta.labels, key)),
            "metadata.annotations" => Ok(entry(&meta.annotations, key)),
            _ => Err(format!("fieldPath {path:?} is not supported")),
        };
    }
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "spec.nodeName" => spec
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        "spec.serviceAccountName" => spec
            .and_then(|spec| spec.service_account_name.clone())
            .unwrap_or_else(|| "default".into()),
        "status.podIP" | "status.podIPs" => injected.pod_ip.clone(),
        "status.hostIP" | "status.hostIPs" => injected.host_ip.clone(),
        _ => return Err(format!("fieldPath {path:?} is not supported")),
    })
}
