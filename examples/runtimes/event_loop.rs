//! A game drives the scheduler: once in each frame, on its own thread, without ever waiting for it.
//!
//!     cargo run -p examples-runtimes --bin event_loop
//!     cargo run -p examples-runtimes --bin event_loop -- --simulated
//!
//! You see a second and a half of play at 60 frames a second: monsters that appear by a schedule and share the world with the
//! game loop in an `Rc`, a world that is saved on another thread meanwhile, and a player who pauses the monsters from there.
//! With `--simulated` the game gives the scheduler a time of its own, and plays ten minutes at once.
//!
//! The loop of a toolkit does the same with a timer instead of frames: `examples/glib_loop`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    cell::RefCell,
    rc::Rc,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use apscheduler::prelude::*;

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);

#[derive(Default)]
struct World {
    frames: u64,
    monsters: Vec<String>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let is_simulated = std::env::args().any(|argument| argument == "--simulated");
    let world: Rc<RefCell<World>> = Rc::default();
    let scheduler = schedules(&world)?;
    // What a toolkit calls the queue of its events.
    let (wake, wakes) = mpsc::channel();
    scheduler.on_wake(move || _ = wake.send(()));

    if is_simulated {
        let mut now = SystemClock::now();
        while world.borrow().frames < 10 * 60 * 60 {
            scheduler.pump(now);
            world.borrow_mut().frames += 1;
            now = now.after(FRAME);
        }
    } else {
        let player = player(scheduler.handle());
        while world.borrow().frames < 90 {
            scheduler.pump(SystemClock::now());
            world.borrow_mut().frames += 1;
            draw_and_wait(FRAME);
        }
        player.join().map_err(|_| "the player has given up")??;
    }
    let world = world.borrow();
    println!("after {} frames there are {} monsters", world.frames, world.monsters.len());
    if let Some(last) = world.monsters.last() {
        println!("the last of them is {last}");
    }
    end(&scheduler, &wakes)
}

/// A scheduler with what the game wants done when.
fn schedules(world: &Rc<RefCell<World>>) -> Result<Pumped, Failure> {
    let scheduler = Scheduler::builder(ThreadRuntime::new()?)
        // Takes its time, on a thread of the runtime's. No frame waits for it.
        .blocking_task("save", |name: String| println!("saved {name} on thread {:?}", thread::current().name()))
        .pumped()?;
    let of_task = Rc::clone(world);
    scheduler.task("monster", move |kind: String| {
        let world = Rc::clone(&of_task);
        async move {
            let mut world = world.borrow_mut();
            let monster = format!("the {kind} of frame {}", world.frames);
            world.monsters.push(monster);
        }
    })?;
    let handle = scheduler.handle();
    // Awaited within the pumps.
    scheduler.spawn_local(async move {
        let added = async {
            let often = Interval::every(Duration::from_millis(100));
            handle.add_job(JobSpec::new("monster", often).id("monsters").args("troll")).await?;
            handle.add_job(JobSpec::now("save").args("the first level")).await?;
            handle.start().await
        };
        if let Err(error) = added.await {
            println!("nothing will happen in this game: {error}");
        }
    });
    Ok(scheduler)
}

/// Another thread, which has a handle.
fn player(scheduler: Scheduler) -> thread::JoinHandle<Result<(), Error>> {
    thread::spawn(move || {
        draw_and_wait(Duration::from_millis(600));
        smol::block_on(scheduler.pause_job("monsters"))?;
        println!("the player has had enough of them");
        Ok(())
    })
}

/// A stand-in for a graphics card, which shows a frame when the last one is over.
#[expect(clippy::disallowed_methods, reason = "the example shows real time")]
fn draw_and_wait(time: Duration) {
    thread::sleep(time);
}

/// An orderly end: what runs may end, and the loop goes on until it has.
fn end(scheduler: &Pumped, wakes: &Receiver<()>) -> Result<(), Failure> {
    scheduler.handle().begin_shutdown(ShutdownMode::Wait)?;
    while !scheduler.is_ended() {
        match scheduler.pump(SystemClock::now()) {
            Some(wait) => _ = wakes.recv_timeout(wait),
            None if scheduler.is_ended() => break,
            None => wakes.recv()?,
        }
    }
    println!("the scheduler has shut down");
    Ok(())
}
