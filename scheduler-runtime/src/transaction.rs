//! What a scheduler's handle does with jobs in a transaction of the application's.

use std::any::Any;

use futures_channel::oneshot;
use scheduler_core::{
    Conflict, Error, ErrorKind, JobId, JobRow, JobSpec, JobStore, RunId, StoreName, Task,
    engine::{CallId, Command, Effect, Engine, Input, Reply, StoreCall, StoreReply},
    store::{Inserted, OnClaim, SqlStatement, Stamped, StoreError},
};
use scheduler_stores::Transaction;

use crate::{
    Job, Scheduler,
    driver::{Attachment, gone},
    jobs::{each, unanswered},
};

/// A job that is ready to be added by another client of the database than the store's; see [`Scheduler::prepare`].
///
/// ```
/// use scheduler_core::JobSpec;
/// use scheduler_runtime::{PreparedJob, Scheduler};
///
/// /// A script for `psql` or a colleague, if no value is bound.
/// async fn script(scheduler: &Scheduler) -> Result<String, scheduler_core::Error> {
///     let PreparedJob { job, statements, .. } = scheduler.prepare(JobSpec::now("greet")).await?;
///     let lines: Vec<String> = statements.into_iter().map(|statement| statement.sql + ";").collect();
///     Ok(format!("-- adds the job `{}`\n{}", job.id, lines.join("\n")))
/// }
/// # let _ = script;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PreparedJob {
    /// The job as it will be.
    pub job: JobRow,
    /// What adds it and tells the schedulers, to be run one after the other in one transaction.
    pub statements: Vec<SqlStatement>,
}

/// The call that an engine is made for.
const CALL: CallId = CallId(1);

/// Where the store calls of an engine go that are the application's to commit.
enum Calls<'t> {
    /// Into a transaction.
    Within(&'t mut (dyn Any + Send)),
    /// Into statements that are kept, if they insert.
    Prepared(Vec<SqlStatement>),
}

impl Scheduler {
    /// Adds a job in a transaction of the application's: it is there, and found by all nodes, exactly if the application commits.
    ///
    /// The transaction is one of sqlx on SQLite, PostgreSQL or MySQL, or a session of MongoDB's client with a transaction, in the
    /// database in which the job's store has its tables; see [`Transaction`]. Its pool is the application's own. Task, arguments
    /// and options are checked, and the first fire time is computed, as [`add_job`](Self::add_job) does. The conflict policies
    /// hold as well; a job that is replaced stays locked until the end of the transaction.
    ///
    /// When the transaction has been committed, PostgreSQL and replica sets of MongoDB tell all nodes at once. Nodes on SQLite and
    /// MySQL see it with their next look for changes, after a second by default (`poll`); [`wakeup`](Self::wakeup) after the
    /// commit makes this one look at once.
    ///
    /// The event [`JobAdded`](scheduler_core::EventKind::JobAdded) does not come, since the scheduler does not hear of the commit;
    /// those of the job's runs do. The job that is returned can be read. Its methods, and those of the scheduler, do not find it
    /// before the commit.
    ///
    /// ```no_run
    /// # use scheduler_stores::clients::sqlx::PgPool;
    /// # async fn example(scheduler: scheduler_runtime::Scheduler, pool: PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// use chrono::{TimeDelta, Utc};
    /// use scheduler_core::{JobSpec, trigger::Date};
    ///
    /// let in_an_hour = Date::at(Utc::now() + TimeDelta::hours(1));
    /// let mut transaction = pool.begin().await?;
    /// // What the application writes, and then
    /// scheduler.add_job_in(&mut transaction, JobSpec::new("remind", in_an_hour).id("order-7").args("ann")).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`add_job`](Self::add_job); [`ErrorKind::Store`] if the store takes part in no transaction of this kind, or
    /// if the connection is in none. After an error of the store the transaction is to be rolled back.
    pub async fn add_job_in(&self, transaction: &mut impl Transaction, spec: JobSpec) -> Result<Job, Error> {
        let mut added = self.add_jobs_in(transaction, vec![spec]).await;
        added.pop().unwrap_or_else(|| Err(unanswered()))
    }

