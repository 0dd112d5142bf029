//! The spans of runs, and what is logged, as a subscriber sees them.

use std::{
    fmt::{self, Write as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use scheduler_core::{JobSpec, Outcome, engine::ShutdownMode, trigger::Interval};
use scheduler_executors::{Inline, ThreadPool, task};
use scheduler_runtime::{Builder, Runtime, Scheduler};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::{
    stage::{FaultyStore, Hand},
    world::{Log, World, at},
};

/// What a subscriber is told, as lines: events with the job of their span, and spans when they are closed.
#[derive(Clone)]
struct Story {
    told: Log,
    /// The thread at each entering of a span.
    entered: Log,
    level: Level,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!(" {value:?}:"));
        } else {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {}={value}", field.name()).unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Story {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.level && !metadata.target().starts_with("mio")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        values.record(context.span(id).unwrap().extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        self.entered.write(thread::current().name().unwrap_or("?"));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let span = context.event_span(event).map(|span| {
            let extensions = span.extensions();
            let fields = &extensions.get::<Fields>().unwrap().0;
            let job = fields.split_once("job=").unwrap().1.split(' ').next().unwrap();
            format!("[{job}]")
        });
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let text = fields.0.strip_suffix(':').unwrap_or(&fields.0);
        let level = event.metadata().level().as_str().to_lowercase();
        let span = span.map_or_else(String::new, |span| format!(" {span}"));
        self.told.write(format!("{level}{span}{text}"));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.told.write(format!("closed {}", context.span(&id).unwrap().extensions().get::<Fields>().unwrap().0));
    }
}

/// Runs a part of a test under a subscriber that hears what is at least of this level.
fn story(level: Level, test: impl FnOnce(&Story)) -> Vec<String> {
    let story = Story { told: Log::default(), entered: Log::default(), level };
    tracing::subscriber::with_default(Registry::default().with(story.clone()), || test(&story));
    story.told.read()
}

/// A world with a task that tells something before and after it waits for so many seconds.
fn world(with: impl FnOnce(Builder) -> Builder) -> World {
    let world = World::new(with);
    let clock = world.runtime.clone();
    let slow = task("slow", move |seconds: u64| {
        let clock = clock.clone();
        async move {
            tracing::info!("begins");
            clock.sleep(Duration::from_secs(seconds)).await;
            tracing::info!("ends");
        }
    });
    world.wait(world.scheduler.add_task(slow)).unwrap();
    world
}

/// The lines without what differs from run to run: the uid of the job and its node.
fn without_uids(lines: Vec<String>) -> Vec<String> {
    let without = |line: String| match line.split_once(" run=") {
        Some((before, after)) => format!("{before} {}", after.split_once(' ').unwrap().1),
        None => line,
    };
    lines.into_iter().map(without).collect()
}

#[test]
fn a_run_is_a_span_that_says_what_it_is_about_and_how_it_ended() {
    let told = story(Level::INFO, |_| {
        let world = world(|builder| builder);
        world.add(JobSpec::new("slow", Interval::seconds(60)).id("report").args(2).tags(["tenant:42", "billing"]));
        world.add(JobSpec::new("fail", Interval::seconds(60)).id("broken"));
        // The scheduler comes three seconds late to both.
        world.wait(world.scheduler.pause()).unwrap();
        world.advance(63);
        world.wait(world.scheduler.resume()).unwrap();
        world.advance(5);
    });
    let closed: Vec<_> = told.into_iter().filter(|line| line.starts_with("closed")).collect();
    assert_eq!(
        without_uids(closed),
        [
            "closed run job=broken task=fail store=default executor=default fire_time=2026-11-21T10:01:00Z attempt=1 \
             lateness=3.0 outcome=error duration=0.0",
            "closed run job=report task=slow store=default executor=default fire_time=2026-11-21T10:01:00Z attempt=1 \
             lateness=3.0 tags=billing, tenant:42 outcome=ok duration=2.0",
        ]
    );
}

#[test]
fn what_tasks_tell_is_told_in_the_span_of_their_own_run() {
    let told = story(Level::INFO, |_| {
        let world = world(|builder| builder);
        world.add(JobSpec::new("slow", Interval::seconds(60)).id("long").args(3));
        world.add(JobSpec::new("slow", Interval::seconds(60)).id("short").args(1));
        world.advance(65);
    });
    let told: Vec<_> = told.iter().filter(|line| line.starts_with("info [")).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[2..], ["info [short] ends", "info [long] ends"]);
}

#[test]
fn a_blocking_task_is_called_inside_the_span() {
    let told = story(Level::INFO, |_| {
        let world = World::new(|builder| builder.blocking_task("compress", || tracing::info!("compresses")));
        world.add(JobSpec::now("compress").id("zip"));
        world.advance(1);
    });
    assert!(told.contains(&"info [zip] compresses".to_owned()), "{told:?}");
}

#[test]
fn a_task_that_runs_in_place_is_in_the_span_and_in_it_once() {
    story(Level::INFO, |story| {
        let world = World::new(|builder| {
            let hello = || async { tracing::info!("hello") };
            builder.executor("inline", Inline::new()).task("hello", hello)
        });
        world.add(JobSpec::now("hello").id("greeting").executor("inline"));
        world.advance(1);

        let told = story.told.read();
        assert!(told.contains(&"info [greeting] hello".to_owned()), "{told:?}");
        // Once by the start, which runs it, and once by the future that gives its outcome; then once more for each drop.
        assert!(story.entered.read().len() <= 3);
    });
}

