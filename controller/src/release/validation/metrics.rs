//! `spec.analysis.metrics`.

use std::time::Duration;

use canary_engine::canary::{Metric, MetricKind, Range};

use super::{Check, parse};
use crate::{
    api::{MetricSpec, MetricTemplateSpec},
    cluster::Kind,
    metrics::{providers, template},
    release::spec::{MetricSource, Query, QueryNames},
};

impl Check<'_> {
    pub(super) fn metrics(
        &mut self,
        specs: &[MetricSpec],
        names: &QueryNames,
    ) -> (Vec<Metric>, Vec<MetricSource>) {
        let mut metrics = Vec::new();
        let mut sources = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let field = format!("spec.analysis.metrics[{index}]");
            let interval_field = format!("{field}.interval");
            self.duration(
                &interval_field,
                spec.interval.as_deref(),
                Duration::from_secs(60),
            );
            let interval = spec.interval.clone().filter(|text| !text.is_empty());
            let interval = interval.unwrap_or_else(|| "1m".to_owned());
            let Some((kind, query)) = self.query(&field, spec, &interval, names) else {
                continue;
            };
            let range = self.range(&field, spec, kind);
            metrics.push(Metric {
                name: spec.name.clone(),
                kind,
                range,
            });
            sources.push(MetricSource { interval, query });
        }
        (metrics, sources)
    }

    fn query(
        &mut self,
        field: &str,
        spec: &MetricSpec,
        interval: &str,
        names: &QueryNames,
    ) -> Option<(MetricKind, Query)> {
        if let Some(reference) = &spec.template_ref {
            let reference_field = format!("{field}.templateRef");
            let namespace =
                self.reference_namespace(&reference_field, reference.namespace.as_deref());
            let variables = spec.template_variables.clone().unwrap_or_default();
            let found = self
                .template(&namespace, &reference.name)
                .and_then(|template| {
                    template::render(&template.query, names, interval, &variables)
                        .map(|_| Box::new(template))
                        .map_err(|error| Problem::query(&reference.name, &namespace, &error))
                });
            if let Err(problem) = &found
                && !self.running
            {
                self.problem(
                    format!("{reference_field}.name"),
                    &problem.message,
                    problem.fix.clone(),
                );
            }
            let query = Query::Template {
                namespace,
                name: reference.name.clone(),
                variables,
                spec: found.map_err(|problem| problem.message),
            };
            return Some((MetricKind::Template, query));
        }
        if let Some(query) = spec.query.as_ref().filter(|query| !query.is_empty()) {
            if let Err(error) = template::render(query, names, interval, &Default::default()) {
                self.problem(
                    format!("{field}.query"),
                    error,
                    "correct the expression in {{ }}",
                );
            }
            return Some((MetricKind::Inline, Query::Inline(query.clone())));
        }
        match spec.name.as_str() {
            "request-success-rate" => Some((MetricKind::SuccessRate, Query::SuccessRate)),
            "request-duration" => Some((MetricKind::Duration, Query::Duration)),
            other => {
                self.problem(
                    format!("{field}.templateRef"),
                    format!(
                        "\"{other}\" is not a built-in metric and has neither templateRef nor query"
                    ),
                    "reference a MetricTemplate, or use request-success-rate or request-duration",
                );
                None
            }
        }
    }

    fn template(&self, namespace: &str, name: &str) -> Result<MetricTemplateSpec, Problem> {
        let Some(object) = self.lookup.find(Kind::METRIC_TEMPLATE, namespace, name) else {
            return Err(Problem {
                message: format!("MetricTemplate {name}.{namespace} not found"),
                fix: "create it or correct the reference; the Canary is checked again when it appears".to_owned(),
            });
        };
        let spec: MetricTemplateSpec = parse(&object, "spec").map_err(|problems| Problem {
            message: format!("MetricTemplate {name}.{namespace} cannot be read: {problems}"),
            fix: "correct the MetricTemplate".to_owned(),
        })?;
        let kind = &spec.provider.type_;
        let Some(provider) = providers::find(kind) else {
            return Err(Problem {
                message: format!(
                    "MetricTemplate {name}.{namespace} has the provider \"{kind}\", which is not supported yet"
                ),
                fix: format!(
                    "use a template with one of: {}",
                    providers::names().join(", ")
                ),
            });
        };
        if let Some(unusable) = provider.problem(&spec.provider) {
            return Err(Problem {
                message: format!("MetricTemplate {name}.{namespace} {}", unusable.why),
                fix: unusable.fix.to_owned(),
            });
        }
        Ok(spec)
    }

    /// The accepted range. A metric without limits is refused. Flagger compares it with 0, so healthy values fail.
    fn range(&mut self, field: &str, spec: &MetricSpec, kind: MetricKind) -> Range {
        let range = match (spec.threshold_range, spec.threshold) {
            (Some(range), _) => Range {
                min: range.min,
                max: range.max,
            },
            (None, Some(limit)) if kind == MetricKind::SuccessRate => Range {
                min: Some(limit),
                max: None,
            },
            (None, Some(limit)) => Range {
                min: None,
                max: Some(limit),
            },
            (None, None) => Range {
                min: None,
                max: None,
            },
        };
        let range_field = format!("{field}.thresholdRange");
        match range {
            Range {
                min: None,
                max: None,
            } => self.problem(
                range_field,
                "neither min nor max is set",
                "add thresholdRange with min, max or both",
            ),
            Range {
                min: Some(min),
                max: Some(max),
            } if min > max => {
                self.problem(
                    range_field,
                    format!("min {min} is larger than max {max}"),
                    "swap min and max",
                );
            }
            _ => {}
        }
        range
    }
}

/// A problem of a MetricTemplate.
struct Problem {
    message: String,
    fix: String,
}

impl Problem {
    fn query(name: &str, namespace: &str, error: &str) -> Self {
        Self {
            message: format!(
                "the query of MetricTemplate {name}.{namespace} cannot be rendered: {error}"
            ),
            fix: "correct the template, or set the variable in templateVariables".to_owned(),
        }
    }
}
