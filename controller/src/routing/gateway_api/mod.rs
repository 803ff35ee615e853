//! Gateway API: one HTTPRoute with two weighted backends, for any implementation.

mod filters;
mod matches;
mod objects;
mod queries;
mod reference;
mod rule;
mod unmappable;

use canary_engine::observed::{Presence, Weights};
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Queries, Route, Router, given, has_any};
use crate::{
    api::ServiceSpec,
    cluster::{Cluster, Kind, Names, WriteError, json_of},
    objects::ownership::Claim,
    release::{Release, problem::Problem},
};

use self::objects::{Wanted, pending, weights};
use self::rule::Rule;

/// `httproutes.gateway.networking.k8s.io`
pub const HTTP_ROUTE: Kind = Kind::of(&Names {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "HTTPRoute",
    plural: "httproutes",
    is_optional: true,
});

/// The router for the Gateway API.
pub(super) struct GatewayApi;

impl Router for GatewayApi {
    fn kinds(&self) -> &'static [Kind] {
        &[HTTP_ROUTE]
    }

    fn problems(&self, spec: &ServiceSpec) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !has_any(spec.gateway_refs.as_ref()) {
            problems.push(Problem::new(
                "spec.service.gatewayRefs",
                "is missing",
                "name the Gateway or Service to attach the HTTPRoute to, such as [{name: my-gateway, namespace: \
                 istio-system}]",
            ));
        }
        for (index, parent) in spec.gateway_refs.iter().flatten().enumerate() {
            if parent["name"].as_str().is_none_or(str::is_empty) {
                problems.push(Problem::new(
                    format!("spec.service.gatewayRefs[{index}].name"),
                    "is missing",
                    "name the Gateway or Service",
                ));
            }
        }
        if spec
            .app_protocol
            .as_deref()
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
        {
            problems.push(Problem::new(
                "spec.service.appProtocol",
                "an HTTPRoute does not support TCP",
                "remove the field, or use the provider istio",
            ));
        }
        let unmappable = Rule::of(spec).err().into_iter().flatten();
        problems.extend(unmappable.map(|part| {
            Problem::new(
                format!("spec.service.{}", part.field),
                format!("an HTTPRoute cannot express it: {}", part.why),
                "change or remove the field",
            )
        }));
        problems
    }

    fn without_effect(&self, spec: &ServiceSpec) -> Vec<&'static str> {
        given(&[
            ("gateways", has_any(spec.gateways.as_ref())),
            ("delegation", spec.delegation == Some(true)),
            ("trafficPolicy", spec.traffic_policy.is_some()),
            ("retries", spec.retries.is_some()),
        ])
    }

    fn names(&self, service: &str) -> Vec<(Kind, String)> {
        vec![(HTTP_ROUTE, service.to_owned())]
    }

    fn claim(&self, release: &Release, _: Kind, _: &str, existing: &Value) -> Claim {
        let owner = release.owner();
        wanted(release, &owner).claim(existing)
    }

    fn queries(&self) -> &'static Queries {
        &queries::QUERIES
    }

    fn observe(&self, release: &Release, cluster: &Cluster) -> Route {
        let name = &release.service_name;
        let copy = cluster.get(HTTP_ROUTE, release.namespace(), name);
        let Some(route) = copy.map(|object| json_of(&object)) else {
            let id = format!("{name}.{}", release.namespace());
            return Route {
                presence: Presence::Missing,
                weights: None,
                pending: Some(format!(
                    "HTTPRoute {id} is not ready: it has just been created"
                )),
            };
        };
        let owner = release.owner();
        let live = weights(name, &route);
        // An HTTPRoute without the canary's rule has not been adopted yet.
        let presence = match live {
            None => Presence::Missing,
            Some(live) if wanted(release, &owner).http_route(Some(&route), live) == route => {
                Presence::Current
            }
            Some(_) => Presence::Drifted,
        };
        Route {
            presence,
            weights: live,
            pending: pending(&route),
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
            let build = |existing: Option<&Value>| wanted.http_route(existing, weights);
            let name = &release.service_name;
            cluster
                .ensure(HTTP_ROUTE, release.namespace(), name, build)
                .await
        })
    }

    fn set_weights<'a>(
        &'a self,
        release: &'a Release,
        cluster: &'a Cluster,
        weights: Weights,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        self.ensure(release, cluster, weights)
    }
}

fn wanted<'a>(release: &'a Release, owner: &'a Value) -> Wanted<'a> {
    Wanted {
        service_name: &release.service_name,
        namespace: release.namespace(),
        spec: &release.service,
        // Validation ensures that the rule can be expressed.
        rule: Rule::of(&release.service).unwrap_or_default(),
        owner,
    }
}
