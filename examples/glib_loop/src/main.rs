//! The main loop of GLib, which GTK and GNOME programs run on, drives the scheduler.
//!
//!     sudo apt-get install libglib2.0-dev
//!     cargo run --manifest-path examples/glib_loop/Cargo.toml
//!
//! You see a program whose only loop is GLib's. A clock of its own ticks there beside jobs that share an `Rc` with it; a job
//! that blocks is on another thread meanwhile, and a job is added from yet another. After a second the scheduler shuts down in
//! good order, and the loop with it.
//!
//! Two things connect both: a timeout, set anew after each pump for the time at which the next is wanted, and an idle source,
//! added from whichever thread has something to do earlier.

use std::{
    cell::{Cell, RefCell},
    error::Error as StdError,
    rc::{Rc, Weak},
    thread,
    time::Duration,
};

use apscheduler::prelude::*;
use glib::{ControlFlow, MainLoop, Priority, SourceId};

fn main() -> Result<(), Box<dyn StdError>> {
    let runtime = ThreadRuntime::new()?;
    let compress = |name: String| println!("compressed {name} on thread {:?}", thread::current().name());
    let scheduler = Scheduler::builder(runtime).blocking_task("compress", compress).pumped()?;

    let messages: Rc<RefCell<Vec<String>>> = Rc::default();
    let of_task = Rc::clone(&messages);
    scheduler.task("note", move |text: String| {
        of_task.borrow_mut().push(text);
        std::future::ready(())
    })?;
    let handle = scheduler.handle();
    scheduler.spawn_local(async move {
        if let Err(error) = set_up(&handle).await {
            println!("nothing will happen here: {error}");
        }
    });

    let main_loop = MainLoop::new(None, false);
    let host = Host::attach(scheduler, main_loop.clone());
    let ticks = tick_beside();
    let other = add_from_another_thread(host.scheduler.handle());
    let handle = host.scheduler.handle();
    glib::timeout_add_local_once(Duration::from_secs(1), move || _ = handle.begin_shutdown(ShutdownMode::Wait));

    main_loop.run();

    other.join().map_err(|_| "the other thread has panicked")??;
    println!("GLib's own clock has ticked {} times", ticks.get());
    for text in messages.borrow().iter() {
        println!("note: {text}");
    }
    println!("the scheduler has shut down, and the loop has ended");
    Ok(())
}

async fn set_up(scheduler: &Scheduler) -> Result<(), Error> {
    scheduler
        .add_job(JobSpec::new("note", Interval::every(Duration::from_millis(250))).args("a quarter has passed"))
        .await?;
    scheduler.add_job(JobSpec::now("compress").args("yesterday.log")).await?;
    scheduler.start().await
}

/// A scheduler that GLib's default main context pumps.
struct Host {
    scheduler: Pumped,
    main_loop: MainLoop,
    /// Set for the next pump.
    timer: RefCell<Option<SourceId>>,
}

thread_local! {
    /// For sources that other threads add, which can carry nothing that is not `Send`.
    static HOST: RefCell<Weak<Host>> = const { RefCell::new(Weak::new()) };
}

impl Host {
    fn attach(scheduler: Pumped, main_loop: MainLoop) -> Rc<Self> {
        // Queued, also when called on this thread: `MainContext::invoke` would call in place.
        scheduler.on_wake(|| {
            _ = glib::idle_add_full(Priority::DEFAULT, || {
                let host = HOST.with_borrow(Weak::upgrade);
                host.as_ref().into_iter().for_each(Host::pump);
                ControlFlow::Break
            })
        });
        let host = Rc::new(Self { scheduler, main_loop, timer: RefCell::default() });
        HOST.set(Rc::downgrade(&host));
        Self::pump(&host);
        host
    }

    fn pump(host: &Rc<Self>) {
        if let Some(timer) = host.timer.take() {
            timer.remove();
        }
        let next = host.scheduler.pump(SystemClock::now());
        if host.scheduler.is_ended() {
            host.main_loop.quit();
        }
        let Some(wait) = next else { return };
        let again = Rc::clone(host);
        let timer = glib::timeout_add_local_once(in_milliseconds(wait), move || {
            // It is over, and must not be removed any more.
            drop(again.timer.take());
            Self::pump(&again);
        });
        host.timer.replace(Some(timer));
    }
}

/// GLib counts in milliseconds and rounds down: it would come too early, and several times.
fn in_milliseconds(wait: Duration) -> Duration {
    Duration::from_millis(wait.as_nanos().div_ceil(1_000_000) as u64)
}

/// What the program has on its loop besides, which the scheduler does not hold up.
fn tick_beside() -> Rc<Cell<u32>> {
    let ticks = Rc::new(Cell::new(0));
    let ticking = Rc::clone(&ticks);
    glib::timeout_add_local(Duration::from_millis(20), move || {
        ticking.set(ticking.get() + 1);
        ControlFlow::Continue
    });
    ticks
}

/// Waits for its answer there, while the main thread pumps.
fn add_from_another_thread(scheduler: Scheduler) -> thread::JoinHandle<Result<(), Error>> {
    thread::spawn(move || {
        let job = futures_executor::block_on(scheduler.add_job(JobSpec::now("note").args("from another thread")))?;
        println!("another thread has added a job to store `{}`", job.store());
        Ok(())
    })
}
