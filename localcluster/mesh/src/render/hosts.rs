//! Virtual hosts of the two listeners: which names lead to which routes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    INGRESS, OUTBOUND, Settings,
    clusters::{Policies, cluster_name},
    gateways::Entrance,
    routes::{self, Resolver, Scope},
};
use crate::{
    compile::{MESH, Routes},
    model::{MeshService, ServiceName, Services},
    problem::{Problem, Reason, Report},
};

/// What the virtual hosts are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts<'a> {
    pub(super) services: &'a Services,
    pub(super) policies: &'a Policies,
    pub(super) compiled: &'a [Routes],
    pub(super) gateways: &'a BTreeMap<String, Entrance>,
    pub(super) settings: &'a Settings,
}

/// Virtual hosts so far. Envoy refuses a configuration in which two claim the same domain, so
/// whoever comes first has it.
#[derive(Debug, Default)]
struct Table {
    owners: BTreeMap<String, String>,
    hosts: Vec<Value>,
}

impl Table {
    /// Add a virtual host for those of `domains` that are free. Returns who has the others.
    fn add(
        &mut self,
        name: &str,
        owner: &str,
        domains: Vec<String>,
        routes: Vec<Value>,
    ) -> BTreeSet<String> {
        let mut taken = BTreeSet::new();
        let mut free = Vec::new();
        for domain in domains {
            match self.owners.get(&domain) {
                Some(first) if first != owner => drop(taken.insert(first.clone())),
                Some(_) => {}
                None => {
                    self.owners.insert(domain.clone(), owner.to_owned());
                    free.push(domain);
                }
            }
        }
        if !free.is_empty() {
            let name = format!("{name} #{}", self.hosts.len());
            self.hosts
                .push(json!({ "name": name, "domains": free, "routes": routes }));
        }
        taken
    }

    fn into_configuration(self, name: &str) -> Value {
        json!({ "name": name, "virtual_hosts": self.hosts })
    }
}

/// One set of domains of a host, and the port they stand for.
struct Target {
    domains: Vec<String>,
    port: Option<u16>,
}

