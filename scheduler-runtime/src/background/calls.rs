//! The calls of a scheduler as blocking ones, for handles that are not async.

/// The calls of [`Scheduler`] as blocking ones, over `block` and `job_handle`.
macro_rules! blocking_calls {
    ($handle:ty, $job:ty) => {
        impl $handle {
            /// Takes no more jobs until resumed; see [`Scheduler::pause`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::pause`].
            pub fn pause(&self) -> Result<(), Error> {
                self.block(self.scheduler.pause())
            }

            /// Takes jobs again; see [`Scheduler::resume`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::resume`].
            pub fn resume(&self) -> Result<(), Error> {
                self.block(self.scheduler.resume())
            }

            /// Asks the scheduler to end and does not wait for that; see [`Scheduler::begin_shutdown`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::begin_shutdown`].
            pub fn begin_shutdown(&self, mode: ShutdownMode) -> Result<(), Error> {
                self.scheduler.begin_shutdown(mode)
            }

            /// What the scheduler is doing.
            pub fn state(&self) -> SchedulerState {
                self.block(self.scheduler.state())
            }

            /// Whether the scheduler has been started and has not shut down.
            #[doc(alias = "running")]
            pub fn is_running(&self) -> bool {
                self.block(self.scheduler.is_running())
            }

            /// How the scheduler is; see [`Scheduler::health`].
            pub fn health(&self) -> Health {
                self.block(self.scheduler.health())
            }

            /// Registers the implementation of a custom trigger; see [`Scheduler::add_trigger`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_trigger`].
            pub fn add_trigger(
                &self,
                name: impl Into<String>,
                implementation: impl CustomTrigger + 'static,
            ) -> Result<(), Error> {
                self.scheduler.add_trigger(name, implementation)
            }

            /// Makes the scheduler look at once for what is due; see [`Scheduler::wakeup`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::wakeup`].
            pub fn wakeup(&self) -> Result<(), Error> {
                self.block(self.scheduler.wakeup())
            }

            /// Adds a job; see [`Scheduler::add_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_job`].
            pub fn add_job(&self, spec: JobSpec) -> Result<$job, Error> {
                self.block(self.scheduler.add_job(spec)).map(|job| self.job_handle(job))
            }

            /// Adds many jobs; see [`Scheduler::add_jobs`].
            pub fn add_jobs(&self, specs: Vec<JobSpec>) -> Vec<Result<$job, Error>> {
                let added = self.block(self.scheduler.add_jobs(specs));
                added.into_iter().map(|job| job.map(|job| self.job_handle(job))).collect()
            }

            /// The statements that add a job by another client of the database; see [`Scheduler::prepare`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::prepare`].
            pub fn prepare(&self, spec: JobSpec) -> Result<PreparedJob, Error> {
                self.block(self.scheduler.prepare(spec))
            }

            /// The job with this id; see [`Scheduler::job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::job`].
            #[doc(alias = "get_job")]
            pub fn job(&self, id: impl Into<JobId>) -> Result<Option<$job>, Error> {
                Ok(self.block(self.scheduler.job(id))?.map(|job| self.job_handle(job)))
            }

            /// All jobs; see [`Scheduler::jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::jobs`].
            #[doc(alias = "get_jobs")]
            pub fn jobs(&self) -> Result<Vec<$job>, Error> {
                let jobs = self.block(self.scheduler.jobs())?;
                Ok(jobs.into_iter().map(|job| self.job_handle(job)).collect())
            }

            /// All jobs that a filter means; see [`Scheduler::find_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::find_jobs`].
            pub fn find_jobs(&self, filter: JobFilter) -> Result<Vec<$job>, Error> {
                let jobs = self.block(self.scheduler.find_jobs(filter))?;
                Ok(jobs.into_iter().map(|job| self.job_handle(job)).collect())
            }

            /// A page of the jobs that a filter means; see [`Scheduler::search_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::search_jobs`].
            pub fn search_jobs(
                &self,
                filter: JobFilter,
                order: JobOrder,
                page: Page,
            ) -> Result<FoundJobs<$job>, Error> {
                let found = self.block(self.scheduler.search_jobs(filter, order, page))?;
                Ok(found.map(|job| self.job_handle(job)))
            }

            /// How many jobs that a filter means are in each state; see [`Scheduler::count_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::count_jobs`].
            pub fn count_jobs(&self, filter: JobFilter) -> Result<JobCounts, Error> {
                self.block(self.scheduler.count_jobs(filter))
            }

            /// A page of the runs that a filter means; see [`Scheduler::search_runs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::search_runs`].
            pub fn search_runs(&self, filter: RunFilter, page: Page) -> Result<FoundRuns, Error> {
                self.block(self.scheduler.search_runs(filter, page))
            }

            /// The nodes that hold something in a store; see [`Scheduler::nodes`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::nodes`].
            pub fn nodes(&self) -> Result<Vec<(StoreName, NodeRow)>, Error> {
                self.block(self.scheduler.nodes())
            }

            /// Limits how many runs under a key may be running at once; see [`Scheduler::set_limit`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::set_limit`].
            pub fn set_limit(&self, key: impl Into<LimitKey>, limit: u32) -> Result<(), Error> {
                self.block(self.scheduler.set_limit(key, limit))
            }

            /// Takes the limit of a key away; see [`Scheduler::remove_limit`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_limit`].
            pub fn remove_limit(&self, key: impl Into<LimitKey>) -> Result<(), Error> {
                self.block(self.scheduler.remove_limit(key))
            }

            /// The limit of a key; see [`Scheduler::limit`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::limit`].
            pub fn limit(&self, key: impl Into<LimitKey>) -> Result<Option<KeyLimit>, Error> {
                self.block(self.scheduler.limit(key))
            }

            /// The limits of all keys that have one; see [`Scheduler::limits`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::limits`].
            pub fn limits(&self) -> Result<Vec<(StoreName, KeyLimit)>, Error> {
                self.block(self.scheduler.limits())
            }

            /// Pauses the active jobs that a filter means; see [`Scheduler::pause_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::pause_jobs`].
            pub fn pause_jobs(&self, filter: JobFilter) -> Result<GroupDone, Error> {
                self.block(self.scheduler.pause_jobs(filter))
            }

            /// Pauses the active jobs that a filter means, with a note, who does it, or an end; see [`Scheduler::pause_jobs_with`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::pause_jobs_with`].
            pub fn pause_jobs_with(&self, filter: JobFilter, pause: Pause) -> Result<GroupDone, Error> {
                self.block(self.scheduler.pause_jobs_with(filter, pause))
            }

            /// Resumes the paused jobs that a filter means; see [`Scheduler::resume_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::resume_jobs`].
            pub fn resume_jobs(&self, filter: JobFilter) -> Result<GroupDone, Error> {
                self.block(self.scheduler.resume_jobs(filter))
            }

            /// Removes the jobs that a filter means; see [`Scheduler::remove_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_jobs`].
            pub fn remove_jobs(&self, filter: JobFilter) -> Result<GroupDone, Error> {
                self.block(self.scheduler.remove_jobs(filter))
            }

            /// Runs the jobs that a filter means once, now; see [`Scheduler::run_jobs_now`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::run_jobs_now`].
            pub fn run_jobs_now(&self, filter: JobFilter) -> Result<GroupDone, Error> {
                self.block(self.scheduler.run_jobs_now(filter))
            }

            /// Gives the jobs that a filter means another trigger; see [`Scheduler::reschedule_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::reschedule_jobs`].
            pub fn reschedule_jobs(&self, filter: JobFilter, trigger: impl Into<Trigger>) -> Result<GroupDone, Error> {
                self.block(self.scheduler.reschedule_jobs(filter, trigger))
            }

            /// Changes properties of the jobs that a filter means; see [`Scheduler::modify_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::modify_jobs`].
            pub fn modify_jobs(&self, filter: JobFilter, change: JobChange) -> Result<GroupDone, Error> {
                self.block(self.scheduler.modify_jobs(filter, change))
            }

            /// The rows that cannot be read; see [`Scheduler::unreadable_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::unreadable_jobs`].
            pub fn unreadable_jobs(&self) -> Result<Vec<(StoreName, RawJob)>, Error> {
                self.block(self.scheduler.unreadable_jobs())
            }

            /// The newest runs of a job; see [`Scheduler::runs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::runs`].
            pub fn runs(&self, id: impl Into<JobId>, limit: usize) -> Result<Vec<Run>, Error> {
                self.block(self.scheduler.runs(id, limit))
            }

            /// The run with this id; see [`Scheduler::find_run`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::find_run`].
            pub fn find_run(&self, run: RunId) -> Result<Option<Run>, Error> {
                self.block(self.scheduler.find_run(run))
            }

            /// The newest runs of a job by its uid; see [`Scheduler::history`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::history`].
            pub fn history(&self, uid: Uid, limit: usize) -> Result<Vec<Run>, Error> {
                self.block(self.scheduler.history(uid, limit))
            }

            /// Waits for the end of a run; see [`Scheduler::wait_for`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::wait_for`].
            pub fn wait_for(&self, run: RunId) -> Result<Run, Error> {
                self.block(self.scheduler.wait_for(run))
            }

            /// Why a job did, did not, or will (not) run at a time; see [`Scheduler::explain`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::explain`].
            pub fn explain<Z: TimeZone>(&self, id: impl Into<JobId>, at: DateTime<Z>) -> Result<Explanation, Error> {
                self.block(self.scheduler.explain(id, at))
            }

            /// Changes properties of a job; see [`Scheduler::modify_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::modify_job`].
            pub fn modify_job(&self, id: impl Into<JobId>, change: JobChange) -> Result<$job, Error> {
                self.block(self.scheduler.modify_job(id, change)).map(|job| self.job_handle(job))
            }

            /// Gives a job another trigger; see [`Scheduler::reschedule_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::reschedule_job`].
            pub fn reschedule_job(&self, id: impl Into<JobId>, trigger: impl Into<Trigger>) -> Result<$job, Error> {
                self.block(self.scheduler.reschedule_job(id, trigger)).map(|job| self.job_handle(job))
            }

            /// Keeps a job from firing; see [`Scheduler::pause_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::pause_job`].
            pub fn pause_job(&self, id: impl Into<JobId>) -> Result<$job, Error> {
                self.block(self.scheduler.pause_job(id)).map(|job| self.job_handle(job))
            }

            /// Keeps a job from firing, with a note, who does it, or an end; see [`Scheduler::pause_job_with`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::pause_job_with`].
            pub fn pause_job_with(&self, id: impl Into<JobId>, pause: Pause) -> Result<$job, Error> {
                self.block(self.scheduler.pause_job_with(id, pause)).map(|job| self.job_handle(job))
            }

            /// Lets a job fire again; see [`Scheduler::resume_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::resume_job`].
            pub fn resume_job(&self, id: impl Into<JobId>) -> Result<$job, Error> {
                self.block(self.scheduler.resume_job(id)).map(|job| self.job_handle(job))
            }

            /// Runs a job once, now; see [`Scheduler::run_job_now`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::run_job_now`].
            pub fn run_job_now(&self, id: impl Into<JobId>) -> Result<RunId, Error> {
                self.block(self.scheduler.run_job_now(id))
            }

            /// Asks a run of a job to stop; see [`Scheduler::cancel_run`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::cancel_run`].
            pub fn cancel_run(&self, id: impl Into<JobId>, run: RunId) -> Result<(), Error> {
                self.block(self.scheduler.cancel_run(id, run))
            }

            /// Removes a job; see [`Scheduler::remove_job`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_job`].
            pub fn remove_job(&self, id: impl Into<JobId>) -> Result<(), Error> {
                self.block(self.scheduler.remove_job(id))
            }

            /// Removes all jobs; see [`Scheduler::remove_all_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_all_jobs`].
            pub fn remove_all_jobs(&self) -> Result<u64, Error> {
                self.block(self.scheduler.remove_all_jobs())
            }

            /// Writes a list of all jobs for people; see [`Scheduler::print_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::print_jobs`].
            pub fn print_jobs(&self, out: &mut (dyn std::io::Write + Send)) -> Result<(), Error> {
                self.block(self.scheduler.print_jobs(out))
            }

            /// All jobs in their exported form; see [`Scheduler::export_jobs`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::export_jobs`].
            pub fn export_jobs(&self) -> Result<Vec<ExportedJob>, Error> {
                self.block(self.scheduler.export_jobs())
            }

            /// Adds exported jobs; see [`Scheduler::import_jobs`].
            pub fn import_jobs(&self, jobs: Vec<ExportedJob>, conflict: Conflict) -> Vec<Result<$job, Error>> {
                let added = self.block(self.scheduler.import_jobs(jobs, conflict));
                added.into_iter().map(|job| job.map(|job| self.job_handle(job))).collect()
            }

            /// Registers a task; see [`Scheduler::add_task`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_task`].
            pub fn add_task(&self, task: Task) -> Result<(), Error> {
                self.block(self.scheduler.add_task(task))
            }

            /// Gives a task up; see [`Scheduler::remove_task`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_task`].
            pub fn remove_task(&self, name: impl Into<TaskName>) -> Result<(), Error> {
                self.block(self.scheduler.remove_task(name))
            }

            /// Adds a store; see [`Scheduler::add_store`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_store`].
            #[doc(alias = "add_jobstore")]
            pub fn add_store(&self, name: impl Into<StoreName>, store: impl JobStore) -> Result<(), Error> {
                self.block(self.scheduler.add_store(name, store))
            }

            /// Gives a store up; see [`Scheduler::remove_store`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_store`].
            #[doc(alias = "remove_jobstore")]
            pub fn remove_store(&self, name: impl Into<StoreName>) -> Result<(), Error> {
                let name = name.into();
                self.scheduler.refuse_own_removal(&name)?;
                self.block(self.scheduler.remove_store(name))
            }

            /// Adds an executor; see [`Scheduler::add_executor`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::add_executor`].
            pub fn add_executor(&self, name: impl Into<ExecutorName>, executor: impl Executor) -> Result<(), Error> {
                self.block(self.scheduler.add_executor(name, executor))
            }

            /// Gives an executor up; see [`Scheduler::remove_executor`].
            ///
            /// # Errors
            ///
            /// Those of [`Scheduler::remove_executor`].
            pub fn remove_executor(&self, name: impl Into<ExecutorName>) -> Result<(), Error> {
                self.block(self.scheduler.remove_executor(name))
            }

            /// Calls a function at each event in a set; see [`Scheduler::add_listener`].
            pub fn add_listener(
                &self,
                mask: EventMask,
                listener: impl Fn(&Event) + Send + Sync + 'static,
            ) -> ListenerId {
                self.scheduler.add_listener(mask, listener)
            }

            /// Awaits an async function at each event in a set; see [`Scheduler::add_async_listener`].
            pub fn add_async_listener<F>(
                &self,
                mask: EventMask,
                listener: impl Fn(Arc<Event>) -> F + Send + 'static,
            ) -> ListenerId
            where
                F: Future<Output = ()> + Send + 'static,
            {
                self.scheduler.add_async_listener(mask, listener)
            }

            /// Removes a listener. False if it is not there.
            pub fn remove_listener(&self, id: ListenerId) -> bool {
                self.scheduler.remove_listener(id)
            }

            /// The events in a set as a stream; see [`Scheduler::events`].
            pub fn events(&self, mask: EventMask) -> EventStream {
                self.scheduler.events(mask)
            }

            /// The events in a set as a stream that holds this many; see [`Scheduler::events_with_capacity`].
            pub fn events_with_capacity(&self, mask: EventMask, capacity: usize) -> EventStream {
                self.scheduler.events_with_capacity(mask, capacity)
            }
        }
    };
}

pub(crate) use blocking_calls;