    /// Adds many jobs in a transaction of the application's, each as [`add_job_in`](Self::add_job_in) does. The results come in the
    /// same order; those that are errors have added nothing.
    pub async fn add_jobs_in(
        &self,
        transaction: &mut impl Transaction,
        specs: Vec<JobSpec>,
    ) -> Vec<Result<Job, Error>> {
        let (mut results, batches) = self.batches(specs);
        for (store, batch) in batches {
            let mut calls = Calls::Within(transaction.connection());
            let command = Command::AddJobs(store.clone(), batch.specs);
            let added = self.stand_in(&mut calls, &store, command, &batch.closures).await;
            for (place, job) in batch.places.iter().zip(each(added, batch.places.len())) {
                results[*place] = Some(job.map(|row| self.job_handle(store.clone(), row)));
            }
        }
        results.into_iter().flatten().collect()
    }

    /// Removes a job in a transaction of the application's; see [`add_job_in`](Self::add_job_in) for what that is, and
    /// [`remove_job`](Self::remove_job) for what becomes of its runs.
    ///
    /// The job is looked for in the store to which this handle is [confined](Self::in_store), or in `default`. It stays locked
    /// until the end of the transaction. The events of its removal do not come.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; those of [`add_job_in`](Self::add_job_in) about the transaction; the store's own.
    pub async fn remove_job_in(&self, transaction: &mut impl Transaction, id: impl Into<JobId>) -> Result<(), Error> {
        let store = self.scope().cloned().unwrap_or_default();
        let command = Command::RemoveJob(Some(store.clone()), id.into());
        self.stand_in(&mut Calls::Within(transaction.connection()), &store, command, &[]).await
    }

    /// Runs a job once, when a transaction of the application's has been committed, beside its fire times; see
    /// [`add_job_in`](Self::add_job_in) for what that is, and [`run_job_now`](Self::run_job_now) for the run.
    ///
    /// The job is looked for in the store to which this handle is [confined](Self::in_store), or in `default`. It stays locked
    /// until the end of the transaction.
    ///
    /// # Errors
    ///
    /// Those of [`run_job_now`](Self::run_job_now), and those of [`add_job_in`](Self::add_job_in) about the transaction.
    pub async fn run_job_now_in(
        &self,
        transaction: &mut impl Transaction,
        id: impl Into<JobId>,
    ) -> Result<RunId, Error> {
        let store = self.scope().cloned().unwrap_or_default();
        let command = Command::RunJobNow(Some(store.clone()), id.into());
        self.stand_in(&mut Calls::Within(transaction.connection()), &store, command, &[]).await
    }

