//! Conditions on strings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition on a string. Without any field it requires only that the string is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("maxProperties" = 1))]
#[serde(default, rename_all = "camelCase")]
pub struct StringMatch {
    /// The string equals this value.
    pub exact: Option<String>,
    /// The string begins with this prefix.
    pub prefix: Option<String>,
    /// The whole string matches this regular expression (RE2 syntax).
    pub regex: Option<String>,
}
