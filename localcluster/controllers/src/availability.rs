//! Active, ready and available pods.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};

/// Returns whether the pod counts as a replica: it is neither finished nor being deleted.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Returns whether the phase is `Succeeded` or `Failed`.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Returns whether the condition `Ready` is `True`.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some()
}

/// Time at which the pod became ready.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    ready_condition(pod)?
        .last_transition_time
        .as_ref()
        .map(|time| time.0)
}

/// Time at which a ready pod has been ready for `min_ready`. `None` if it is not ready.
pub(crate) fn available_at(pod: &Pod, min_ready: SignedDuration) -> Option<Timestamp> {
    ready_condition(pod)?;
    if min_ready.is_zero() {
        return Some(Timestamp::MIN);
    }
    ready_since(pod)?.checked_add(min_ready).ok()
}
