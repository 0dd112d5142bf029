//! Waiting: for commands, for what comes of effects, and for time to pass.
//!
//! ```text
//! wake            → the ends of runs that are there, commands, then the alarm
//! a thousand starts → the ends that are there, commands, then further starts
//! a store answers → the ends that are there, then the answer
//! ```

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use futures_util::{FutureExt, StreamExt};
use scheduler_core::engine::{Input, SchedulerState};

use super::{Completion, Driver, Message, metrics};

/// The longest sleep: a stepped clock or a suspended machine is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How many commands are taken in before what they lead to is done: enough to make batches, too few to be felt.
const MESSAGES_AT_ONCE: usize = 256;

impl Driver {
    /// Waits for something to happen and tells the engine. False if nothing can happen any more.
    pub(super) async fn wait(&mut self) -> bool {
        let now = self.runtime.now();
        self.heartbeat.beat(now);
        metrics::on_idle(&self.engine, self.commands.len());
        let wake = self.engine.next_wake(now);
        let may_be_left = self.engine.state() == SchedulerState::Stopped;
        if may_be_left && self.held.is_closed() && self.commands.is_empty() {
            return false;
        }
        let after = wake.map_or(LONGEST_SLEEP, |wake| wake.after.min(LONGEST_SLEEP));
        if after.is_zero() {
            // The task that brings the answers which the loop waits for may be queued behind this one.
            yield_now().await;
        }
        let first = {
            let mut timer = wake.map(|_| self.runtime.sleep(after));
            let (completions, dropped, commands) = (&mut self.completions, &mut self.dropped, &self.commands);
            let mut command = pin!(commands.recv());
            let mut left = pin!(self.held.recv());
            // What has come of effects first: it frees what commands may need.
            poll_fn(move |cx| {
                if let Poll::Ready(Some(completion)) = completions.poll_next_unpin(cx) {
                    return Poll::Ready(First::Completion(completion));
                }
                if let Poll::Ready(Some(completion)) = dropped.poll_next_unpin(cx) {
                    return Poll::Ready(First::Completion(completion));
                }
                if let Poll::Ready(Ok(message)) = command.as_mut().poll(cx) {
                    return Poll::Ready(First::Message(message));
                }
                // When the last handle has gone, the next look takes that into account.
                if may_be_left && left.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(First::Timer);
                }
                match &mut timer {
                    Some(timer) => timer.as_mut().poll(cx).map(|()| First::Timer),
                    None => Poll::Pending,
                }
            })
            .await
        };
        match first {
            First::Completion(completion) => {
                if self.runs.are_several() {
                    // Others that end in the same moment are reported in the same turn.
                    yield_now().await;
                }
                self.take_in(completion);
            }
            First::Message(message) => self.command(message),
            First::Timer => {
                self.take_in_ends();
                self.engine.handle(self.runtime.now(), Input::Wake);
            }
        }
        self.take_in_ends();
        if self.take_in_commands() == Inbox::Busy {
            // On a runtime of one thread, others want to run as well.
            yield_now().await;
        }
        true
    }

    /// Takes in all that has come of effects: the ends of runs at once, the answers of stores when it is their turn. Only
    /// what is running can end, and nothing is started meanwhile.
    pub(super) fn take_in_ends(&mut self) {
        while let Some(completion) = self.completions.next().now_or_never().flatten() {
            self.take_in(completion);
        }
    }

    fn take_in(&mut self, completion: Completion) {
        match completion {
            Completion::Stored(..) => self.ready.push_back(completion),
            Completion::Finished(..) | Completion::Dropped(..) => self.complete(completion),
        }
    }

    /// Takes in what the application has asked for meanwhile.
    pub(super) fn take_in_commands(&mut self) -> Inbox {
        for _ in 0..MESSAGES_AT_ONCE {
            match self.commands.try_recv() {
                Ok(message) => self.command(message),
                Err(_) => return Inbox::Empty,
            }
        }
        Inbox::Busy
    }
}

/// Whether there is more than was taken in.
#[derive(PartialEq)]
pub(super) enum Inbox {
    Empty,
    Busy,
}

enum First {
    Completion(Completion),
    Message(Message),
    Timer,
}

/// Lets others run before it goes on.
pub(super) async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
