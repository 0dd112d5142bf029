//! Tasks: the functions that jobs run, with their types erased.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    CancellationToken, ExecutorName, JobId, NodeId, PartialOptions, RunId, StateType, States, StoreName, TaskName,
};

/// A boxed future that may move between threads.
///
/// ```
/// use scheduler_core::{BoxFuture, Outcome};
///
/// fn at_once(outcome: Outcome) -> BoxFuture<'static, Outcome> {
///     Box::pin(async { outcome })
/// }
/// # drop(at_once(Outcome::Cancelled));
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A function that jobs run, registered under a name.
///
/// The typed constructors are in `scheduler-executors`; this is what they make.
///
/// # Options
///
/// It has the setters of [`JobSpec`](crate::JobSpec) for what all of its jobs shall have: [`retry`](Self::retry),
/// [`timeout`](Self::timeout), [`executor`](Self::executor) and their like. A job that says otherwise has its own; what neither
/// says is up to the scheduler's job defaults. A job gets them when it is added, and keeps them in its store: a program that
/// comes with other ones changes its jobs when it adds them again with [`Conflict::Replace`](crate::Conflict::Replace).
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use scheduler_core::{JobSpec, Outcome, Retry, Task, TaskCall, trigger::Interval};
///
/// # let call = TaskCall::Blocking(Arc::new(|_, _| Outcome::Cancelled));
/// # let check = |_: &_| Ok(());
/// let report = Task::new("report", call, check).retry(Retry::attempts(3)).timeout(Duration::from_secs(60)).executor("reports");
///
/// // Of both of these jobs a failed run is repeated; the second may take ten minutes.
/// let hourly = JobSpec::new("report", Interval::hours(1));
/// let long = JobSpec::new("report", Interval::hours(24)).timeout(Duration::from_secs(600));
/// # let _ = (report, hourly, long);
/// ```
#[derive(Clone)]
pub struct Task {
    name: TaskName,
    call: TaskCall,
    check: Check,
    states: Arc<[StateType]>,
    pub(crate) executor: Option<ExecutorName>,
    pub(crate) options: PartialOptions,
}

/// Says what is wrong with arguments.
type Check = Arc<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

/// How a task is called.
///
/// ```
/// use std::{sync::Arc, time::Instant};
/// use scheduler_core::{Task, TaskCall};
///
/// /// The same task, which says how long its calls take.
/// fn timed(task: Task) -> Task {
///     let name = task.name().clone();
///     let call = match task.call().clone() {
///         TaskCall::Async(call) => TaskCall::Async(Arc::new(move |context, args| {
///             let (future, name, start) = (call(context, args), name.clone(), Instant::now());
///             Box::pin(async move {
///                 let outcome = future.await;
///                 println!("{name} took {:?}", start.elapsed());
///                 outcome
///             })
///         })),
///         TaskCall::Blocking(call) => TaskCall::Blocking(Arc::new(move |context, args| {
///             let start = Instant::now();
///             let outcome = call(context, args);
///             println!("{name} took {:?}", start.elapsed());
///             outcome
///         })),
///     };
///     task.with_call(call)
/// }
/// ```
#[derive(Clone)]
pub enum TaskCall {
    /// The task gives a future.
    Async(Arc<dyn Fn(RunContext, Value) -> BoxFuture<'static, Outcome> + Send + Sync>),
    /// The task blocks its thread.
    Blocking(Arc<dyn Fn(RunContext, Value) -> Outcome + Send + Sync>),
}

impl Task {
    /// A task under a name. `check` says whether arguments would be understood; it is asked when a job is added.
    pub fn new(
        name: impl Into<TaskName>,
        call: TaskCall,
        check: impl Fn(&Value) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            call,
            check: Arc::new(check),
            states: Arc::default(),
            executor: None,
            options: PartialOptions::default(),
        }
    }

    /// The name under which jobs refer to the task.
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// The same task under another name.
    pub fn renamed(mut self, name: impl Into<TaskName>) -> Self {
        self.name = name.into();
        self
    }

    /// The same task, called in another way: with something around its calls.
    pub fn with_call(mut self, call: TaskCall) -> Self {
        self.call = call;
        self
    }

    /// The same task, which takes values of these types by [`State`](crate::State).
    pub fn with_states(mut self, types: impl Into<Arc<[StateType]>>) -> Self {
        self.states = types.into();
        self
    }

    /// The first of the types that the task takes by [`State`](crate::State) and that is not there.
    pub fn missing_state(&self, is_there: impl Fn(StateType) -> bool) -> Option<StateType> {
        self.states.iter().copied().find(|state| !is_there(*state))
    }

