//! Labels that decide which pods belong together, and which labels are copied.

use serde_json::Value;

/// The label by which target and primary select their pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorLabel {
    /// Key, one of `--selector-labels`.
    pub key: String,
    /// Value of the target's pods; those of the primary have `-primary` added.
    pub value: String,
}

impl SelectorLabel {
    /// The first of `keys` that the target selects its pods by.
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

    /// Value of the primary's pods.
    #[must_use]
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }
}

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

    /// Whether a label or annotation with this key is copied.
    #[must_use]
    pub fn includes(&self, key: &str) -> bool {
        !is_flux(key)
            && self
                .0
                .iter()
                .any(|prefix| prefix == "*" || key.starts_with(prefix.as_str()))
    }
}

/// Whether a label or annotation belongs to Flux.
#[must_use]
pub fn is_flux(key: &str) -> bool {
    key.contains(FLUX_KEY)
}
