//! `spec.service`.

use super::Check;
use crate::crd::ServiceSpec;

impl Check<'_> {
    /// The service's settings and the name of the apex Service.
    pub(super) fn service(
        &mut self,
        spec: Option<&ServiceSpec>,
        target: &str,
    ) -> (ServiceSpec, String) {
        let Some(spec) = spec else {
            self.problem(
                "spec.service",
                "is missing",
                "add spec.service.port, the port of the Service",
            );
            return (ServiceSpec::default(), target.to_owned());
        };
        if !(1..=65535).contains(&spec.port) {
            let message = format!("{} is not a port", spec.port);
            self.problem(
                "spec.service.port",
                message,
                "write a number from 1 to 65535",
            );
        }
        if spec.delegation == Some(true) {
            for (field, given) in [("hosts", &spec.hosts), ("gateways", &spec.gateways)] {
                if given.as_ref().is_some_and(|list| !list.is_empty()) {
                    self.problem(
                        format!("spec.service.{field}"),
                        "cannot be given together with delegation",
                        "remove the field or set spec.service.delegation to false",
                    );
                }
            }
        }
        if spec
            .mirror
            .as_ref()
            .is_some_and(|mirror| !mirror.is_empty())
        {
            self.problem(
                "spec.service.mirror",
                "is of the Gateway API",
                "remove the field",
            );
        }
        let name = spec.name.clone().filter(|name| !name.is_empty());
        (spec.clone(), name.unwrap_or_else(|| target.to_owned()))
    }
}
