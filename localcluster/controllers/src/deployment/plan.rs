//! Plans one reconciliation of a Deployment. Pure.
//!
//! A reconciliation takes only the next safe step. The events of its writes trigger the next one. The
//! scaling rules are those of the deployment controller of Kubernetes.

use kube::ResourceExt;

use super::{
    conditions,
    fields::{DESIRED, bounds, is_paused, is_rolling, number, replicas},
    history, rollout,
    round::{Plan, Round, View},
    scale, template,
};

/// Plans one reconciliation.
pub(crate) fn plan(view: View<'_>) -> Plan {
    let deployment = view.deployment;
    let new = template::find_new(deployment, view.sets).cloned();
    let old = view
        .sets
        .iter()
        .filter(|set| Some(set.name_any()) != new.as_ref().map(ResourceExt::name_any))
        .cloned()
        .collect();
    let mut round = Round {
        view,
        deployment,
        new,
        old,
        plan: Plan::default(),
        appeared: None,
    };
    if deployment.metadata.deletion_timestamp.is_none() {
        decide(&mut round);
    }
    conditions::settle(&mut round);
    round.plan
}

fn decide(round: &mut Round<'_>) {
    if is_paused(round.deployment) || is_scaling(round) {
        history::adopt_revision(round);
        scale::proportionally(round);
        if is_paused(round.deployment) {
            history::clean_up(round);
        }
    } else if is_rolling(round.deployment) {
        rollout::roll(round);
    } else {
        rollout::recreate(round);
    }
}

/// Returns whether the number of replicas was changed: some set was scaled for a different number.
fn is_scaling(round: &Round<'_>) -> bool {
    let desired = bounds(round.deployment).desired;
    let mut active = round.all().filter(|set| replicas(set) > 0);
    active.any(|set| number(set, DESIRED).is_some_and(|noted| noted != desired))
}
