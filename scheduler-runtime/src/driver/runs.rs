//! The runs that are running here.

use std::collections::HashMap;

use futures_channel::mpsc;
use scheduler_core::{CancellationToken, NodeId, Outcome, RunContext, RunId, engine::Start};

use super::{Completion, metrics, span};

/// The runs that are running here, each in its latest attempt.
///
/// A run that was taken over by another node can come back while its old attempt here goes on; what comes of that one
/// must not be taken for the outcome of the new one.
#[derive(Debug, Default)]
pub(super) struct Runs {
    last: u64,
    running: HashMap<RunId, (AttemptId, CancellationToken)>,
}

/// The number of an attempt at this scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AttemptId(u64);

impl Runs {
    pub(super) fn begin(&mut self, run: RunId) -> (AttemptId, CancellationToken) {
        self.last += 1;
        let token = CancellationToken::new();
        self.running.insert(run, (AttemptId(self.last), token.clone()));
        (AttemptId(self.last), token)
    }

    /// Whether this was the run's latest attempt.
    pub(super) fn end(&mut self, run: RunId, attempt: AttemptId) -> bool {
        let is_latest = self.running.get(&run).is_some_and(|(latest, _)| *latest == attempt);
        if is_latest {
            self.running.remove(&run);
        }
        is_latest
    }

    /// Whether several runs are running, so that more than one may end in one moment.
    pub(super) fn are_several(&self) -> bool {
        self.running.len() > 1
    }

    /// Tells all of them to stop.
    pub(super) fn cancel_all(&self) {
        self.running.values().for_each(|(_, token)| token.cancel());
    }

    pub(super) fn cancel(&self, run: RunId) {
        if let Some((_, token)) = self.running.get(&run) {
            token.cancel();
        }
    }
}

/// Reports the outcome of an attempt, also if its future is dropped before it has one.
pub(super) struct Report {
    run: RunId,
    attempt: AttemptId,
    completed: mpsc::UnboundedSender<Completion>,
    end: span::End,
    _running: metrics::Running,
    is_sent: bool,
}

impl Report {
    pub(super) fn new(
        run: RunId,
        attempt: AttemptId,
        completed: mpsc::UnboundedSender<Completion>,
        (end, running): (span::End, metrics::Running),
    ) -> Self {
        Self { run, attempt, completed, end, _running: running, is_sent: false }
    }

    pub(super) fn send(mut self, outcome: Outcome) {
        self.end.record(&outcome);
        self.tell(Completion::Finished(self.run, self.attempt, outcome));
    }

    fn tell(&mut self, completion: Completion) {
        self.is_sent = true;
        // The loop has gone if this cannot be sent.
        drop(self.completed.unbounded_send(completion));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.is_sent {
            self.end.record(&Outcome::Cancelled);
            self.tell(Completion::Dropped(self.run, self.attempt));
        }
    }
}

/// What a task is told about its run.
pub(super) fn context_of(start: &Start, node: NodeId, cancellation: CancellationToken) -> RunContext {
    let mut context = RunContext::new(start.job.clone(), start.run, start.fire_time);
    context.job_name = start.job_name.clone();
    context.store = start.store.clone();
    context.node = node;
    context.attempt = start.attempt;
    context.fence = start.fence;
    context.cancellation = cancellation;
    context
}

#[cfg(test)]
mod tests {
    use scheduler_core::Uid;

    use super::*;

    #[test]
    fn the_end_of_an_attempt_is_not_taken_for_that_of_its_successor() {
        let run = RunId { uid: Uid(1), seq: 7 };
        let mut runs = Runs::default();
        let (first, of_first) = runs.begin(run);
        let (second, of_second) = runs.begin(run);

        runs.cancel(run);
        assert!(!of_first.is_cancelled() && of_second.is_cancelled());
        assert!(!runs.end(run, first));
        assert!(runs.end(run, second));
        assert!(!runs.end(run, second));
    }
}
