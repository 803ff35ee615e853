//! Identity of pod templates: which ReplicaSet belongs to which.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::PodTemplateSpec,
};
use sha2::{Digest, Sha256};

/// Label with the hash, on ReplicaSets, their selectors and their pods.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";
/// Letters of a hash: those upstream uses, so that no words come out.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const HASH_LENGTH: usize = 10;

/// A short hash of the template. `collisions` changes it when another ReplicaSet has the name.
///
/// Not upstream's hash (which depends on Go's memory layout); nothing may rely on its value.
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

/// Equal but for the hash label.
pub(crate) fn equal(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    without_hash(a) == without_hash(b)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let mut meta = template.metadata.take().unwrap_or_default();
    let mut labels = meta.labels.take().unwrap_or_default();
    labels.remove(HASH_LABEL);
    // Absent and empty are the same thing to the API.
    meta.labels = Some(labels).filter(|labels| !labels.is_empty());
    meta.annotations = meta
        .annotations
        .filter(|annotations| !annotations.is_empty());
    meta.creation_timestamp = None;
    template.metadata = Some(meta);
    template
}

/// The ReplicaSet of the Deployment's present template: the oldest one that has it.
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
