//! CEL rules of CustomResourceDefinitions, `x-kubernetes-validations`. The crate `cel` parses and
//! interprets them; this module says which functions and values rules see, bounds what they may cost,
//! and words the outcome as upstream does.
//!
//! Differences from upstream:
//! - There is no type check: a rule that selects a field its schema does not have is refused only when it
//!   is evaluated.
//! - A rule that calls a function this server does not have is stored and skipped; a warning names it.
//!   That concerns `format`, `semver`, `jsonpatch`, comprehensions with two variables and `cel.bind`.
//! - Rules inside `allOf`, `anyOf`, `oneOf` and `not` are skipped and named in the same way.
//! - Lists of type `set` and `map` are equal only when their items have the same order.
//! - Costs are not estimated when a rule is stored; evaluation stops at a budget.

mod definition;
mod functions;
mod guard;
mod program;
mod rules;
mod values;

pub(crate) use definition::report;
pub(super) use rules::Validation;
pub(crate) use rules::check;

#[cfg(test)]
mod tests;
