//! Header modifiers of the Gateway API in the form of Istio.

use crate::{
    gateway_api::{Header, HeaderModifier},
    istio::HeaderOperations,
};

/// Header changes in Istio's form. Of two changes to one header the first counts.
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
