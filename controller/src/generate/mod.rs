//! Pure builders of the generated objects, as Flagger makes them. They take what exists and what is wanted and
//! return what should be written; nothing here talks to a server.

pub mod configs;
pub mod digest;
pub mod gateway_api;
pub mod istio;
pub mod primary;
mod route;
pub mod services;

use serde_json::{Map, Value};

/// Annotations by which Flux leaves generated objects alone.
pub const FLUX_ANNOTATIONS: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
    ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
];

/// Labels and annotations with this in their key belong to Flux and are never copied.
const FLUX_KEY: &str = "toolkit.fluxcd.io";

/// Which labels (and, on promotion, annotations) of the target are copied to generated objects:
/// `--include-label-prefix`, comma separated, `*` for all, none by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelPrefixes(Vec<String>);

impl LabelPrefixes {
    /// Reads the flag's value.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(
            text.split(',')
                .map(str::trim)
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    fn includes(&self, key: &str) -> bool {
        !is_flux(key)
            && self
                .0
                .iter()
                .any(|prefix| prefix == "*" || key.starts_with(prefix.as_str()))
    }
}

fn is_flux(key: &str) -> bool {
    key.contains(FLUX_KEY)
}

/// The object at `path`, made where it is missing. A value of another type is replaced: the API server would
/// not have accepted it.
fn object_at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut here = value;
    for step in path {
        here = as_object(here)
            .entry((*step).to_owned())
            .or_insert(Value::Null);
    }
    as_object(here)
}

fn set_or_remove(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(field.to_owned(), value)),
        None => drop(map.remove(field)),
    }
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}
