//! Putting a scheduler together.

mod assemble;

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use scheduler_core::{
    Error, ErrorKind, Event, EventMask, Executor, ExecutorName, JobSpec, JobStore, PartialOptions, Scheduled,
    StoreName, Task, TaskName,
    engine::Config,
    store::{NodeInfo, StoreError},
    trigger::CustomTrigger,
};
use scheduler_executors::{AsyncTaskFn, BlockingTaskFn, blocking, parameters::Parameters, task};

pub(crate) use self::assemble::check_time;
use crate::{
    Background, Blocking, Local, Pumped, Scheduler, driver::metrics, listen::Listeners, opening::Opening,
    registry::Registry, runtime::Runtime,
};

/// Puts a scheduler together: tasks, stores, executors, defaults. What is wrong with it is an error of the last step.
///
/// Without a store named `default` there is one in memory, without an executor named `default` there is
/// [`Spawn`](scheduler_executors::Spawn).
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::{EventMask, PartialOptions};
/// use scheduler_executors::ThreadPool;
/// use scheduler_runtime::Scheduler;
/// use scheduler_stores::MemoryStore;
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(ThreadRuntime::new()?)
///     .task("fetch", |url: String| async move { println!("fetching {url}") })
///     .blocking_task("compress", |path: String| println!("compressing {path}"))
///     .store("scratch", MemoryStore::new())
///     .executor("heavy", ThreadPool::new())
///     .job_defaults(PartialOptions::default().misfire_grace_time(Duration::from_secs(60)))
///     .timezone_named("Europe/Berlin")
///     .listener(EventMask::RUN_ERROR, |event| eprintln!("{event:?}"))
///     .build()?;
/// # drop(scheduler);
///
/// let wrong = Scheduler::builder(ThreadRuntime::new()?).timezone_named("Europe/Atlantis").build();
/// assert_eq!(
///     wrong.unwrap_err().to_string(),
///     "time zone `Europe/Atlantis`: the tz database has no such zone; an example is `Europe/Berlin`",
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "configure")]
pub struct Builder {
    runtime: Arc<dyn Runtime>,
    pub(crate) registry: Registry,
    tasks: Vec<TaskName>,
    stores: Vec<(StoreName, Arc<dyn JobStore>)>,
    openings: Vec<Opening>,
    store_patience: Duration,
    executors: Vec<(ExecutorName, Arc<dyn Executor>)>,
    listeners: Arc<Listeners>,
    job_defaults: PartialOptions,
    timezone: Tz,
    lease: Duration,
    accuracy: Duration,
    run_limit: usize,
    info: NodeInfo,
    errors: Vec<Error>,
}

