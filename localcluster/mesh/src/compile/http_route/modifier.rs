//! Converts header modifiers of the Gateway API to Istio's.

use crate::{
    gateway_api::{Header, HeaderModifier},
    istio::HeaderOperations,
};

/// Converts header changes. If a header appears twice, the first entry applies.
pub(super) fn operations(modifier: &HeaderModifier) -> HeaderOperations {
    let first = |headers: &[Header]| {
        let headers = headers.iter().rev();
        headers
            .map(|header| (header.name.to_ascii_lowercase(), header.value.clone()))
            .collect()
    };
    HeaderOperations {
        set: first(&modifier.set),
        add: first(&modifier.add),
        remove: modifier.remove.clone(),
    }
}
