//! Comparison and hashing of pod templates.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::PodTemplateSpec,
};
use sha2::{Digest, Sha256};

/// Label with the template's hash, on ReplicaSets, their selectors and their pods.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";
/// Alphabet of a hash: the one of Kubernetes, which avoids words.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const HASH_LENGTH: usize = 10;

/// Computes a short hash of the template. `collisions` changes it if the name is already taken.
///
/// It differs from the hash of Kubernetes, which depends on Go's memory layout. Its value must not be
/// relied on.
pub(crate) fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    let canonical = serde_json::to_vec(template).unwrap_or_default();
    let digest = Sha256::new()
        .chain_update(canonical)
        .chain_update(collisions.to_be_bytes())
        .finalize();
    digest
        .iter()
        .take(HASH_LENGTH)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

/// Returns whether two templates are equal except for the hash label.
pub(crate) fn equal(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    without_hash(a) == without_hash(b)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let mut meta = template.metadata.take().unwrap_or_default();
    let mut labels = meta.labels.take().unwrap_or_default();
    labels.remove(HASH_LABEL);
    // The API treats absent and empty alike.
    meta.labels = Some(labels).filter(|labels| !labels.is_empty());
    meta.annotations = meta
        .annotations
        .filter(|annotations| !annotations.is_empty());
    meta.creation_timestamp = None;
    template.metadata = Some(meta);
    template
}

/// Finds the ReplicaSet of the Deployment's current template: the oldest one that has it.
pub(super) fn find_new<'a>(
    deployment: &Deployment,
    sets: &'a [ReplicaSet],
) -> Option<&'a ReplicaSet> {
    let wanted = &deployment.spec.as_ref()?.template;
    sets.iter()
        .filter(|set| {
            set.spec
                .as_ref()
                .and_then(|spec| spec.template.as_ref())
                .is_some_and(|have| equal(have, wanted))
        })
        .min_by_key(|set| {
            (
                set.metadata.creation_timestamp.clone(),
                set.metadata.name.clone(),
            )
        })
}
