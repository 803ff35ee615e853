//! The primary Deployment: a copy of the target with its own name and selector label.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    cluster::{
        digest,
        labels::{LabelPrefixes, SelectorLabel, is_flux},
    },
    objects::{
        configs::{ConfigRef, point_to_copies},
        json::object_at,
        ownership::Claim,
    },
};

/// Annotation of the primary Deployment: the target revision that its pod template is a copy of.
pub const REVISION_ANNOTATION: &str = "flagger.app/copied-revision";
/// Annotation of the primary Deployment: checksums of the tracked ConfigMaps and Secrets copied with it, as JSON.
pub const CONFIGS_ANNOTATION: &str = "flagger.app/copied-configs";
/// Annotation of the primary's pod template. Flagger sets a random value in each promotion. This controller derives the
/// value from the promoted revision and configuration, so that promotion is idempotent.
const ID_ANNOTATION: &str = "flagger-id";

/// The claim on a Deployment without an owner: ours if it selects the primary's pods, and its pod template is a copy of
/// a target's.
#[must_use]
pub fn claim(selector: &SelectorLabel, existing: &Value) -> Claim {
    let labels = |labels: &Value| {
        let all = entries(labels, |_| true).into_iter();
        let texts = all.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        texts.collect::<Vec<_>>().join(",")
    };
    let wanted = labels(&json!({ &selector.key: selector.primary_value() }));
    let selected = labels(&existing["spec"]["selector"]["matchLabels"]);
    if wanted != selected {
        return Claim::Foreign(format!("its selector is {selected}, not {wanted}"));
    }
    if existing["spec"]["template"]["metadata"]["annotations"][ID_ANNOTATION].is_null() {
        return Claim::Foreign(format!(
            "its pod template lacks the annotation {ID_ANNOTATION}, which that of a primary has"
        ));
    }
    Claim::Ours
}

/// Input for building the primary.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The target Deployment as the API server returned it.
    pub target: &'a Value,
    /// Revision of the target.
    pub revision: &'a str,
    /// Selector label of the target.
    pub selector: &'a SelectorLabel,
    /// Keys of `--selector-labels`.
    pub selector_keys: &'a [String],
    /// Tracked ConfigMaps and Secrets with their checksums.
    pub tracked: &'a BTreeMap<ConfigRef, String>,
    /// Labels to copy.
    pub labels: &'a LabelPrefixes,
}