impl Hosts<'_> {
    /// Route configurations by name.
    pub(super) fn render(&self, problems: &mut BTreeSet<Problem>) -> BTreeMap<&'static str, Value> {
        let mut outbound = Table::default();
        self.add_mesh(&mut outbound, true, problems);
        outbound.add("unknown", "nobody", vec!["*".into()], vec![unknown_host(
            "no Service in this cluster is called %REQ(:AUTHORITY)%. Names are SERVICE.NAMESPACE, or \
             SERVICE alone in namespace default; see: kubectl get services --all-namespaces\n",
        )]);
        let mut configurations =
            BTreeMap::from([(OUTBOUND, outbound.into_configuration(OUTBOUND))]);
        // Without a listener Envoy would never say that it took the file.
        if self.settings.ingress.is_some() {
            configurations.insert(INGRESS, self.render_ingress(problems));
        }
        configurations
    }

    fn render_ingress(&self, problems: &mut BTreeSet<Problem>) -> Value {
        let mut ingress = Table::default();
        self.add_gateways(&mut ingress, problems);
        self.add_mesh(&mut ingress, false, problems);
        let everything_else = match &self.settings.ingress_default {
            Some(name) => self.default_routes(name, problems),
            None => vec![unknown_host(
                "no Gateway with a VirtualService and no Service answers for %REQ(:AUTHORITY)%. Send the \
                 name of a Service as Host header, or bind a VirtualService to a Gateway\n",
            )],
        };
        ingress.add("default", "nobody", vec!["*".into()], everything_else);
        ingress.into_configuration(INGRESS)
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver {
            services: self.services,
            policies: self.policies,
        }
    }

    /// Hosts of requests between pods: first what `VirtualService`s say, then plain Services.
    fn add_mesh(
        &self,
        table: &mut Table,
        report_conflicts: bool,
        problems: &mut BTreeSet<Problem>,
    ) {
        for routes in self.mesh_routes() {
            let owner = format!(
                "VirtualService {}/{}",
                routes.object.namespace, routes.object.name
            );
            for (index, host) in routes.hosts.iter().enumerate() {
                let mut taken = BTreeSet::new();
                for target in self.targets(host, &routes.object.namespace) {
                    let rendered = self.mesh(routes, target.port, problems);
                    taken.extend(table.add(host, &owner, target.domains, rendered));
                }
                if report_conflicts {
                    report_conflict(routes, index, &taken, problems);
                }
            }
        }
        for (name, service) in self.services {
            for target in service_targets(name, service) {
                let Some(port) = target.port else { continue };
                let plain = routes::plain(&cluster_name(name, port, None));
                table.add(&format!("{name}:{port}"), "Service", target.domains, plain);
            }
        }
    }

    /// Objects with HTTP routes for the mesh. One with TCP routes alone leaves HTTP as it is.
    fn mesh_routes(&self) -> impl Iterator<Item = &Routes> {
        self.compiled.iter().filter(|routes| {
            !routes.routes.is_empty() && routes.gateways.iter().any(|name| name == MESH)
        })
    }

    fn mesh(
        &self,
        routes: &Routes,
        port: Option<u16>,
        problems: &mut BTreeSet<Problem>,
    ) -> Vec<Value> {
        let scope = Scope {
            gateways: vec![MESH.into()],
            ports: vec![port.unwrap_or(80)],
        };
        routes::render(routes, &scope, self.resolver(), problems)
    }

    /// Hosts let in by gateways.
    fn add_gateways(&self, table: &mut Table, problems: &mut BTreeSet<Problem>) {
        for routes in self.compiled {
            let namespace = &routes.object.namespace;
            let owner = format!("VirtualService {namespace}/{}", routes.object.name);
            let mut bound: BTreeMap<String, (usize, Scope)> = BTreeMap::new();
            let mut report = Report::new(routes.object.clone());
            let names = routes.gateways.iter().filter(|name| *name != MESH);
            for name in names {
                let Some(entrance) = self.gateways.get(name) else {
                    report.note(
                        Reason::Unresolved,
                        "spec.gateways",
                        format!("there is no Gateway {name}"),
                    );
                    continue;
                };
                let mut admitted_any = false;
                for (index, host) in routes.hosts.iter().enumerate() {
                    for admitted in entrance.admit(host, namespace) {
                        admitted_any = true;
                        let (_, scope) = bound.entry(admitted).or_insert_with(|| {
                            let scope = Scope {
                                gateways: Vec::new(),
                                ports: Vec::new(),
                            };
                            (index, scope)
                        });
                        scope.gateways.push(name.clone());
                        scope.ports.extend(&entrance.ports);
                    }
                }
                if !admitted_any {
                    let message = format!("Gateway {name} lets none of the hosts in");
                    report.note(Reason::Unresolved, "spec.hosts", message);
                }
            }
            problems.extend(report.into_problems());
            for (host, (index, scope)) in bound {
                let rendered = routes::render(routes, &scope, self.resolver(), problems);
                let mut taken = BTreeSet::new();
                for target in self.targets(&host, namespace) {
                    taken.extend(table.add(&host, &owner, target.domains, rendered.clone()));
                }
                report_conflict(routes, index, &taken, problems);
            }
        }
    }

    /// Domains that `host` stands for: every port of a Service, or the name itself with any port.
    fn targets(&self, host: &str, namespace: &str) -> Vec<Target> {
        let name = ServiceName::parse(host, namespace);
        if let Some((name, service)) = name
            .as_ref()
            .and_then(|name| Some((name, self.services.get(name)?)))
        {
            return service_targets(name, service);
        }
        let names = match name.filter(|_| !host.contains('.')) {
            Some(name) => name.domains(),
            None => vec![host.to_owned()],
        };
        let with_port = |name: &String| match name.strip_prefix('*') {
            Some("") => vec![],
            // Envoy takes a wildcard at one end of a name only, so ports are listed.
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

    /// What `name` answers with inside the mesh, for requests without a known host.
    fn default_routes(&self, name: &ServiceName, problems: &mut BTreeSet<Problem>) -> Vec<Value> {
        let port = self.services.get(name).and_then(MeshService::default_port);
        let claims = |routes: &&Routes| {
            let namespace = &routes.object.namespace;
            routes
                .hosts
                .iter()
                .any(|host| ServiceName::parse(host, namespace).as_ref() == Some(name))
        };
        match (self.mesh_routes().find(claims), port) {
            (Some(routes), port) => self.mesh(routes, port.map(|port| port.number), problems),
            (None, Some(port)) => routes::plain(&cluster_name(name, port.number, None)),
            (None, None) => vec![json!({
                "match": { "prefix": "/" },
                "direct_response": {
                    "status": 503,
                    "body": { "inline_string": format!("Service {name}, which this ingress stands for, does not exist (yet)\n") },
                },
            })],
        }
    }
}

/// For each port the names with it; the default port has them without a port, too.
fn service_targets(name: &ServiceName, service: &MeshService) -> Vec<Target> {
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

fn report_conflict(
    routes: &Routes,
    index: usize,
    taken: &BTreeSet<String>,
    problems: &mut BTreeSet<Problem>,
) {
    if taken.is_empty() {
        return;
    }
    let owners = taken.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut report = Report::new(routes.object.clone());
    let host = &routes.hosts[index];
    report.note(
        Reason::Conflict,
        format!("spec.hosts[{index}]"),
        format!("{host} is already routed by the older {owners}, which stays in force"),
    );
    problems.extend(report.into_problems());
}

/// A route that says why nobody answers. 502, as Istio answers for hosts outside its registry.
fn unknown_host(text: &str) -> Value {
    json!({
        "match": { "prefix": "/" },
        "direct_response": {
            "status": 502,
            "body_format": { "text_format_source": { "inline_string": text } },
        },
    })
}
