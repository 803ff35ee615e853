//! The order of lists after a merge.

use serde_json::Value;

/// Puts the items that `order` names into that order. The others keep theirs, and stand before an ordered
/// item only if they stood before it in `before`.
pub(super) fn in_order(
    items: Vec<Value>,
    order: &[Value],
    before: &[Value],
    same: impl Fn(&Value, &Value) -> bool,
) -> Vec<Value> {
    let index = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut ordered, mut others): (Vec<Value>, Vec<Value>) = items
        .into_iter()
        .partition(|item| index(order, item).is_some());
    ordered.sort_by_key(|item| index(order, item));
    others.sort_by_key(|item| index(before, item));
    let (mut ordered, mut others) = (
        ordered.into_iter().peekable(),
        others.into_iter().peekable(),
    );
    let mut merged = Vec::new();
    loop {
        let other_first = match (others.peek(), ordered.peek()) {
            (None, None) => return merged,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(item)) => {
                matches!((index(before, other), index(before, item)), (Some(o), Some(i)) if o < i)
            }
        };
        merged.extend(if other_first {
            others.next()
        } else {
            ordered.next()
        });
    }
}
