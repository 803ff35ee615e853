//! Comparing a string.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to compare a string. No field means presence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("maxProperties" = 1))]
#[serde(default, rename_all = "camelCase")]
pub struct StringMatch {
    /// Equal.
    pub exact: Option<String>,
    /// Begins with.
    pub prefix: Option<String>,
    /// The whole string matches this regular expression (RE2 syntax).
    pub regex: Option<String>,
}
