//! Answers of webhooks.

use super::Tick;
use crate::{
    canary::HookKind,
    phase::Phase,
    question::{HookAnswer, Question},
};

/// Questions that need an answer before planning can continue.
pub(crate) struct Ask(pub(crate) Vec<Question>);

/// The result of a planning step: done, or stopped by questions.
pub(crate) type Planned = Result<(), Ask>;

/// The answer of a list of webhooks.
pub(crate) enum Hooks {
    /// All passed, or there are none.
    Passed,
    /// The webhook at `index` refused, with this text.
    Refused { index: usize, why: String },
}

impl<'a> Tick<'a> {
    /// Asks the webhooks of `kind` in list order, with `phase` in the payload, up to the first that refuses.
    pub(crate) fn ask_hooks(
        &self,
        kind: HookKind,
        phase: Phase,
        mut passed: impl FnMut(usize),
    ) -> Result<Hooks, Ask> {
        for index in self.hooks(kind) {
            match self.answers.hook(index) {
                None => return Err(Ask(vec![Question::Hook { index, kind, phase }])),
                Some(HookAnswer::Passed) => passed(index),
                Some(HookAnswer::Refused(why)) => {
                    return Ok(Hooks::Refused {
                        index,
                        why: why.clone(),
                    });
                }
            }
        }
        Ok(Hooks::Passed)
    }

    /// Indices of the webhooks of `kind`.
    pub(crate) fn hooks(&self, kind: HookKind) -> Vec<usize> {
        let hooks = &self.canary.analysis.hooks;
        (0..hooks.len())
            .filter(|index| hooks[*index].kind == kind)
            .collect()
    }

    pub(crate) fn hook_name(&self, index: usize) -> &'a str {
        &self.canary.analysis.hooks[index].name
    }
}
