//! Promises of `block_on`.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use scheduler_runtime::Runtime;

use super::{quiet_panic, run, yield_now};

/// `block_on` drives a future that must not leave its thread, and keeps it there.
pub fn block_on_drives_a_future_that_is_not_send(runtime: Arc<dyn Runtime>) {
    let count = Rc::new(Cell::new(0));
    let here = thread::current().id();
    let inner = Rc::clone(&count);
    runtime.block_on(Box::pin(async {
        for _ in 0..100 {
            yield_now().await;
            runtime.sleep(Duration::from_micros(10)).await;
            assert_eq!(thread::current().id(), here);
            inner.set(inner.get() + 1);
        }
    }));
    assert_eq!(count.get(), 100);
}

/// The future of `block_on` may borrow from its caller.
pub fn block_on_may_borrow(runtime: Arc<dyn Runtime>) {
    let mut words = vec!["before"];
    runtime.block_on(Box::pin(async {
        yield_now().await;
        words.push("within");
    }));
    words.push("after");
    assert_eq!(words, ["before", "within", "after"]);
}

/// A panic of the future comes out of `block_on` as it is, and the runtime stays usable.
pub fn block_on_raises_the_panic_of_its_future(runtime: Arc<dyn Runtime>) {
    let panic = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(Box::pin(async {
            yield_now().await;
            quiet_panic();
        }));
    }))
    .expect_err("the panic comes out");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"this panic is part of the promise"));

    let (done, end) = oneshot::channel();
    runtime.spawn(Box::pin(async {
        let _ = done.send(());
    }));
    assert_eq!(run(&*runtime, end), Ok(()));
}

/// Several threads may be in `block_on` at once, and their futures may wait for each other.
pub fn block_on_runs_in_several_threads_at_once(runtime: Arc<dyn Runtime>) {
    const THREADS: usize = 8;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::unbounded::<usize>()).unzip();
    thread::scope(|scope| {
        for (n, mut tokens) in receivers.into_iter().enumerate() {
            let next = senders[(n + 1) % THREADS].clone();
            let runtime = &runtime;
            scope.spawn(move || {
                run(&**runtime, async {
                    // A token goes round a hundred times; all must be there to pass it on.
                    for _ in 0..100 {
                        let token = tokens.next().await.expect("the token comes round");
                        let _ = next.unbounded_send(token + 1);
                    }
                });
            });
        }
        senders[0].unbounded_send(0).expect("the first thread listens");
    });
}

/// The future of `block_on` is woken by threads that know nothing of the runtime.
pub fn block_on_sees_a_wake_up_from_a_plain_thread(runtime: Arc<dyn Runtime>) {
    for n in 0..100 {
        let (send, receive) = oneshot::channel();
        let sender = thread::spawn(move || send.send(n));
        assert_eq!(run(&*runtime, receive), Ok(n));
        assert_eq!(sender.join().expect("the sender does not panic"), Ok(()));
    }
}
