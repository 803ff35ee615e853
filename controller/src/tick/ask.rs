//! Answers the engine's questions: calls webhooks and measures metrics.

use canary_engine::question::{Answer, HookAnswer, Question};
use canary_engine::status::Status;
use futures::future::join_all;

use super::context::Context;
use crate::{
    metrics,
    release::Release,
    webhooks::{self, Payload},
};

/// Answers one batch. Its questions do not depend on each other and are asked at the same time.
pub async fn answer(
    batch: Vec<Question>,
    release: &Release,
    status: &Status,
    ctx: &Context,
) -> Vec<(Question, Answer)> {
    let answers = batch.into_iter().map(async |question| {
        let answer = match &question {
            Question::Hook { index, phase, .. } => {
                Answer::Hook(call_hook(*index, *phase, release, status, ctx).await)
            }
            Question::Metric { index } => {
                let answer = metrics::measure(release, *index, &ctx.cluster, &ctx.transport).await;
                ctx.metrics.measured(release, *index, &answer);
                Answer::Metric(answer)
            }
        };
        (question, answer)
    });
    join_all(answers).await
}

/// Calls the webhook at `index`.
pub async fn call_hook(
    index: usize,
    phase: canary_engine::phase::Phase,
    release: &Release,
    status: &Status,
    ctx: &Context,
) -> HookAnswer {
    let Some(hook) = release.hooks.get(index) else {
        return HookAnswer::Refused(format!("there is no webhook at index {index}"));
    };
    let metadata = hook.spec.metadata.clone().unwrap_or_default();
    let payload = Payload::new(release, status, phase, metadata);
    webhooks::call(ctx.transport.as_ref(), hook, &payload).await
}
