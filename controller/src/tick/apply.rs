//! Applies a plan, action by action, in order. Each action is idempotent. The first failure ends the tick, and the next
//! tick observes anew and plans the rest.

use std::collections::BTreeMap;

use canary_engine::{
    action::{Action, Event, post_rollout_event},
    question::HookAnswer,
    status::Status,
};
use serde_json::{Value, json};

use super::{
    ask::call_hook, claims, context::Context, error::ApplyError, events, notify::notify, observe,
    write_status::write_status,
};
use crate::{
    cluster::{Cluster, Kind, Object, digest, json_of},
    objects::{
        configs::{self, ConfigRef},
        services::Role,
    },
    release::{Release, status},
    routing::Router,
    targets::deployment::Source,
};

/// Tracked configuration with its data and checksums.
pub(super) type Sources = BTreeMap<ConfigRef, (Object, String)>;

/// Applies the plan of one tick.
pub struct Executor<'a> {
    /// The Canary as observed.
    pub object: &'a Object,
    /// Its validated form.
    pub release: &'a Release,
    /// The status as observed.
    pub status: &'a Status,
    /// Revision of the target as observed.
    pub revision: &'a str,
    /// How traffic is split.
    pub router: &'a dyn Router,
    /// State that all ticks share.
    pub ctx: &'a Context,
    /// Where generated objects are written.
    pub cluster: &'a Cluster,
}

