//! The type that an extension needs.

use super::node::Node;
use crate::status::Cause;

/// Checks the type that an extension needs.
pub(super) fn must_have_type(
    schema: Node<'_>,
    wanted: &str,
    extension: &str,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let (field, kind) = (format!("{path}.type"), schema.kind());
    let detail = format!("must be {wanted} if {extension} is specified");
    if kind.is_empty() {
        causes.push(Cause::required(field, &detail));
    } else if kind != wanted {
        causes.push(Cause::invalid(field, &kind.into(), &detail));
    }
}
