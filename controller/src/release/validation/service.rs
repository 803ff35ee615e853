//! `spec.service`.

use super::Check;
use crate::{api::ServiceSpec, routing};

impl Check<'_> {
    /// Validates `spec.service` and returns it with the name of the apex Service.
    pub(super) fn service(
        &mut self,
        spec: Option<&ServiceSpec>,
        target: &str,
        provider: &str,
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
            self.problem("spec.service.port", message, "use a number from 1 to 65535");
        }
        if let Some(router) = routing::find(provider) {
            self.problems.extend(router.problems(spec));
        }
        let name = spec.name.clone().filter(|name| !name.is_empty());
        (spec.clone(), name.unwrap_or_else(|| target.to_owned()))
    }
}
