//! Thousands of cooperative tasks on one thread, as with gevent: they share an `Rc` and need no lock.
//!
//!     cargo run -p examples-runtimes --bin gevent_like
//!
//! You see ten thousand visits counted by ten thousand jobs that ran at the same time on the main thread, each waiting for
//! the others at a barrier that only opens when all of them have arrived.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use apscheduler::prelude::*;

const TASKS: usize = 10_000;

/// Not `Send`, and need not be.
#[derive(Default)]
struct Barrier {
    arrived: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Barrier {
    async fn arrive(&self) {
        self.arrived.set(self.arrived.get() + 1);
        std::future::poll_fn(|cx| {
            if self.arrived.get() == TASKS {
                self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
                return std::task::Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            std::task::Poll::Pending
        })
        .await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the example shows real time")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = Scheduler::builder(ThreadRuntime::new()?).local()?;
    let barrier: Rc<Barrier> = Rc::default();
    let left = Rc::new(Cell::new(TASKS));
    let handle = scheduler.handle();
    let main_thread = thread::current().id();
    scheduler.task("visit", {
        let (barrier, left) = (Rc::clone(&barrier), Rc::clone(&left));
        move || {
            let (barrier, left, handle) = (Rc::clone(&barrier), Rc::clone(&left), handle.clone());
            async move {
                barrier.arrive().await;
                assert_eq!(thread::current().id(), main_thread, "every task runs on the main thread");
                left.set(left.get() - 1);
                if left.get() == 0 {
                    handle.shutdown(ShutdownMode::Now).await?;
                }
                Ok::<(), Error>(())
            }
        }
    })?;

    let begin = Instant::now();
    let soon = chrono::Utc::now() + Duration::from_millis(500);
    for job in scheduler.add_jobs((0..TASKS).map(|_| JobSpec::new("visit", Date::at(soon))).collect()) {
        job?;
    }
    println!("{TASKS} jobs added in {:?}, all due at one instant", begin.elapsed());
    scheduler.run()?;
    println!("{} visits at once on one thread", barrier.arrived.get());
    Ok(())
}
