//! The selector label of pods, and the selection of labels to copy.

use serde_json::Value;

/// The label that target and primary select their pods by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorLabel {
    /// Key, one of `--selector-labels`.
    pub key: String,
    /// Value for the pods of the target. That of the primary has the suffix `-primary`.
    pub value: String,
}

impl SelectorLabel {
    /// Finds the first of `keys` that the target selects its pods by.
    #[must_use]
    pub fn find(target: &Value, keys: &[String]) -> Option<Self> {
        let labels = target["spec"]["selector"]["matchLabels"].as_object()?;
        keys.iter().find_map(|key| {
            let value = labels.get(key)?.as_str()?;
            Some(Self {
                key: key.clone(),
                value: value.to_owned(),
            })
        })
    }

    /// Value for the pods of the primary.
    #[must_use]
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }
}

/// Part of the key of labels and annotations that belong to Flux. They are never copied.
const FLUX_KEY: &str = "toolkit.fluxcd.io";

/// Prefixes of the labels (and, on promotion, annotations) that are copied from the target to generated objects. Set by
/// `--include-label-prefix`, separated by commas; `*` copies all, the default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelPrefixes(Vec<String>);

impl LabelPrefixes {
    /// Parses the value of the flag.
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

    /// Returns whether a label or annotation with this key is copied.
    #[must_use]
    pub fn includes(&self, key: &str) -> bool {
        !is_flux(key)
            && self
                .0
                .iter()
                .any(|prefix| prefix == "*" || key.starts_with(prefix.as_str()))
    }
}

/// Returns whether a label or annotation belongs to Flux.
#[must_use]
pub fn is_flux(key: &str) -> bool {
    key.contains(FLUX_KEY)
}
