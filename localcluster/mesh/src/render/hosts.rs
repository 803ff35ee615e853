//! The virtual hosts of the two listeners.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    INGRESS, OUTBOUND,
    claims::Claim,
    clusters::cluster_name,
    inputs::Hosts,
    routes::{self, Resolver},
};
use crate::{
    model::{MeshService, ServiceName},
    problem::Problem,
};

/// Collects virtual hosts. Envoy rejects a configuration in which two of them share a domain, so the first one keeps
/// the domain.
#[derive(Debug, Default)]
struct Table {
    owners: BTreeMap<String, Owner>,
    hosts: Vec<Value>,
    /// Number of owners so far.
    count: usize,
}

/// The owner of a domain.
#[derive(Clone, Debug)]
struct Owner {
    name: String,
    /// Distinguishes owners with the same name.
    number: usize,
}

impl Table {
    /// Creates an owner that differs from all others.
    fn owner(&mut self, name: String) -> Owner {
        self.count += 1;
        let number = self.count;
        Owner { name, number }
    }

    /// Adds a virtual host for those of `domains` that are free. Returns the owners of the others.
    fn add(
        &mut self,
        host: &str,
        owner: &Owner,
        domains: Vec<String>,
        routes: Vec<Value>,
    ) -> BTreeSet<String> {
        let mut taken = BTreeSet::new();
        let mut free = Vec::new();
        for domain in domains {
            match self.owners.get(&domain) {
                Some(first) if first.number != owner.number => {
                    taken.insert(first.name.clone());
                }
                Some(_) => {}
                None => {
                    self.owners.insert(domain.clone(), owner.clone());
                    free.push(domain);
                }
            }
        }
        if !free.is_empty() {
            let name = format!("{host} #{}", self.hosts.len());
            self.hosts
                .push(json!({ "name": name, "domains": free, "routes": routes }));
        }
        taken
    }

    /// Adds a virtual host for those of `domains` that are still free.
    fn add_last(&mut self, host: &str, domains: Vec<String>, routes: Vec<Value>) {
        let owner = self.owner(host.to_owned());
        self.add(host, &owner, domains, routes);
    }

    fn into_configuration(self, name: &str) -> Value {
        json!({ "name": name, "virtual_hosts": self.hosts })
    }
}

impl<'a> Hosts<'a> {
    /// Renders the route configurations by name.
    pub(super) fn render(&self, problems: &mut BTreeSet<Problem>) -> BTreeMap<&'static str, Value> {
        let mut outbound = Table::default();
        let mesh = self.mesh_claims();
        self.add(&mut outbound, &mesh, true, problems);
        self.add_services(&mut outbound);
        outbound.add_last("unknown", vec!["*".into()], vec![unknown_host(
            "no Service in this cluster is named %REQ(:AUTHORITY)%. A name has the form SERVICE.NAMESPACE, or \
             SERVICE in namespace default; see: kubectl get services --all-namespaces\n",
        )]);
        let mut configurations =
            BTreeMap::from([(OUTBOUND, outbound.into_configuration(OUTBOUND))]);
        // Without a listener Envoy would never confirm the file.
        if self.settings.ingress.is_some() {
            configurations.insert(INGRESS, self.render_ingress(&mesh, problems));
        }
        configurations
    }

    fn render_ingress(&self, mesh: &[Claim<'a>], problems: &mut BTreeSet<Problem>) -> Value {
        let mut ingress = Table::default();
        let claims = self.ingress_claims(problems);
        self.add(&mut ingress, &claims, true, problems);
        // Conflicts of routes between pods were already reported.
        self.add(&mut ingress, mesh, false, problems);
        self.add_services(&mut ingress);
        let everything_else = match &self.settings.ingress_default {
            Some(name) => self.default_routes(name, mesh, problems),
            None => vec![unknown_host(
                "no Gateway with a route and no Service matches %REQ(:AUTHORITY)%. Send the name of a \
                 Service in the Host header, or bind a VirtualService or an HTTPRoute to a Gateway\n",
            )],
        };
        ingress.add_last("default", vec!["*".into()], everything_else);
        ingress.into_configuration(INGRESS)
    }

    pub(super) fn resolver(&self) -> Resolver<'a> {
        Resolver {
            services: self.services,
            policies: self.policies,
        }
    }

    fn add(
        &self,
        table: &mut Table,
        claims: &[Claim<'a>],
        report_conflicts: bool,
        problems: &mut BTreeSet<Problem>,
    ) {
        for claim in claims {
            let mut taken = BTreeSet::new();
            let owner = table.owner(claim.owner.to_string());
            for target in &claim.targets {
                if let Some(routes) = self.routes(claim, target.port, problems) {
                    taken.extend(table.add(&claim.host, &owner, target.domains.clone(), routes));
                }
            }
            if report_conflicts {
                claim.report(&taken, problems);
            }
        }
    }

    /// The routes of `claim` for a target with this port. `None` if the claim does not cover the port.
    fn routes(
        &self,
        claim: &Claim<'a>,
        port: Option<u16>,
        problems: &mut BTreeSet<Problem>,
    ) -> Option<Vec<Value>> {
        let scope = claim.scope(port);
        let routes = routes::render(claim.routes, &scope, self.resolver(), problems);
        (!routes.is_empty() || !claim.may_be_empty).then_some(routes)
    }

    /// Adds the Services that no object claims.
    fn add_services(&self, table: &mut Table) {
        for name in self.services.keys() {
            for target in self.service_targets(name) {
                let Some(port) = target.port else { continue };
                let plain = routes::plain(&cluster_name(name, port, None));
                table.add_last(&format!("{name}:{port}"), target.domains, plain);
            }
        }
    }

    /// The routes of Service `name` between pods, for ingress requests to an unclaimed host.
    fn default_routes(
        &self,
        name: &ServiceName,
        mesh: &[Claim<'a>],
        problems: &mut BTreeSet<Problem>,
    ) -> Vec<Value> {
        let port = self.services.get(name).and_then(MeshService::default_port);
        let number = port.map(|port| port.number);
        let mut claims = mesh.iter();
        let claims = claims
            .by_ref()
            .filter(|claim| claim.service.as_ref() == Some(name));
        for claim in claims {
            if let Some(routes) = self.routes(claim, number, problems) {
                return routes;
            }
        }
        match number {
            Some(port) => routes::plain(&cluster_name(name, port, None)),
            None => vec![json!({
                "match": { "prefix": "/" },
                "direct_response": {
                    "status": 503,
                    "body": { "inline_string": format!("Service {name}, the default backend of this ingress, does not exist (yet)\n") },
                },
            })],
        }
    }
}

/// A route whose response explains why the host is unknown. Istio responds with 502 to hosts outside its registry.
fn unknown_host(text: &str) -> Value {
    json!({
        "match": { "prefix": "/" },
        "direct_response": {
            "status": 502,
            "body_format": { "text_format_source": { "inline_string": text } },
        },
    })
}