impl Source<'_> {
    fn name(&self) -> &str {
        self.target["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Builds the primary for creation.
    #[must_use]
    pub fn create(&self, owner: &Value) -> Value {
        let metadata = &self.target["metadata"];
        let mut annotations = entries(&metadata["annotations"], |key| {
            !is_flux(key)
                && key != "kubectl.kubernetes.io/last-applied-configuration"
                && key != "deployment.kubernetes.io/revision"
        });
        self.annotate_source(&mut annotations);
        let mut primary = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": format!("{}-primary", self.name()),
                "namespace": metadata["namespace"],
                "labels": self.object_labels(),
                "annotations": annotations,
                "ownerReferences": [owner],
            },
            "spec": { "selector": { "matchLabels": { &self.selector.key: self.selector.primary_value() } } },
        });
        let replicas = self.target["spec"]["replicas"].as_i64().unwrap_or(1).max(1);
        primary["spec"]["replicas"] = json!(replicas);
        self.copy_spec(&mut primary);
        primary
    }

    /// Builds the promoted primary. The result equals `existing` if the promotion has already been applied.
    #[must_use]
    pub fn promote(&self, existing: &Value) -> Value {
        let mut primary = existing.clone();
        let of_target = entries(&self.target["metadata"]["annotations"], |key| {
            self.labels.includes(key)
        });
        let mut annotations = entries(&existing["metadata"]["annotations"], |key| {
            // Set by the Deployment controller on the primary itself.
            key.starts_with("deployment.kubernetes.io/")
        });
        annotations.extend(of_target);
        self.annotate_source(&mut annotations);
        let metadata = object_at(&mut primary, &["metadata"]);
        metadata.insert("labels".to_owned(), Value::Object(self.object_labels()));
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
        if let Some(replicas) = self.target["spec"]["replicas"].as_i64().filter(|r| *r > 0) {
            primary["spec"]["replicas"] = json!(replicas);
        }
        self.copy_spec(&mut primary);
        primary
    }

    fn annotate_source(&self, annotations: &mut Map<String, Value>) {
        let configs: BTreeMap<_, _> = self
            .tracked
            .iter()
            .map(|(reference, sum)| (reference.status_key(), sum))
            .collect();
        annotations.insert(REVISION_ANNOTATION.to_owned(), json!(self.revision));
        annotations.insert(
            CONFIGS_ANNOTATION.to_owned(),
            json!(json!(configs).to_string()),
        );
    }

    fn object_labels(&self) -> Map<String, Value> {
        let mut labels = entries(&self.target["metadata"]["labels"], |key| {
            self.labels.includes(key)
        });
        labels.insert(
            self.selector.key.clone(),
            json!(self.selector.primary_value()),
        );
        labels
    }

    fn copy_spec(&self, primary: &mut Value) {
        let target = &self.target["spec"];
        let spec = object_at(primary, &["spec"]);
        for field in [
            "progressDeadlineSeconds",
            "minReadySeconds",
            "revisionHistoryLimit",
            "strategy",
        ] {
            match &target[field] {
                Value::Null => spec.remove(field),
                value => spec.insert(field.to_owned(), value.clone()),
            };
        }
        spec.insert("template".to_owned(), self.template());
    }

    fn template(&self) -> Value {
        let mut template = self.target["spec"]["template"].clone();
        let mut labels = entries(&template["metadata"]["labels"], |key| !is_flux(key));
        labels.insert(
            self.selector.key.clone(),
            json!(self.selector.primary_value()),
        );
        let mut annotations = entries(&template["metadata"]["annotations"], |key| !is_flux(key));
        annotations.insert(ID_ANNOTATION.to_owned(), json!(self.id()));
        let metadata = object_at(&mut template, &["metadata"]);
        metadata.insert("labels".to_owned(), Value::Object(labels));
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
        let spec = &mut template["spec"];
        point_to_copies(spec, self.tracked);
        self.rewrite_selectors(spec);
        template
    }

    /// Value of the ID annotation. It depends on the revision and all tracked checksums, so that changed configuration
    /// restarts the pods.
    fn id(&self) -> String {
        let mut text = self.revision.to_owned();
        for (reference, checksum) in self.tracked {
            text.push_str(&format!("\n{}={checksum}", reference.status_key()));
        }
        digest::uuid(&text)
    }

    /// Anti-affinity and topology spread usually refer to the pods of the Deployment itself, so those of the primary
    /// must select the primary's pods. Flagger: affinity is not rewritten.
    fn rewrite_selectors(&self, pod_spec: &mut Value) {
        if let Some(anti) = pod_spec.pointer_mut("/affinity/podAntiAffinity") {
            for term in list(anti, "requiredDuringSchedulingIgnoredDuringExecution") {
                self.rewrite_selector(term);
            }
            for preferred in list(anti, "preferredDuringSchedulingIgnoredDuringExecution") {
                if let Some(term) = preferred.get_mut("podAffinityTerm") {
                    self.rewrite_selector(term);
                }
            }
        }
        for constraint in list(pod_spec, "topologySpreadConstraints") {
            self.rewrite_selector(constraint);
        }
    }

    fn rewrite_selector(&self, term: &mut Value) {
        let Some(selector) = term.get_mut("labelSelector") else {
            return;
        };
        if let Some(labels) = selector
            .get_mut("matchLabels")
            .and_then(Value::as_object_mut)
        {
            for (key, value) in labels.iter_mut() {
                if self.selector_keys.contains(key) && value == self.name() {
                    *value = json!(format!("{}-primary", self.name()));
                }
            }
        }
        for expression in list(selector, "matchExpressions") {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            if !self.selector_keys.contains(&key) {
                continue;
            }
            if let Some(value) = list(expression, "values").find(|value| *value == self.name()) {
                *value = json!(format!("{}-primary", self.name()));
            }
        }
    }
}

