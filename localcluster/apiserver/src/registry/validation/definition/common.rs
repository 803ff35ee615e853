//! The parts that all versions of a definition share.

use serde_json::Value;

use super::super::{Causes, items};
use super::{columns, schema, subresources};

/// The parts of versions that are the same in all of them. Upstream checks them once, as if they stood in
/// `spec`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Common<'a> {
    pub(super) schema: Option<&'a Value>,
    pub(super) subresources: Option<&'a Value>,
    pub(super) columns: Option<&'a Value>,
}

impl<'a> Common<'a> {
    pub(super) fn of(spec: &'a Value) -> Self {
        let part = |key: &str| {
            let (_, first) = items(&spec["versions"]).next()?;
            let same = items(&spec["versions"])
                .all(|(_, version)| filled(&version[key]) == filled(&first[key]));
            same.then(|| &first[key])
        };
        Self {
            schema: part("schema"),
            subresources: part("subresources"),
            columns: part("additionalPrinterColumns"),
        }
    }

    /// Checks the common parts.
    pub(super) fn check(&self, spec: &Value, causes: &mut Causes) {
        if let Some(shared) = self.schema {
            // The schema is checked for all versions, so that each must be able to write its status apart.
            let status = items(&spec["versions"]).any(|(_, version)| schema::has_status(version));
            schema::check(shared, "spec.validation", status, causes);
        }
        if let Some(declared) = self.subresources {
            subresources::check(declared, "spec.subresources", causes);
        }
        if let Some(declared) = self.columns {
            columns::check(declared, "spec.additionalPrinterColumns", causes);
        }
    }
}

/// A part of a version; an empty list is as good as none.
fn filled(part: &Value) -> Option<&Value> {
    match part {
        Value::Null => None,
        Value::Array(items) if items.is_empty() => None,
        other => Some(other),
    }
}