#[test]
fn a_task_that_is_polled_is_entered_once_for_each_poll() {
    story(Level::INFO, |story| {
        let world = world(|builder| builder);
        world.add(JobSpec::now("slow").id("long").args(5));
        world.advance(0);
        story.entered.read();
        world.advance(4);
        assert!(story.entered.read().is_empty());
        world.advance(1);
        // The last poll, and the drop of the future.
        assert_eq!(story.entered.read().len(), 2);
    });
}

#[test]
fn a_thread_of_a_pool_enters_the_span_while_it_calls_the_task() {
    story(Level::INFO, |story| {
        let (told, hears) = mpsc::channel();
        let world = World::new(|builder| {
            let pool = ThreadPool::new().threads(1).named("pool");
            builder.executor("pool", pool).blocking_task("compress", move || told.send(()).map_err(|e| e.to_string()))
        });
        world.add(JobSpec::now("compress").executor("pool"));
        world.advance(0);

        hears.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(story.entered.read().contains(&"pool-1".to_owned()));
    });
}

#[test]
fn a_local_task_is_in_the_span_though_it_is_not_called_through_its_dispatch() {
    let told = story(Level::INFO, |_| {
        let clock = at("10:00:00");
        let local = Scheduler::builder(clock.clone()).local().unwrap();
        local.start().unwrap();
        let not_send = std::rc::Rc::new("from here");
        local
            .task("here", move || {
                let not_send = std::rc::Rc::clone(&not_send);
                async move { tracing::info!("{not_send}") }
            })
            .unwrap();
        local.add_job(JobSpec::now("here").id("local")).unwrap();
        local.block_on(clock.sleep(Duration::from_secs(1)));
    });
    assert!(told.contains(&"info [local] from here".to_owned()), "{told:?}");
    assert!(
        told.iter().any(|line| line.starts_with("closed run job=local") && line.contains("outcome=ok")),
        "{told:?}"
    );
}

#[test]
fn a_run_that_is_dropped_or_cancelled_says_so_in_its_span() {
    let told = story(Level::INFO, |_| {
        let hand = Hand::default();
        let world = world(|builder| builder.executor("hand", hand.clone()));
        world.add(JobSpec::now("slow").id("cancelled").args(60));
        world.add(JobSpec::now("tick").id("dropped").executor("hand"));
        world.add(JobSpec::now("tick").id("crashed").executor("hand"));
        world.advance(2);
        hand.end(Outcome::Crashed("signal 11".into()));
        hand.drop_all();
        world.advance(0);
        world.wait(world.scheduler.shutdown(ShutdownMode::Now)).unwrap();
        world.advance(0);
    });
    let mut ends: Vec<_> = told
        .iter()
        .filter_map(|line| line.strip_prefix("closed run job="))
        .map(|line| format!("{}: {}", line.split_once(' ').unwrap().0, line.split_once("outcome=").unwrap().1))
        .collect();
    ends.sort();
    assert_eq!(
        ends,
        ["cancelled: cancelled duration=2.0", "crashed: cancelled duration=2.0", "dropped: crashed duration=2.0"]
    );
}

#[test]
fn lateness_is_counted_from_the_jitter_on() {
    let told = story(Level::INFO, |_| {
        let world = World::new(|builder| builder);
        let jittery = Interval::seconds(60).jitter(Duration::from_secs(30));
        world.add(JobSpec::new("tick", jittery).id("spread"));
        world.advance(95);
    });
    assert!(told.iter().any(|line| line.contains("lateness=0.0 outcome=ok")), "{told:?}");
}

#[test]
fn where_spans_are_not_wanted_there_are_none() {
    let told = story(Level::WARN, |story| {
        let world = world(|builder| builder);
        world.add(JobSpec::now("slow").id("quiet").args(1));
        world.add(JobSpec::now("fail").id("broken"));
        world.advance(2);
        assert!(story.entered.read().is_empty());
    });
    let [failed] = &told[..] else { panic!("{told:?}") };
    assert!(failed.starts_with("error run failed: "), "{failed}");
    assert!(failed.ends_with(" task=fail attempt=1 error=disk full duration=0ns"), "{failed}");
}

#[test]
fn by_default_an_operator_reads_of_the_life_of_the_scheduler_and_of_trouble() {
    let store = FaultyStore::default();
    let told = story(Level::INFO, |_| {
        let world = World::new(|builder| builder.store("default", store.clone()));
        world.add(JobSpec::new("tick", Interval::seconds(10)).id("clock").misfire_grace_time(Duration::from_secs(15)));
        world.advance(10);
        world.wait(world.scheduler.pause()).unwrap();
        world.advance(35);
        world.wait(world.scheduler.resume()).unwrap();
        store.go_away();
        world.advance(5);
        store.come_back();
        world.advance(5);
        world.wait(world.scheduler.shutdown(ShutdownMode::Wait)).unwrap();
    });
    let words = told.iter().filter(|line| !line.starts_with("closed"));
    let words: Vec<_> = words.map(|line| line.split_once(": ").map_or(&**line, |(words, _)| words)).collect();
    assert_eq!(
        words,
        [
            "info scheduler started",
            "info scheduler paused",
            "info scheduler resumed",
            "warn fire times missed",
            "info fire times coalesced",
            "warn store failed; its calls are repeated",
            "info store answers again",
            "info scheduler shut down"
        ]
    );
}
