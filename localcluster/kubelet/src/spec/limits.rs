//! Fields of a pod that have no effect on host processes. They are reported instead of silently
//! ignored.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Probe, Volume};

/// Field paths, e.g. `spec.containers[app].securityContext.runAsUser`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Fields whose absence changes the pod's behaviour.
    pub unsupported: Vec<String>,
    /// Constraints that are not enforced. A well-behaved program does not notice.
    pub not_enforced: Vec<String>,
}

/// Returns the fields of `pod` that have no effect in this cluster.
pub fn limits_of(pod: &Pod) -> Limits {
    let mut limits = Limits::default();
    if let Some(spec) = &pod.spec {
        limits.add_pod(spec);
        for container in spec.init_containers.iter().flatten() {
            limits.add_container(
                &format!("spec.initContainers[{}]", container.name),
                container,
            );
        }
        for container in &spec.containers {
            limits.add_container(&format!("spec.containers[{}]", container.name), container);
        }
    }
    limits
}

impl Limits {
    fn unsupported(&mut self, present: bool, path: String) {
        if present {
            self.unsupported.push(path);
        }
    }

    fn not_enforced(&mut self, present: bool, path: String) {
        if present {
            self.not_enforced.push(path);
        }
    }

    fn add_pod(&mut self, spec: &PodSpec) {
        let yes = |field: Option<bool>| field == Some(true);
        for (present, field) in [
            (yes(spec.host_network), "hostNetwork"),
            (yes(spec.host_pid), "hostPID"),
            (yes(spec.host_ipc), "hostIPC"),
            (yes(spec.share_process_namespace), "shareProcessNamespace"),
            (spec.host_aliases.is_some(), "hostAliases"),
            (spec.dns_config.is_some(), "dnsConfig"),
            (spec.runtime_class_name.is_some(), "runtimeClassName"),
            (
                spec.ephemeral_containers
                    .as_ref()
                    .is_some_and(|list| !list.is_empty()),
                "ephemeralContainers",
            ),
        ] {
            self.unsupported(present, format!("spec.{field}"));
        }
        if let Some(security) = &spec.security_context {
            for (present, field) in [
                (security.run_as_user.is_some(), "runAsUser"),
                (security.run_as_group.is_some(), "runAsGroup"),
                (security.fs_group.is_some(), "fsGroup"),
                (security.supplemental_groups.is_some(), "supplementalGroups"),
                (security.sysctls.is_some(), "sysctls"),
            ] {
                self.unsupported(present, format!("spec.securityContext.{field}"));
            }
            self.not_enforced(
                security.run_as_non_root.is_some(),
                "spec.securityContext.runAsNonRoot".into(),
            );
            self.not_enforced(
                security.seccomp_profile.is_some(),
                "spec.securityContext.seccompProfile".into(),
            );
        }
        for volume in spec.volumes.iter().flatten() {
            let path = format!("spec.volumes[{}]", volume.name);
            match volume_kind(volume) {
                Some(kind) => self.unsupported(true, format!("{path}.{kind}")),
                None => self.not_enforced(true, format!("{path}.emptyDir")),
            }
        }
    }

    fn add_container(&mut self, path: &str, container: &Container) {
        for (present, field) in [
            (container.volume_devices.is_some(), "volumeDevices"),
            (container.stdin == Some(true), "stdin"),
            (container.tty == Some(true), "tty"),
        ] {
            self.unsupported(present, format!("{path}.{field}"));
        }
        // `hostNetwork` implies host ports and is reported already.
        let on_host = self
            .unsupported
            .iter()
            .any(|path| path == "spec.hostNetwork");
        let host_port = container
            .ports
            .iter()
            .flatten()
            .any(|port| port.host_port.is_some());
        self.unsupported(host_port && !on_host, format!("{path}.ports.hostPort"));
        if let Some(security) = &container.security_context {
            for (present, field) in [
                (security.run_as_user.is_some(), "runAsUser"),
                (security.run_as_group.is_some(), "runAsGroup"),
                (security.privileged == Some(true), "privileged"),
            ] {
                self.unsupported(present, format!("{path}.securityContext.{field}"));
            }
            for (present, field) in [
                (
                    security.read_only_root_filesystem.is_some(),
                    "readOnlyRootFilesystem",
                ),
                (security.run_as_non_root.is_some(), "runAsNonRoot"),
                (security.capabilities.is_some(), "capabilities"),
                (
                    security.allow_privilege_escalation.is_some(),
                    "allowPrivilegeEscalation",
                ),
                (security.seccomp_profile.is_some(), "seccompProfile"),
            ] {
                self.not_enforced(present, format!("{path}.securityContext.{field}"));
            }
        }
        let limited = container
            .resources
            .as_ref()
            .is_some_and(|r| r.limits.is_some() || r.requests.is_some());
        self.not_enforced(limited, format!("{path}.resources"));
        for (name, probe) in [
            ("startupProbe", &container.startup_probe),
            ("readinessProbe", &container.readiness_probe),
            ("livenessProbe", &container.liveness_probe),
        ] {
            if let Some(field) = probe.as_ref().and_then(unsupported_probe) {
                self.unsupported(true, format!("{path}.{name}.{field}"));
            }
        }
    }
}

/// The unsupported field of a probe, if any. Such a probe always passes.
pub(crate) fn unsupported_probe(probe: &Probe) -> Option<&'static str> {
    let https = |scheme: &Option<String>| {
        scheme
            .as_deref()
            .is_some_and(|s| s.eq_ignore_ascii_case("https"))
    };
    if probe.grpc.is_some() {
        Some("grpc")
    } else if probe
        .http_get
        .as_ref()
        .is_some_and(|get| https(&get.scheme))
    {
        Some("httpGet.scheme")
    } else {
        None
    }
}

/// Field name of a volume's kind; `None` for an emptyDir.
fn volume_kind(volume: &Volume) -> Option<String> {
    if volume.empty_dir.is_some() {
        return None;
    }
    // The kind is the only field besides the name.
    let fields = serde_json::to_value(volume).ok()?;
    let kind = fields
        .as_object()?
        .keys()
        .find(|key| *key != "name")
        .cloned();
    // A volume without a kind is an emptyDir, the default of Kubernetes.
    kind
}
