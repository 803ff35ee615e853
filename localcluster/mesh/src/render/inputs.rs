//! The inputs of virtual hosts, and the domains of a host.

use std::collections::BTreeMap;

use super::{Settings, attach::Attached, clusters::Policies, gateways::Entrance};
use crate::{
    compile::Routes,
    model::{ServiceName, Services},
};

/// The objects that virtual hosts are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts<'a> {
    pub(super) services: &'a Services,
    pub(super) policies: &'a Policies,
    pub(super) compiled: &'a [Routes],
    pub(super) attached: &'a Attached,
    pub(super) gateways: &'a BTreeMap<String, Entrance>,
    pub(super) settings: &'a Settings,
}

/// Domains of a host, and the port of the Service that they address.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) domains: Vec<String>,
    pub(super) port: Option<u16>,
}

impl Hosts<'_> {
    /// The domains of `host` in an object of `namespace`: one target per port if it is a Service, otherwise the name
    /// with any port.
    pub(super) fn targets(&self, host: &str, namespace: &str) -> Vec<Target> {
        let name = ServiceName::parse(host, namespace);
        match name {
            Some(name) if self.services.contains_key(&name) => self.service_targets(&name),
            Some(name) if !host.contains('.') => self.any_port(&name.domains()),
            _ => self.literal_target(host),
        }
    }

    /// The domains of a host that is not the name of a Service.
    pub(super) fn literal_target(&self, host: &str) -> Vec<Target> {
        self.any_port(&[host.to_owned()])
    }

    fn any_port(&self, names: &[String]) -> Vec<Target> {
        let with_port = |name: &String| match name.strip_prefix('*') {
            Some("") => vec![],
            // Envoy accepts a wildcard at only one end of a name, so list the ports.
            Some(_) => {
                let ports = self.settings.ingress.map(|ingress| ingress.port());
                [Some(80), ports.filter(|port| *port != 80)]
                    .into_iter()
                    .flatten()
                    .map(|port| format!("{name}:{port}"))
                    .collect()
            }
            None => vec![format!("{name}:*")],
        };
        let domains = names
            .iter()
            .flat_map(|name| [vec![name.clone()], with_port(name)].concat());
        vec![Target {
            domains: domains.collect(),
            port: None,
        }]
    }

    /// One target per port, with the names that include the port. The default port also has the names without a port.
    pub(super) fn service_targets(&self, name: &ServiceName) -> Vec<Target> {
        let Some(service) = self.services.get(name) else {
            return Vec::new();
        };
        let default = service.default_port().map(|port| port.number);
        let mut names = name.domains();
        names.extend(service.addresses.iter().cloned());
        service
            .ports
            .iter()
            .map(|port| {
                let bare = names
                    .iter()
                    .filter(|_| Some(port.number) == default)
                    .cloned();
                let with_port = names.iter().map(|name| format!("{name}:{}", port.number));
                Target {
                    domains: bare.chain(with_port).collect(),
                    port: Some(port.number),
                }
            })
            .collect()
    }
}
