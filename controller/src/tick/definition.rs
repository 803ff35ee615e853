//! Whether the cluster's definition of Canaries keeps the status that this controller writes.
//!
//! Where Flagger's definition is installed, which Helm never updates, the API server drops this controller's additions
//! without a word. A release would be forgotten from one tick to the next, and begin again at each. So the answer to
//! every write of a status is compared with what was written, and a canary that has none of the additions yet is not
//! worked on before the API server was asked, by a write that it only tries, whether it would keep them.

use std::{fmt, time::Duration};

use kube::ResourceExt;
use serde_json::{Map, Value, json};
use tokio::{sync::Mutex, time::Instant};
use tracing::{info, warn};

use crate::cluster::{Cluster, Kind, Object, WriteError};

/// How often a definition that drops something is tried again, for all canaries together.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// Fields of the status that the definition drops, with the values that were lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropped(Map<String, Value>);

impl Dropped {
    /// The fields of a patch that are missing in the object that the API server returned.
    fn between(patch: &Map<String, Value>, answer: &Object) -> Option<Self> {
        let kept = &answer.data["status"];
        let lost = patch
            .iter()
            .filter(|(field, value)| !value.is_null() && kept[field.as_str()].is_null())
            .map(|(field, value)| (field.clone(), value.clone()));
        let lost: Map<_, _> = lost.collect();
        (!lost.is_empty()).then_some(Self(lost))
    }

    /// The patch without the fields that are dropped.
    pub(super) fn spare(&self, mut patch: Map<String, Value>) -> Map<String, Value> {
        patch.retain(|field, value| value.is_null() || !self.0.contains_key(field));
        patch
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.0.keys().map(String::as_str).collect();
        write!(
            f,
            "CustomResourceDefinition canaries.flagger.app drops the status fields {}, by which a release is \
             remembered, so no canary is worked on: kubectl apply -f manifests/controller/crds.yaml (it adds them, and \
             nothing is lost by it)",
            fields.join(", ")
        )
    }
}

impl std::error::Error for Dropped {}

/// The knowledge of this process about the definition.
#[derive(Debug, Default)]
pub struct Definition(Mutex<Known>);

#[derive(Debug, Default)]
enum Known {
    #[default]
    Nothing,
    KeepsAll,
    Drops {
        dropped: Dropped,
        asked: Instant,
    },
}

impl Definition {
    /// The fields that the definition drops, as far as they matter before this canary is reconciled. Canaries
    /// that ask at the same time wait for one answer.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn drops(
        &self,
        canary: &Object,
        cluster: &Cluster,
    ) -> Result<Option<Dropped>, WriteError> {
        let mut known = self.0.lock().await;
        let mut fields = additions();
        match &mut *known {
            Known::KeepsAll => return Ok(None),
            // They were kept when they were written, which is all that can be known before the next write.
            Known::Nothing if fields.keys().any(|field| has(canary, field)) => return Ok(None),
            Known::Nothing => {}
            Known::Drops { dropped, asked } if asked.elapsed() < PAUSE => {
                return Ok(Some(dropped.clone()));
            }
            Known::Drops { dropped, asked } => {
                fields.extend(dropped.0.clone());
                *asked = Instant::now();
            }
        }
        let namespace = canary.namespace().unwrap_or_default();
        let patch = json!({ "status": fields });
        let found = match cluster
            .try_status(Kind::CANARY, &namespace, &canary.name_any(), &patch)
            .await
        {
            Ok(answer) => Dropped::between(&fields, &answer),
            // Where an admission webhook may have effects nothing can be tried. The first real write shows it.
            Err(error) if error.is_refusal() && !error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        learn(&mut known, found.clone());
        Ok(found)
    }

    /// Learns from the answer to a change of a status.
    ///
    /// # Errors
    /// When something of it was dropped.
    pub async fn written(&self, patch: &Value, answer: &Object) -> Result<(), Dropped> {
        let found = patch
            .as_object()
            .and_then(|patch| Dropped::between(patch, answer));
        match found {
            None => Ok(()),
            Some(dropped) => {
                learn(&mut *self.0.lock().await, Some(dropped.clone()));
                Err(dropped)
            }
        }
    }
}

fn learn(known: &mut Known, found: Option<Dropped>) {
    let was_dropping = matches!(known, Known::Drops { .. });
    *known = match found {
        Some(dropped) => {
            if !was_dropping {
                warn!("{dropped}");
            }
            let asked = Instant::now();
            Known::Drops { dropped, asked }
        }
        None => {
            if was_dropping {
                info!("the definition of canaries is complete now; they are worked on again");
            }
            Known::KeepsAll
        }
    };
}

/// One value for each field that Flagger's status does not have.
fn additions() -> Map<String, Value> {
    let time = "2023-11-14T22:13:20Z";
    let fields = [
        ("lastCheckTime", json!(time)),
        ("phaseSince", json!(time)),
        ("runStarted", json!(time)),
        ("preRolloutDone", json!(true)),
        ("promotedConfigs", json!({})),
        ("cleanup", json!("ScaleDown")),
        (
            "waiting",
            json!({ "reason": "Definition", "message": "", "announced": true }),
        ),
        ("checks", json!([])),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn has(canary: &Object, field: &str) -> bool {
    !canary.data["status"][field].is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status in the definition that this controller comes with.
    fn schema() -> Value {
        let definition = crate::api::definitions().unwrap().remove(0);
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
            .clone()
    }

    #[test]
    fn every_addition_is_tried() {
        let schema = schema();
        let properties = schema["properties"].as_object().unwrap();
        let is_addition = |field: &Value| {
            let words = field["description"].as_str().unwrap_or_default();
            words.starts_with("Addition:")
        };
        let documented = properties.iter().filter(|(_, field)| is_addition(field));
        let mut documented: Vec<_> = documented.map(|(name, _)| name.clone()).collect();
        let mut tried: Vec<_> = additions().keys().cloned().collect();
        documented.sort();
        tried.sort();
        assert_eq!(tried, documented);
    }

    #[test]
    fn what_is_taken_back_is_not_dropped() {
        let answer = json!({ "metadata": {}, "status": { "phase": "Succeeded" } });
        let answer: Object = serde_json::from_value(answer).unwrap();
        let patch = json!({ "phase": "Succeeded", "waiting": null, "checks": [] });
        let dropped = Dropped::between(patch.as_object().unwrap(), &answer).unwrap();
        assert_eq!(json!(dropped.0), json!({ "checks": [] }));
        let kept = dropped.spare(patch.as_object().unwrap().clone());
        assert_eq!(
            json!(kept),
            json!({ "phase": "Succeeded", "waiting": null })
        );
    }
}
