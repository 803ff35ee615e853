//! Fields of `spec.service` that an HTTPRoute cannot express.

/// A field of `spec.service` that an HTTPRoute cannot express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unmappable {
    /// Path below `spec.service`.
    pub(super) field: String,
    /// Why it cannot be expressed.
    pub(super) why: String,
}

impl Unmappable {
    pub(super) fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
        }
    }
}
