//! Answers of webhooks.

use super::Tick;
use crate::{
    canary::HookKind,
    phase::Phase,
    question::{HookAnswer, Question},
};

/// What must be asked before planning can go on.
pub(crate) struct Ask(pub(crate) Vec<Question>);

/// Planning either goes on or stops to ask.
pub(crate) type Planned = Result<(), Ask>;

/// How a list of gates or hooks answered.
pub(crate) enum Hooks {
    /// All passed, or there are none.
    Passed,
    /// This one was refused, with its text.
    Refused { index: usize, why: String },
}

impl<'a> Tick<'a> {
    /// Asks the webhooks of `kind` in list order, saying `phase`, up to the first that is refused.
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
