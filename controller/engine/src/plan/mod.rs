//! The decisions: one module per stage of a release.
//!
//! Every function here adds to a [`Tick`] and may stop with questions. [`questions`](crate::questions) and
//! [`plan`](crate::plan()) run the same code and differ only in the outcome that they return, so questions and
//! decisions cannot drift apart.

mod analyse;
mod cleanup;
mod detect;
mod finalize;
mod gone;
mod initialize;
mod progress;
mod promote;
mod repair;
mod rollback;
mod run;
mod suspend;

use crate::{
    action::Plan,
    canary::Canary,
    observed::Observed,
    phase::Phase,
    question::{Answers, Question},
    tick::{Tick, hooks::Ask},
};

/// Plans one tick, or returns the questions to ask first.
pub(crate) fn decide(
    canary: &Canary,
    observed: &Observed,
    answers: &Answers,
) -> Result<Plan, Vec<Question>> {
    let mut tick = Tick::new(canary, observed, answers);
    let planned = if canary.suspend {
        suspend::suspend(&mut tick);
        Ok(())
    } else if observed.target.gone {
        gone::wait_for_target(&mut tick);
        Ok(())
    } else {
        suspend::resume(&mut tick);
        detect::adopt_foreign_revision(&mut tick);
        match observed.status.phase {
            Phase::None | Phase::Initializing => {
                initialize::initialize(&mut tick);
                Ok(())
            }
            Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed => {
                detect::detect(&mut tick)
            }
            Phase::Progressing | Phase::WaitingPromotion => progress::progress(&mut tick),
            Phase::Promoting => {
                promote::roll_out(&mut tick);
                Ok(())
            }
            Phase::Finalising => {
                finalize::finalize(&mut tick);
                Ok(())
            }
            // The engine does not revert a deleted canary.
            Phase::Terminating => Ok(()),
        }
    };
    match planned {
        Ok(()) => Ok(tick.finish()),
        Err(Ask(questions)) => Err(questions),
    }
}
