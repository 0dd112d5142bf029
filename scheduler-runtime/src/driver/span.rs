//! The span of an attempt: from its start to its end, around all that its task does, on whichever thread.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chrono::SecondsFormat;
use scheduler_core::{BoxFuture, Outcome, Task, TaskCall, engine::Start};
use tracing::{Span, field::Empty, span::Entered};

use crate::runtime::Runtime;

/// Opens the span of an attempt. Without a subscriber that wants it, this costs a comparison.
pub(super) fn of(start: &Start, lateness: impl FnOnce() -> Duration) -> Span {
    let span = tracing::info_span!(
        target: "apscheduler",
        parent: None,
        "run",
        job = %start.job,
        run = %start.run,
        task = %start.task,
        store = %start.store,
        executor = %start.executor,
        fire_time = %start.fire_time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        attempt = start.attempt,
        tags = Empty,
        lateness = lateness().as_secs_f64(),
        outcome = Empty,
        duration = Empty,
    );
    if !start.tags.is_empty() {
        span.record("tags", tracing::field::display(&start.tags));
    }
    span
}

/// The task with its calls inside the span: an executor may make them on a thread of its own.
pub(super) fn within(span: &Span, task: Task) -> Task {
    if span.is_disabled() {
        return task;
    }
    let span = span.clone();
    let call = match task.call().clone() {
        TaskCall::Async(call) => TaskCall::Async(Arc::new(move |context, args| {
            let future = {
                let _entered = enter(&span);
                call(context, args)
            };
            Box::pin(Within { span: span.clone(), future: Some(future) })
        })),
        TaskCall::Blocking(call) => TaskCall::Blocking(Arc::new(move |context, args| {
            let _entered = enter(&span);
            call(context, args)
        })),
    };
    task.with_call(call)
}

/// A task's future inside its span, also when it is dropped.
struct Within {
    span: Span,
    future: Option<BoxFuture<'static, Outcome>>,
}

impl Future for Within {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Self { span, future } = &mut *self;
        let _entered = enter(span);
        future.as_mut().expect("it is there until the drop").as_mut().poll(cx)
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        let _entered = enter(&self.span);
        drop(self.future.take());
    }
}

/// Enters a span, unless this thread is in it: subscribers count how often.
fn enter(span: &Span) -> Option<Entered<'_>> {
    (Span::current() != *span).then(|| span.enter())
}

/// Writes the end of an attempt into its span.
pub(super) struct End {
    span: Span,
    /// None if no subscriber wants the span.
    begun: Option<(Arc<dyn Runtime>, Duration)>,
}

impl End {
    pub(super) fn of(span: &Span, runtime: &Arc<dyn Runtime>) -> Self {
        let begun = (!span.is_disabled()).then(|| (Arc::clone(runtime), runtime.now().monotonic));
        Self { span: span.clone(), begun }
    }

    pub(super) fn record(&self, outcome: &Outcome) {
        if let Some((runtime, begun)) = &self.begun {
            let duration = runtime.now().monotonic.saturating_sub(*begun);
            self.span.record("outcome", word(outcome)).record("duration", duration.as_secs_f64());
        }
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ok(_) => "ok",
        Outcome::Panicked(_) => "panicked",
        Outcome::Crashed(_) => "crashed",
        Outcome::Cancelled => "cancelled",
        Outcome::TimedOut(_) => "timeout",
        _ => "error",
    }
}