fn list<'a>(value: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    value
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// The entries of an object whose keys pass the filter.
fn entries(value: &Value, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let all = value.as_object().into_iter().flatten();
    all.filter(|(key, _)| wanted(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Kind;

    fn target() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "app", "namespace": "ns", "uid": "u", "resourceVersion": "5",
                "labels": { "team": "x", "kustomize.toolkit.fluxcd.io/name": "flux" },
                "annotations": {
                    "note": "n", "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "deployment.kubernetes.io/revision": "3", "kustomize.toolkit.fluxcd.io/checksum": "c" },
            },
            "spec": {
                "replicas": 0, "minReadySeconds": 3, "revisionHistoryLimit": 5,
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0 } },
                "selector": { "matchLabels": { "tier": "web", "app": "app" } },
                "template": {
                    "metadata": {
                        "labels": { "app": "app", "tier": "web", "helm.toolkit.fluxcd.io/x": "1" },
                        "annotations": { "prometheus.io/scrape": "true" } },
                    "spec": {
                        "containers": [{ "name": "c", "image": "app:1", "fieldOfTheFuture": true,
                            "envFrom": [{ "configMapRef": { "name": "settings" } }] }],
                        "affinity": {
                            "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                                { "labelSelector": { "matchLabels": { "app": "app" } } } ] },
                            "podAntiAffinity": {
                                "requiredDuringSchedulingIgnoredDuringExecution": [
                                    { "labelSelector": { "matchExpressions": [
                                        { "key": "app", "operator": "In", "values": ["other", "app"] },
                                        { "key": "tier", "operator": "In", "values": ["app"] } ] } } ],
                                "preferredDuringSchedulingIgnoredDuringExecution": [
                                    { "weight": 1, "podAffinityTerm":
                                        { "labelSelector": { "matchLabels": { "app": "app" } } } } ] } },
                        "topologySpreadConstraints": [
                            { "maxSkew": 1, "labelSelector": { "matchLabels": { "app": "app" } } } ],
                    } } },
        })
    }

    fn keys() -> Vec<String> {
        ["app", "name", "app.kubernetes.io/name"]
            .map(String::from)
            .to_vec()
    }

    fn with_source<R>(
        target: &Value,
        revision: &str,
        checksum: &str,
        f: impl FnOnce(Source) -> R,
    ) -> R {
        let keys = keys();
        let selector = SelectorLabel::find(target, &keys).unwrap();
        let settings = ConfigRef {
            kind: Kind::CONFIG_MAP,
            name: "settings".into(),
        };
        let tracked = BTreeMap::from([(settings, checksum.to_owned())]);
        let labels = LabelPrefixes::parse("team");
        f(Source {
            target,
            revision,
            selector: &selector,
            selector_keys: &keys,
            tracked: &tracked,
            labels: &labels,
        })
    }

    fn owner() -> Value {
        json!({ "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "app", "uid": "u1",
            "controller": true, "blockOwnerDeletion": true })
    }

    #[test]
    fn the_primary_as_created() {
        let primary = with_source(&target(), "sha256:1", "aa", |s| s.create(&owner()));
        insta::assert_yaml_snapshot!(primary);
    }

    #[test]
    fn the_primary_as_promoted() {
        let mut existing = with_source(&target(), "sha256:1", "aa", |s| s.create(&owner()));
        existing["metadata"]["resourceVersion"] = json!("9");
        existing["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("2");
        let mut new = target();
        new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("app:2");
        new["spec"]["replicas"] = json!(3);
        let promoted = with_source(&new, "sha256:2", "aa", |s| s.promote(&existing));
        insta::assert_yaml_snapshot!(promoted);
    }

    #[test]
    fn promoting_twice_changes_nothing() {
        let created = with_source(&target(), "sha256:1", "aa", |s| s.create(&owner()));
        let once = with_source(&target(), "sha256:2", "aa", |s| s.promote(&created));
        let twice = with_source(&target(), "sha256:2", "aa", |s| s.promote(&once));
        assert_ne!(created, once);
        assert_eq!(once, twice);
    }

    #[test]
    fn changed_configuration_restarts_the_primary() {
        let template = |checksum: &str| {
            with_source(&target(), "sha256:1", checksum, |s| s.create(&owner()))["spec"]["template"]
                .clone()
        };
        assert_ne!(template("aa"), template("bb"));
    }

    #[test]
    fn a_target_scaled_to_zero_creates_one_primary_replica_and_keeps_the_scale_on_promotion() {
        let created = with_source(&target(), "sha256:1", "aa", |s| s.create(&owner()));
        assert_eq!(created["spec"]["replicas"], 1);
        let mut running = created;
        running["spec"]["replicas"] = json!(4);
        let promoted = with_source(&target(), "sha256:2", "aa", |s| s.promote(&running));
        assert_eq!(promoted["spec"]["replicas"], 4);
    }

    #[test]
    fn the_selector_label_is_the_first_one_in_use() {
        let found = SelectorLabel::find(&target(), &keys()).unwrap();
        assert_eq!(
            found,
            SelectorLabel {
                key: "app".into(),
                value: "app".into()
            }
        );
        assert_eq!(SelectorLabel::find(&target(), &["x".to_owned()]), None);
    }
}