    /// The statements that add a job, for a client of the database that is not the store's: diesel, tokio-postgres, another
    /// language. They belong into one transaction, and may be part of a larger one; the job is there, and all nodes are told of
    /// it, when that is committed.
    ///
    /// Task, arguments and options are checked, and the first fire time is computed, as [`add_job`](Self::add_job) does; nothing
    /// is written. Statements that are run later than that fire time add a job that is late. Each run of them needs statements of
    /// its own. That the id is taken shows as the violation of a unique index. The store is one of SQLite, PostgreSQL or MySQL.
    ///
    /// ```no_run
    /// # async fn example(scheduler: scheduler_runtime::Scheduler) -> Result<(), Box<dyn std::error::Error>> {
    /// use scheduler_core::{JobSpec, store::SqlValue};
    ///
    /// for statement in scheduler.prepare(JobSpec::now("greet").args("ann")).await?.statements {
    ///     // With the client's own words: a query with this text,
    ///     println!("{}", statement.sql);
    ///     for value in statement.values {
    ///         match value {
    ///             SqlValue::Integer(number) => println!("to which this is bound as a BIGINT: {number}"),
    ///             SqlValue::Text(text) => println!("to which this is bound as a TEXT: {text}"),
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`add_job`](Self::add_job) but for what only the database knows; [`ErrorKind::Config`] for another
    /// [conflict policy](JobSpec::on_conflict) than the default, which takes more than a statement;
    /// [`ErrorKind::Store`] if the store is no SQL database.
    pub async fn prepare(&self, spec: JobSpec) -> Result<PreparedJob, Error> {
        if spec.conflict() != Conflict::Error {
            let message = "a job that is prepared is added or is an error; add it by `add_job_in` to replace or keep another, \
                           or say in your statement what becomes of a conflict";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let (mut results, mut batches) = self.batches(vec![spec]);
        let Some((store, batch)) = batches.pop() else {
            return Err(results.pop().flatten().and_then(Result::err).unwrap_or_else(unanswered));
        };
        let mut calls = Calls::Prepared(Vec::new());
        let command = Command::AddJobs(store.clone(), batch.specs);
        let added = self.stand_in(&mut calls, &store, command, &batch.closures).await;
        let job = each(added, 1).next().unwrap_or_else(|| Err(unanswered()))?;
        let Calls::Prepared(statements) = calls else { return Err(unanswered()) };
        Ok(PreparedJob { job, statements })
    }

    /// Gives a command to an engine of its own, which knows what the scheduler's does, and closures too, of which it says that no
    /// database keeps them.
    async fn stand_in<T>(
        &self,
        calls: &mut Calls<'_>,
        store: &StoreName,
        command: Command,
        closures: &[Option<Task>],
    ) -> Result<T, Error>
    where
        T: TryFrom<Reply, Error = Error>,
    {
        let (lend, lent) = oneshot::channel();
        let attachment = Attachment::LendStore(lend);
        let mut engine: Box<Engine> = self.call_with(Command::InTransaction(store.clone()), attachment).await?;
        let store = lent.await.map_err(|_| gone())?;
        let closures = closures.iter().flatten().map(|task| task.name().clone()).collect();
        engine.handle(self.runtime().now(), Input::Command(CallId(0), Command::AddTasks(closures)));
        engine.handle(self.runtime().now(), Input::Command(CALL, command));
        T::try_from(self.answer(&mut engine, &*store, calls).await?)
    }

    /// The answer of an engine whose store calls are performed one after the other.
    async fn answer(&self, engine: &mut Engine, store: &dyn JobStore, calls: &mut Calls<'_>) -> Result<Reply, Error> {
        while let Some(effect) = engine.poll_effect() {
            match effect {
                Effect::Reply(CALL, result) => return result,
                Effect::Store(op, _, call) => {
                    let held = self.runtime().hold_time();
                    let mut result = calls.perform(store, call).await;
                    drop(held);
                    if let Ok(reply) = &mut result {
                        self.registry().resolve_reply(reply);
                    }
                    engine.handle(self.runtime().now(), Input::Stored(op, result));
                }
                // Nothing is told before the application has committed, of which the scheduler does not hear.
                Effect::Reply(..) | Effect::Notify(_) | Effect::Start(_) | Effect::Cancel(_) => {}
            }
        }
        Err(unanswered())
    }
}

impl Calls<'_> {
    async fn perform(&mut self, store: &dyn JobStore, mut call: StoreCall) -> Result<StoreReply, StoreError> {
        match (self, &mut call) {
            (Self::Within(transaction), StoreCall::Update(_, update)) => {
                // The job is locked by then, so that a node which has claimed it cannot settle before the end of the transaction.
                update.on_claim = OnClaim::Void;
                store.perform_in(*transaction, call).await
            }
            (Self::Within(transaction), _) => store.perform_in(*transaction, call).await,
            (Self::Prepared(statements), StoreCall::Insert(now, jobs)) => {
                for job in &**jobs {
                    statements.extend(store.insertion(job)?);
                }
                Ok(StoreReply::Insert(Stamped { now: *now, value: vec![Inserted::Added; jobs.len()] }))
            }
            // Adding a job without a policy for conflicts takes an insert alone.
            (Self::Prepared(_), _) => call.perform(store).await,
        }
    }
}
