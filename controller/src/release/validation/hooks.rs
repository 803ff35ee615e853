//! `spec.analysis.webhooks` and `spec.analysis.alerts`.

use std::time::Duration;

use canary_engine::{
    action::Severity,
    canary::{Hook, HookKind},
};

use super::{Check, parse};
use crate::{
    alerts::receivers,
    api::{AlertProviderSpec, AlertSpec, Webhook},
    cluster::Kind,
    release::spec::{AlertTarget, HookCall},
};

impl Check<'_> {
    pub(super) fn hooks(&mut self, specs: &[Webhook]) -> (Vec<Hook>, Vec<HookCall>) {
        let mut hooks = Vec::new();
        let mut calls = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let field = format!("spec.analysis.webhooks[{index}]");
            let kind = self.hook_kind(&field, spec.type_.as_deref().unwrap_or_default());
            self.address(&format!("{field}.url"), &spec.url);
            let timeout = self.duration(
                &format!("{field}.timeout"),
                spec.timeout.as_deref(),
                Duration::from_secs(10),
            );
            let retries = u32::try_from(spec.retries.unwrap_or(0)).unwrap_or_else(|_| {
                self.problem(format!("{field}.retries"), "is negative", "use 0 or more");
                0
            });
            let mute_alert = spec.mute_alert == Some(true);
            hooks.push(Hook {
                name: spec.name.clone(),
                kind,
                mute_alert,
            });
            calls.push(HookCall {
                kind,
                spec: spec.clone(),
                timeout,
                retries,
            });
        }
        (hooks, calls)
    }

    fn hook_kind(&mut self, field: &str, text: &str) -> HookKind {
        match text {
            "" | "rollout" => HookKind::Rollout,
            "confirm-rollout" => HookKind::ConfirmRollout,
            "pre-rollout" => HookKind::PreRollout,
            "confirm-traffic-increase" => HookKind::ConfirmTrafficIncrease,
            "confirm-promotion" => HookKind::ConfirmPromotion,
            "post-rollout" => HookKind::PostRollout,
            "rollback" => HookKind::Rollback,
            "event" => HookKind::Event,
            other => {
                self.problem(
                    format!("{field}.type"),
                    format!("\"{other}\" is not a type of webhook"),
                    "use confirm-rollout, pre-rollout, rollout, confirm-traffic-increase, confirm-promotion, \
                     post-rollout, rollback or event",
                );
                HookKind::Rollout
            }
        }
    }

    pub(super) fn address(&mut self, field: &str, text: &str) {
        let is_web =
            reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_web {
            self.problem(
                field,
                format!("\"{text}\" is not an HTTP URL"),
                "use http://HOST[:PORT]/PATH",
            );
        }
    }

    pub(super) fn alerts(&mut self, specs: Option<&[AlertSpec]>) -> Option<Vec<AlertTarget>> {
        let specs = specs.filter(|specs| !specs.is_empty())?;
        let mut targets = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let field = format!("spec.analysis.alerts[{index}]");
            // Info when absent, as in Flagger's documentation. Flagger's code sends no alert in that case.
            let severity = match spec.severity.as_deref().unwrap_or_default() {
                "" | "info" => Severity::Info,
                "warn" => Severity::Warn,
                "error" => Severity::Error,
                other => {
                    let message = format!("\"{other}\" is not a severity");
                    self.problem(
                        format!("{field}.severity"),
                        message,
                        "use info, warn or error",
                    );
                    continue;
                }
            };
            let reference = format!("{field}.providerRef");
            let namespace =
                self.reference_namespace(&reference, spec.provider_ref.namespace.as_deref());
            if let Some(provider) =
                self.alert_provider(&reference, &namespace, &spec.provider_ref.name)
            {
                targets.push(AlertTarget {
                    severity,
                    namespace,
                    provider,
                });
            }
        }
        Some(targets)
    }

    fn alert_provider(
        &mut self,
        field: &str,
        namespace: &str,
        name: &str,
    ) -> Option<AlertProviderSpec> {
        let Some(object) = self.lookup.find(Kind::ALERT_PROVIDER, namespace, name) else {
            // A missing AlertProvider must not stop a run in progress.
            if !self.running {
                self.problem(
                    format!("{field}.name"),
                    format!("AlertProvider {name}.{namespace} not found"),
                    "create it or correct the reference",
                );
            }
            return None;
        };
        match parse::<AlertProviderSpec>(&object, "spec") {
            Ok(spec) if receivers::find(&spec.type_).is_none() => {
                self.problem(
                    format!("{field}.name"),
                    format!(
                        "AlertProvider {name}.{namespace} has the unknown type \"{}\"",
                        spec.type_
                    ),
                    format!("use one of: {}", receivers::names().join(", ")),
                );
                None
            }
            Ok(spec) => Some(spec),
            Err(problems) => {
                self.problem(
                    format!("{field}.name"),
                    format!("AlertProvider {name}.{namespace} cannot be read: {problems}"),
                    "correct the AlertProvider",
                );
                None
            }
        }
    }
}
