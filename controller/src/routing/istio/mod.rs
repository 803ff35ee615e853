//! Istio: one VirtualService with two weighted destinations, and one DestinationRule for each of them.

mod objects;
mod queries;

use canary_engine::observed::{Presence, Weights};
use futures::future::BoxFuture;
use serde_json::Value;

use self::objects::{Wanted, weights};
use super::{Queries, Route, Router, given, has_any};
use crate::{
    api::ServiceSpec,
    cluster::{Cluster, Kind, Names, WriteError, json_of},
    objects::{ownership::Claim, services::Role},
    release::{Release, problem::Problem},
};

/// `virtualservices.networking.istio.io`
pub const VIRTUAL_SERVICE: Kind = Kind::of(&Names {
    group: "networking.istio.io",
    version: "v1beta1",
    kind: "VirtualService",
    plural: "virtualservices",
    is_optional: true,
});

/// `destinationrules.networking.istio.io`
pub const DESTINATION_RULE: Kind = Kind::of(&Names {
    group: "networking.istio.io",
    version: "v1beta1",
    kind: "DestinationRule",
    plural: "destinationrules",
    is_optional: true,
});

/// The router for Istio.
pub(super) struct Istio;

impl Router for Istio {
    fn kinds(&self) -> &'static [Kind] {
        &[VIRTUAL_SERVICE, DESTINATION_RULE]
    }

    fn problems(&self, spec: &ServiceSpec) -> Vec<Problem> {
        let mut problems = Vec::new();
        if spec.delegation == Some(true) {
            for (field, given) in [("hosts", &spec.hosts), ("gateways", &spec.gateways)] {
                if has_any(given.as_ref()) {
                    problems.push(Problem::new(
                        format!("spec.service.{field}"),
                        "cannot be combined with delegation",
                        "remove the field or set spec.service.delegation to false",
                    ));
                }
            }
        }
        if has_any(spec.mirror.as_ref()) {
            problems.push(Problem::new(
                "spec.service.mirror",
                "is supported only with the Gateway API",
                "remove the field, or use the provider gatewayapi:v1",
            ));
        }
        problems
    }

    fn without_effect(&self, spec: &ServiceSpec) -> Vec<&'static str> {
        given(&[
            ("gatewayRefs", has_any(spec.gateway_refs.as_ref())),
            ("backendTimeout", spec.backend_timeout.is_some()),
        ])
    }

    fn names(&self, service: &str) -> Vec<(Kind, String)> {
        let rule = |role: Role| (DESTINATION_RULE, role.name(service));
        vec![
            rule(Role::Canary),
            rule(Role::Primary),
            (VIRTUAL_SERVICE, service.to_owned()),
        ]
    }

    fn claim(&self, release: &Release, kind: Kind, name: &str, existing: &Value) -> Claim {
        let owner = release.owner();
        let wanted = wanted(release, &owner);
        let of_role = |role: &Role| role.name(&release.service_name) == name;
        let role = [Role::Canary, Role::Primary].into_iter().find(of_role);
        match role.filter(|_| kind == DESTINATION_RULE) {
            Some(role) => wanted.claim_rule(role, existing),
            None => wanted.claim_service(existing),
        }
    }

    fn queries(&self) -> &'static Queries {
        &queries::QUERIES
    }

    fn observe(&self, release: &Release, cluster: &Cluster) -> Route {
        let owner = release.owner();
        let wanted = wanted(release, &owner);
        let copy = |kind, name: &str| {
            cluster
                .get(kind, release.namespace(), name)
                .map(|object| json_of(&object))
        };
        let Some(service) = copy(VIRTUAL_SERVICE, &release.service_name) else {
            return Route {
                presence: Presence::Missing,
                weights: None,
                pending: None,
            };
        };
        let live = weights(&release.service_name, &service);
        let rules_are_current = [Role::Canary, Role::Primary].into_iter().all(|role| {
            let rule = copy(DESTINATION_RULE, &role.name(&release.service_name));
            rule.is_some() && rule == Some(wanted.destination_rule(role, rule.as_ref()))
        });
        // A VirtualService without the canary's route has not been adopted yet.
        let service_is_current =
            live.is_some_and(|live| wanted.virtual_service(Some(&service), live) == service);
        let presence = match live {
            None => Presence::Missing,
            Some(_) if rules_are_current && service_is_current => Presence::Current,
            Some(_) => Presence::Drifted,
        };
        Route {
            presence,
            weights: live,
            // The status of a VirtualService does not report whether the proxies have received it.
            pending: None,
        }
    }

    fn ensure<'a>(
        &'a self,
        release: &'a Release,
        cluster: &'a Cluster,
        weights: Weights,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(async move {
            let owner = release.owner();
            let wanted = wanted(release, &owner);
            for role in [Role::Canary, Role::Primary] {
                let name = role.name(&release.service_name);
                let build = |existing: Option<&Value>| wanted.destination_rule(role, existing);
                cluster
                    .ensure(DESTINATION_RULE, release.namespace(), &name, build)
                    .await?;
            }
            self.set_weights(release, cluster, weights).await
        })
    }

    fn set_weights<'a>(
        &'a self,
        release: &'a Release,
        cluster: &'a Cluster,
        weights: Weights,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(async move {
            let owner = release.owner();
            let wanted = wanted(release, &owner);
            let build = |existing: Option<&Value>| wanted.virtual_service(existing, weights);
            let name = &release.service_name;
            cluster
                .ensure(VIRTUAL_SERVICE, release.namespace(), name, build)
                .await
        })
    }
}

fn wanted<'a>(release: &'a Release, owner: &'a Value) -> Wanted<'a> {
    Wanted {
        service_name: &release.service_name,
        namespace: release.namespace(),
        spec: &release.service,
        owner,
    }
}