impl Executor<'_> {
    /// Applies the actions in order.
    ///
    /// # Errors
    /// Of the first action that failed; the actions after it are skipped.
    pub async fn apply(&self, actions: &[Action]) -> Result<(), ApplyError> {
        let mut hook_refused = false;
        for action in actions {
            self.ctx.fence.check()?;
            if hook_refused && matches!(action, Action::CallHook { .. }) {
                continue;
            }
            hook_refused |= self.act(action).await?;
        }
        Ok(())
    }

    /// Applies one action; true if a post-rollout webhook refused.
    async fn act(&self, action: &Action) -> Result<bool, ApplyError> {
        match action {
            Action::EnsureCanaryService => self.ensure_service(Role::Canary).await?,
            Action::EnsurePrimaryService => self.ensure_service(Role::Primary).await?,
            Action::EnsureApexService => self.ensure_service(Role::Apex).await?,
            Action::EnsureRoute(weights) => {
                self.router
                    .ensure(self.release, self.cluster, *weights)
                    .await?;
            }
            Action::SetWeights(weights) => {
                self.router
                    .set_weights(self.release, self.cluster, *weights)
                    .await?;
            }
            Action::CreatePrimary { revision, configs } => {
                self.copy_to_primary(revision, configs, true).await?;
            }
            Action::Promote { revision, configs } => {
                self.copy_to_primary(revision, configs, false).await?;
            }
            Action::ScaleUpTarget { replicas } => self.scale_target(*replicas).await?,
            Action::ScaleDownTarget => self.scale_target(0).await?,
            Action::CallHook { index, phase, .. } => {
                let key = self.key(&format!("hook/{phase}/{index}"));
                let answer = match self.ctx.hooks.outcome(&key) {
                    Some(answer) => answer,
                    None => {
                        let answer =
                            call_hook(*index, *phase, self.release, self.status, self.ctx).await;
                        self.ctx.hooks.remember(&key, answer.clone());
                        answer
                    }
                };
                let event = post_rollout_event(&self.release.canary, self.status, *index, &answer);
                self.publish(&event).await?;
                return Ok(matches!(answer, HookAnswer::Refused(_)));
            }
            Action::Publish(event) => self.publish(event).await?,
            Action::Alert(alert) => {
                let key = self.key(&format!("alert/{}", alert.message));
                if self.ctx.effects.remember(&key, ()) {
                    notify(self.release, alert, self.ctx);
                }
            }
            Action::Count(outcome) => {
                let key = self.key(&format!("count/{outcome:?}"));
                if self.ctx.effects.remember(&key, ()) {
                    self.ctx.metrics.released(self.release, *outcome);
                }
            }
            Action::WriteStatus(status) => self.write_status(status).await?,
        }
        Ok(false)
    }

    /// The key of an effect of this plan that no resource version guards. Like the keys of events, it is made of the status
    /// before the plan.
    fn key(&self, effect: &str) -> String {
        let Status {
            phase,
            run_started,
            last_check,
            ..
        } = self.status;
        let (uid, revision) = (&self.release.uid, self.revision);
        format!("{uid}/{phase}/{run_started:?}/{last_check:?}/{revision}/{effect}")
    }

    pub(super) async fn ensure_service(&self, role: Role) -> Result<(), ApplyError> {
        let cluster = self.cluster;
        let target = cluster.get(
            Kind::DEPLOYMENT,
            self.release.namespace(),
            self.release.target(),
        );
        let target = target.map(|object| json_of(&object)).unwrap_or_default();
        let owner = self.release.owner();
        let wanted = observe::services(self.release, &target, &owner);
        let name = role.name(&self.release.service_name);
        let build = |existing: Option<&Value>| wanted.build(role, existing);
        Ok(cluster
            .ensure(Kind::SERVICE, self.release.namespace(), &name, build)
            .await?)
    }

    /// Copies the target as it is now to the primary, if it still is what was analysed: nothing else is promoted.
    pub(super) async fn copy_to_primary(
        &self,
        revision: &str,
        configs: &BTreeMap<String, String>,
        is_new: bool,
    ) -> Result<(), ApplyError> {
        let cluster = self.cluster;
        let namespace = self.release.namespace();
        let target = self.live_target(revision).await?;
        let sources = self.live_configs(&target, configs).await?;
        self.copy_configs(&sources).await?;
        let owner = self.release.owner();
        let tracked = sources
            .into_iter()
            .map(|(reference, (_, checksum))| (reference, checksum))
            .collect();
        let source = Source {
            target: &target,
            revision,
            selector: &self.release.selector,
            selector_keys: &self.ctx.settings.selector_labels,
            tracked: &tracked,
            labels: &self.ctx.settings.label_prefixes,
        };
        let selector = &self.release.selector;
        let mut taken = false;
        let build = |existing: Option<&Value>| match existing {
            None => source.create(&owner),
            Some(existing) if is_new && claims::is_foreign(existing, selector, &owner, cluster) => {
                taken = true;
                existing.clone()
            }
            Some(existing) => source.promote(existing),
        };
        cluster
            .ensure(Kind::DEPLOYMENT, namespace, &self.release.primary(), build)
            .await?;
        if taken {
            return Err(self.moved("primary"));
        }
        Ok(())
    }

    /// Copies tracked configuration for the primary.
    pub(super) async fn copy_configs(&self, sources: &Sources) -> Result<(), ApplyError> {
        let (cluster, namespace) = (self.cluster, self.release.namespace());
        let (owner, labels) = (self.release.owner(), &self.ctx.settings.label_prefixes);
        let primary = cluster.get(Kind::DEPLOYMENT, namespace, &self.release.primary());
        for (reference, (source, _)) in sources {
            let name = reference.copy_name();
            let existing = cluster.live(reference.kind, namespace, &name).await?;
            let is_foreign = existing.as_ref().is_some_and(|copy| {
                let primary = primary.as_deref();
                claims::is_foreign_copy(reference, source, copy, primary, &owner, cluster)
            });
            if is_foreign {
                return Err(self.moved("configuration"));
            }
            let build = |_: Option<&Value>| {
                configs::copy(reference, source, existing.as_ref(), &owner, labels)
            };
            cluster
                .ensure(reference.kind, namespace, &name, build)
                .await?;
        }
        Ok(())
    }

    /// The target as it is now, if it still is of this revision.
    pub(super) async fn live_target(&self, revision: &str) -> Result<Value, ApplyError> {
        let (namespace, name) = (self.release.namespace(), self.release.target());
        let live = self.cluster.live(Kind::DEPLOYMENT, namespace, name).await?;
        let target = live.map(|object| json_of(&object)).unwrap_or_default();
        if digest::revision(&target) == revision {
            Ok(target)
        } else {
            Err(self.moved("pod template"))
        }
    }

    /// The tracked configuration as it is now, with its data, if it still is what was analysed.
    pub(super) async fn live_configs(
        &self,
        target: &Value,
        analysed: &BTreeMap<String, String>,
    ) -> Result<Sources, ApplyError> {
        let mut found = BTreeMap::new();
        let references = configs::references(&target["spec"]["template"]["spec"]);
        for (reference, _) in references {
            let Some(checksum) = analysed.get(&reference.status_key()) else {
                continue;
            };
            let live = self
                .ctx
                .cluster
                .live(reference.kind, self.release.namespace(), &reference.name)
                .await?;
            match live {
                Some(object) if digest::config_checksum(&object.data) == *checksum => {
                    found.insert(reference, (object, checksum.clone()));
                }
                _ => return Err(self.moved("configuration")),
            }
        }
        if found.len() == analysed.len() {
            Ok(found)
        } else {
            Err(self.moved("configuration"))
        }
    }

    fn moved(&self, what: &'static str) -> ApplyError {
        let target = format!("{}.{}", self.release.target(), self.release.namespace());
        ApplyError::Moved { target, what }
    }

    /// Scaling is a patch of one field: it must not collide with whoever else writes the Deployment.
    async fn scale_target(&self, replicas: u32) -> Result<(), ApplyError> {
        let (namespace, name) = (self.release.namespace(), self.release.target());
        let copy = self.ctx.cluster.get(Kind::DEPLOYMENT, namespace, name);
        if copy.is_some_and(|object| object.data["spec"]["replicas"] == json!(replicas)) {
            return Ok(());
        }
        let patch = json!({ "spec": { "replicas": replicas } });
        self.ctx
            .cluster
            .merge(Kind::DEPLOYMENT, namespace, name, &patch)
            .await?;
        Ok(())
    }

    async fn publish(&self, event: &Event) -> Result<(), ApplyError> {
        let is_new = events::publish(self.object, event, self.ctx)
            .await
            .map_err(ApplyError::Event)?;
        if is_new {
            events::tell_webhooks(self.release, self.status, event, self.ctx);
        }
        Ok(())
    }

    async fn write_status(&self, new: &Status) -> Result<(), ApplyError> {
        let observed = status::of_object(self.object);
        self.ctx.metrics.observed(self.release, new);
        let kind = self.release.canary.target.kind;
        let Some(patch) = status::patch(&observed, new, kind, self.ctx.clock.now()) else {
            return Ok(());
        };
        write_status(self.object, &observed, patch, self.ctx).await
    }
}