    /// The executor that runs the jobs of this task which name none. Defaults to `default`.
    pub fn executor(mut self, executor: impl Into<ExecutorName>) -> Self {
        self.executor = Some(executor.into());
        self
    }

    /// Options that the jobs of this task have unless they say otherwise; those that were given before are dropped. There is a
    /// setter for each option, too.
    pub fn options(mut self, options: PartialOptions) -> Self {
        self.options = options;
        self
    }

    /// The options that its jobs have unless they say otherwise.
    pub fn job_options(&self) -> &PartialOptions {
        &self.options
    }

    /// How the task is called.
    pub fn call(&self) -> &TaskCall {
        &self.call
    }

    /// Whether the task would understand these arguments.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn check(&self, args: &Value) -> Result<(), String> {
        (self.check)(args)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.name).finish()
    }
}

impl fmt::Debug for TaskCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Async(_) => "Async",
            Self::Blocking(_) => "Blocking",
        })
    }
}

/// What a task is told about the run it executes.
///
/// The fence grows with each claim of the job: hand it to what the task writes to, and a run that was taken over cannot
/// overwrite its successor.
///
/// ```
/// use chrono::Utc;
/// use scheduler_core::{RunContext, RunId, Uid};
///
/// /// A task that tells its attempts apart.
/// fn subject(context: &RunContext) -> String {
///     format!("{}, attempt {}", context.job_name, context.attempt)
/// }
///
/// // In a test of its own, without a scheduler:
/// let mut context = RunContext::new("report", RunId { uid: Uid(1), seq: 1 }, Utc::now());
/// context.attempt = 2;
/// assert_eq!(subject(&context), "report, attempt 2");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunContext {
    /// The job's id.
    pub job_id: JobId,
    /// The run's id, the same for all its attempts.
    pub run_id: RunId,
    /// The job's name for people.
    pub job_name: Arc<str>,
    /// The store that keeps the job.
    pub store: StoreName,
    /// The node that runs it.
    pub node: NodeId,
    /// The fire time for which it runs, which is not the time at which it starts.
    #[doc(alias = "scheduled_run_time")]
    pub fire_time: DateTime<Utc>,
    /// The attempt; 1 for the first. One that a shutdown has cut off, and that was given back, is begun anew with the same number.
    pub attempt: u32,
    /// The fencing number of the claim.
    pub fence: u64,
    /// Tells the task to stop.
    pub cancellation: CancellationToken,
    states: States,
}

impl RunContext {
    /// What a task is told of the first attempt of a run: of a job with this id and name in the store `default`, on the node `node`,
    /// under the fence 1. Other values are put into its fields.
    pub fn new(job_id: impl Into<JobId>, run_id: RunId, fire_time: DateTime<Utc>) -> Self {
        let job_id = job_id.into();
        Self {
            run_id,
            job_name: job_id.as_str().into(),
            job_id,
            store: StoreName::default(),
            node: NodeId::from("node"),
            fire_time,
            attempt: 1,
            fence: 1,
            cancellation: CancellationToken::default(),
            states: States::default(),
        }
    }

    /// The same, with the values that a task takes by [`State`](crate::State).
    pub fn with_states(mut self, states: States) -> Self {
        self.states = states;
        self
    }

    /// The values that a task takes by [`State`](crate::State).
    pub fn states(&self) -> &States {
        &self.states
    }
}

/// What came of one attempt.
///
/// ```
/// use scheduler_core::Outcome;
///
/// /// What a wrapper around tasks writes into its log.
/// fn line(outcome: &Outcome) -> String {
///     match outcome {
///         Outcome::Ok(value) => format!("returned {value}"),
///         Outcome::Error(error) | Outcome::Panicked(error) | Outcome::Crashed(error) => format!("failed: {error}"),
///         Outcome::TimedOut(after) => format!("was stopped after {after:?}"),
///         _ => "was cancelled".to_owned(),
///     }
/// }
///
/// assert_eq!(line(&Outcome::Ok(serde_json::json!(7))), "returned 7");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The task returned this; `null` if it returns nothing.
    Ok(Value),
    /// The task returned an error.
    Error(String),
    /// The task panicked with this message.
    Panicked(String),
    /// The process that ran the task died, in this way.
    Crashed(String),
    /// The task was stopped, or stopped itself when asked to.
    Cancelled,
    /// The task ran into its timeout, after this long.
    TimedOut(Duration),
}