impl Builder {
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        let defaults = Config::new("", 0);
        Self {
            runtime,
            registry: Registry::default(),
            tasks: Vec::new(),
            stores: Vec::new(),
            openings: Vec::new(),
            store_patience: Duration::ZERO,
            executors: Vec::new(),
            listeners: Arc::new(Listeners::new(metrics::on_event_dropped)),
            job_defaults: defaults.job_defaults,
            timezone: defaults.timezone,
            lease: defaults.lease,
            accuracy: defaults.accuracy,
            run_limit: defaults.run_limit,
            info: assemble::of_this_process(),
            errors: Vec::new(),
        }
    }

    /// Gives tasks a value that they take by its type, with [`State`](scheduler_core::State): what a service's tasks share, such as
    /// a pool of connections. One value of each type; each run gets a clone. It is dropped when the scheduler has ended.
    ///
    /// A task that takes state which is not given is an error of the last step, before or after which it may be registered.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use scheduler_core::State;
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// #[derive(Clone)]
    /// struct App {
    ///     greeting: Arc<str>,
    /// }
    ///
    /// async fn greet(State(app): State<App>, name: String) {
    ///     println!("{}, {name}", app.greeting);
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let app = App { greeting: "hello".into() };
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?).state(app).task("greet", greet).build()?;
    ///
    /// let without = Scheduler::builder(ThreadRuntime::new()?).task("greet", greet).build().unwrap_err();
    /// assert!(without.to_string().starts_with("task `greet` takes `State<"), "{without}");
    /// # drop(scheduler);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.errors.extend(self.registry.add_state(value).err());
        self
    }

    /// Registers an async function under a name. It takes any of [`State`](scheduler_core::State) and
    /// [`RunContext`](scheduler_core::RunContext), and behind them arguments of one type, or none; see [`task`](fn@task).
    ///
    /// A task with options for its jobs goes to [`register`](Self::register).
    pub fn task<F, P>(self, name: impl Into<TaskName>, function: F) -> Self
    where
        P: Parameters,
        F: AsyncTaskFn<P> + Send + Sync,
        F::Future: Send, // a task that is not `Send` can be one of `Scheduler::builder(..).local()`
    {
        self.register(task(name, function))
    }

    /// Registers a function that blocks its thread under a name; it takes what an async one takes.
    pub fn blocking_task<F, P>(self, name: impl Into<TaskName>, function: F) -> Self
    where
        P: Parameters,
        F: BlockingTaskFn<P>,
    {
        self.register(blocking(name, function))
    }

    /// Registers a task that was made elsewhere, such as one that has options for its jobs:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use scheduler_core::Retry;
    /// use scheduler_executors::task;
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mail = task("mail", |_to: String| async {});
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?)
    ///     .register(mail.retry(Retry::attempts(3)).timeout(Duration::from_secs(30)))
    ///     .build()?;
    /// # drop(scheduler);
    /// # Ok(())
    /// # }
    /// ```
    pub fn register(mut self, task: Task) -> Self {
        let name = task.name().clone();
        match self.registry.add_task(task) {
            Ok(()) => self.tasks.push(name),
            Err(error) => self.errors.push(error),
        }
        self
    }

    /// Registers a task, and adds the jobs that go with it when the scheduler starts; see [`Scheduled`]. APScheduler's
    /// `@scheduled_job`, also as an attribute: `apscheduler::scheduled`.
    ///
    /// The jobs are there before anything runs. An error of theirs is an error of `start`, and then nothing has started.
    #[doc(alias = "scheduled_job")]
    pub fn scheduled(mut self, scheduled: Scheduled) -> Self {
        let (task, jobs) = scheduled.into_parts();
        for job in jobs {
            self.errors.extend(self.registry.add_scheduled(job).err());
        }
        self.register(task)
    }

    /// Adds a job whenever the scheduler starts, before anything runs, as [`scheduled`](Self::scheduled) does; its task is
    /// registered by itself. An error of the job is an error of `start`, names it, and then nothing has started.
    ///
    /// It needs an id of its own, and another answer to a conflict than the default if a store keeps it over restarts:
    /// with [`Conflict::Replace`](scheduler_core::Conflict::Replace) a job that is written as it was keeps its next fire time,
    /// its pause and its history.
    ///
    /// ```
    /// use scheduler_core::{Conflict, JobSpec, trigger::Interval};
    /// use scheduler_runtime::{Scheduler, ShutdownMode};
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// let hourly = JobSpec::new("report", Interval::hours(1)).id("hourly").on_conflict(Conflict::Replace);
    /// let scheduler =
    ///     Scheduler::builder(ThreadRuntime::new()?).task("report", || async {}).job(hourly.clone()).background()?;
    /// scheduler.start()?;
    /// assert_eq!(scheduler.job("hourly")?.unwrap().body.task, "report");
    /// scheduler.shutdown(ShutdownMode::Wait)?;
    ///
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?).job(hourly).background()?;
    /// assert!(scheduler.start().unwrap_err().to_string().starts_with("scheduled job `hourly`: "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn job(mut self, job: JobSpec) -> Self {
        if job.job_id().is_some() {
            self.errors.extend(self.registry.add_scheduled(job).err());
        } else {
            let message = format!(
                "a job that runs task `{}` has no id, so that each start would add another one; give it one",
                job.task_name()
            );
            self.errors.push(Error::new(ErrorKind::Config, message));
        }
        self
    }

    /// Registers the implementation of a custom trigger under its name.
    pub fn trigger(mut self, name: impl Into<String>, implementation: impl CustomTrigger + 'static) -> Self {
        if let Err(error) = self.registry.add_trigger(name.into(), Arc::new(implementation)) {
            self.errors.push(error);
        }
        self
    }

    /// Adds a store under a name. The one named `default` is used where no other is asked for.
    #[doc(alias = "add_jobstore")]
    pub fn store(mut self, name: impl Into<StoreName>, store: impl JobStore) -> Self {
        self.stores.push((name.into(), Arc::new(store)));
        self
    }

    /// Adds a store under a name that is opened when the scheduler starts. Until then the scheduler does not know it: jobs
    /// are added to it afterwards, or with the builder ([`job`](Self::job)). The name `default` is as with
    /// [`store`](Self::store).
    ///
    /// That it cannot be opened is an error of `start`, unless it is there within the time of
    /// [`wait_for_stores`](Self::wait_for_stores). With the feature `config` a URL is enough: `store_url`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_stores::MemoryStore;
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?)
    ///     // In place of `PostgresStore::connect(..)`.
    ///     .open_store("default", || async { Ok(MemoryStore::new()) })
    ///     .wait_for_stores(Duration::from_secs(60))
    ///     .background()?;
    /// scheduler.start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_store<F, S>(mut self, name: impl Into<StoreName>, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<S, StoreError>> + Send + 'static,
        S: JobStore,
    {
        self.openings.push(Opening::new(name.into(), open));
        self
    }

    /// How long `start` waits for stores that it [opens](Self::open_store) and that are not available, as a database that starts
    /// at the same time as the service. They are tried again, at first after 100 ms, and with growing pauses each 2 s at last.
    /// Defaults to zero: one attempt. What is wrong in another way is an error at once.
    pub fn wait_for_stores(mut self, time: Duration) -> Self {
        self.store_patience = time;
        self
    }

    /// Makes something that is wrong with what was given an error of the last step.
    #[doc(hidden)]
    pub fn refuse(mut self, error: Error) -> Self {
        self.errors.push(error);
        self
    }

    /// Adds an executor under a name. The one named `default` is used where no other is asked for.
    pub fn executor(mut self, name: impl Into<ExecutorName>, executor: impl Executor) -> Self {
        self.executors.push((name.into(), Arc::new(executor)));
        self
    }

    /// Calls a function at each event in a set, from the scheduler's own loop: it must not block.
    #[doc(alias = "add_listener")]
    pub fn listener(self, mask: EventMask, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listeners.add(mask, listener);
        self
    }

    /// What jobs get where their description says nothing. Defaults to [`JobOptions::default`](scheduler_core::JobOptions).
    pub fn job_defaults(mut self, defaults: PartialOptions) -> Self {
        self.job_defaults = defaults;
        self
    }

    /// The zone of triggers that name none. Defaults to UTC: the zone of the machine is a surprise on the next one.
    pub fn timezone(mut self, zone: Tz) -> Self {
        self.timezone = zone;
        self
    }

    /// The zone of triggers that name none, by its name in the tz database.
    pub fn timezone_named(mut self, zone: &str) -> Self {
        match zone.parse() {
            Ok(zone) => self.timezone = zone,
            Err(_) => {
                let message =
                    format!("time zone `{zone}`: the tz database has no such zone; an example is `Europe/Berlin`");
                self.errors.push(Error::new(ErrorKind::Config, message));
            }
        }
        self
    }

    /// After how long without a sign of life other nodes take over this one's runs; from 100 ms to a year. Defaults to
    /// 15 s: longer than a hiccup, shorter than anybody waits.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// A label of this node: what its program wants to know it by among others, as a zone or a release. While the node
    /// holds something in a store, [`Scheduler::nodes`](crate::Scheduler::nodes) shows it there with its labels, its
    /// host (the name that the operating system has for the machine) and the version of this library.
    ///
    /// At most 4,096 bytes of labels. A key that is given again has its last value.
    ///
    /// ```
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Scheduler::builder(ThreadRuntime::new()?).node_label("zone", "eu-1").node_label("release", "2026-11-30");
    /// # drop(builder);
    /// # Ok(())
    /// # }
    /// ```
    pub fn node_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.info = self.info.with_label(key, value);
        self
    }

    /// Within how long wake-ups are merged once they come thick; from zero, which merges none, to 1 s. No run is ever
    /// early, and a lone one is precise whatever this is. Defaults to 1 ms.
    pub fn accuracy(mut self, accuracy: Duration) -> Self {
        self.accuracy = accuracy;
        self
    }

    /// The most runs that this node holds at once: those that run and those that wait for an executor with a
    /// [limit](Executor::limit); at least 1. It takes no more jobs beyond that, and leaves them to other nodes. Defaults to
    /// 100,000.
    pub fn run_limit(mut self, runs: usize) -> Self {
        self.run_limit = runs;
        self
    }

    /// Builds the scheduler and puts its loop on the runtime. Jobs can be added; they fire when it has been started.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for what is wrong with the configuration, naming it.
    #[doc(alias = "AsyncIOScheduler")]
    pub fn build(self) -> Result<Scheduler, Error> {
        let runtime = Arc::clone(&self.runtime);
        let (scheduler, driver) = self.assemble()?;
        runtime.spawn(Box::pin(driver.run()));
        Ok(scheduler)
    }

    /// Builds a scheduler whose loop has a thread of its own, for code that is not async.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); also if no thread can be started.
    #[doc(alias = "BackgroundScheduler")]
    pub fn background(self) -> Result<Background, Error> {
        Background::new(self)
    }

    /// Builds a scheduler whose `start` returns only when it has been shut down.
    ///
    /// # Errors
    ///
    /// As [`background`](Self::background).
    #[doc(alias = "BlockingScheduler")]
    pub fn blocking(self) -> Result<Blocking, Error> {
        Ok(Blocking::new(self.background()?))
    }

    /// Builds a scheduler that lives on the calling thread, with tasks that need not be `Send`.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    #[doc(alias = "GeventScheduler")]
    pub fn local(self) -> Result<Local, Error> {
        Local::new(self)
    }

    /// Builds a scheduler that the event loop of its host drives, by calls that never wait.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    #[doc(alias = "QtScheduler")]
    #[doc(alias = "TornadoScheduler")]
    #[doc(alias = "TwistedScheduler")]
    pub fn pumped(self) -> Result<Pumped, Error> {
        Pumped::new(self)
    }

    pub(crate) fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::clone(&self.runtime)
    }

    /// The same on another runtime.
    pub(crate) fn on(self, runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime, ..self }
    }

    pub(crate) fn has_executor(&self, name: &ExecutorName) -> bool {
        self.executors.iter().any(|(other, _)| other == name)
    }
}
