//! The job store that the kit makes of a backend.

use std::{any::Any, num::NonZeroU32, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, try_join, try_join3, try_join4};
use scheduler_core::{
    JobId, JobRow, JobStore, LimitKey, Listed, NodeId, Run, RunId,
    store::{
        Cancelled, Changed, Claim, Claimed, Inserted, JobCounts, JobFilter, JobPage, JobQuery, JobSearch, KeyLimit,
        KeyLimits, NodeRow, Record, Recorded, Removed, RemovedAll, RunPage, RunQuery, RunSearch, Settle, Settled,
        SqlStatement, Stamped, StoreCall, StoreError, StoreErrorKind, StoreLimits, StoreReply, Turn, TurnReply, Update,
        Updated, scan,
    },
};

use super::{
    backend::{Backend, NewJob, Session},
    caller::Caller,
    change::{Batch, Call},
    claim, listing, places,
    pruning::Pruning,
    recent::Recent,
    reports::STOPPING_JOBS,
    search,
    takeover::KnownNodes,
    verbs,
};

/// How often a verb is tried whose session meets another one, which changes nothing: each time one of them gets its way.
const ATTEMPTS: usize = 5;

/// A job store on a [`Backend`]. Clones share it.
#[derive(Debug, Clone)]
pub struct KitStore {
    backend: Arc<dyn Backend>,
    place: Arc<str>,
    recent: Arc<Recent>,
    pruning: Arc<Pruning>,
}

/// The verbs of a turn that the same node asks for.
struct Part<'t> {
    owner: &'t NodeId,
    at: DateTime<Utc>,
    record: Option<&'t Record>,
    settle: Option<&'t Settle>,
    claim: Option<&'t Claim>,
}

/// A step of setting a limit by key.
#[derive(Debug, Clone, Copy)]
enum LimitStep {
    List,
    Prepare,
    Set,
}

impl KitStore {
    /// Makes a job store of a backend.
    pub fn new(backend: impl Backend) -> Self {
        let place = backend.place().into();
        Self { backend: Arc::new(backend), place, recent: Arc::default(), pruning: Arc::default() }
    }

    /// Performs a verb in a session, and once more from the start if the session has met another one.
    async fn perform<'a, T: Send>(
        &'a self,
        verb: impl for<'s> Fn(&'s (dyn Session + 'a)) -> BoxFuture<'s, Result<T, StoreError>> + Send + Sync,
    ) -> Result<T, StoreError> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let session = self.backend.begin().await?;
            let replied = match verb(&*session).await {
                Ok(reply) => session.commit().await.map(|()| reply),
                Err(error) => Err(error),
            };
            if replied.is_err() {
                session.undo().await;
            }
            if replied.is_ok() || attempts == 0 || !session.has_met_another() {
                return replied;
            }
        }
    }

    /// What is remembered: nothing in a transaction, which locks what it loads.
    fn recent(&self, session: &dyn Session) -> Option<&Recent> {
        (!session.is_transaction()).then_some(&*self.recent)
    }

    async fn perform_part(&self, session: &dyn Session, part: Part<'_>) -> Result<TurnReply, StoreError> {
        let mut reply = TurnReply::default();
        let Part { owner, at, record, settle, claim } = part;
        let place = &*self.place;
        let keys = verbs::keys(record, settle);
        let stopping = async {
            match record {
                Some(_) => session.stopping(owner, STOPPING_JOBS).await,
                None => Ok(Vec::new()),
            }
        };
        let recent = self.recent(session);
        // Whether a move needs places is decided before its job is written, which is what shows whether that is still as it was.
        let remembered = recent.filter(|_| !places::are_concerned(None, settle));
        let batch = Batch::remember(session, remembered, keys);
        // A transaction locks the node later, and needs to know before only whether it is there.
        let is_read = !session.is_transaction() || record.is_some() && settle.is_some();
        let node = async { if is_read { session.node(owner).await } else { Ok(None) } };
        let (now, node, batch, stopping) = try_join4(session.now(at), node, batch, stopping).await?;
        // Without a lease, others have taken what the node held.
        let is_covered = node.as_ref().and_then(|node| node.lease_until).is_some_and(|until| until > now);
        let batch = if is_covered { batch } else { batch.load_remembered(session).await? };
        let mut caller = Caller::new(Call { session, place, recent, now }, owner, node);
        let is_one_step = caller.is_known() && !places::are_handed_on(record, settle);
        if is_one_step || record.is_none() || settle.is_none() {
            (reply.record, reply.settle) =
                verbs::record_and_settle(&mut caller, batch, record, settle, stopping).await?;
        } else {
            // Whether an unknown node has lost its runs shows after the record, and before the settle makes it known. And the places of
            // runs that have ended are free when their ends are written.
            places::lock(session, record, settle).await?;
            reply.record = verbs::record_and_settle(&mut caller, batch, record, None, stopping).await?.0;
            let batch = Batch::remember(session, remembered, verbs::keys(None, settle)).await?;
            reply.settle = verbs::record_and_settle(&mut caller, batch, None, settle, Vec::new()).await?.1;
        }
        if let Some(claim) = claim {
            reply.claim = Some(claim::claim(&mut caller, None, claim, &self.pruning).await?);
        }
        Ok(reply)
    }

    async fn perform_turn(&self, session: &dyn Session, turn: &Turn) -> Result<TurnReply, StoreError> {
        let Turn { record, settle, claim } = turn;
        let (record, settle, claim) = (record.as_ref(), settle.as_ref(), claim.as_ref());
        let first = record.map(|it| (&it.owner, it.at)).or_else(|| settle.map(|it| (&it.owner, it.at)));
        let Some((owner, at)) = first.or_else(|| claim.map(|it| (&it.owner, it.at))) else {
            return Ok(TurnReply::default());
        };
        let is_same = settle.is_none_or(|it| it.owner == *owner) && claim.is_none_or(|it| it.owner == *owner);
        if is_same {
            return self.perform_part(session, Part { owner, at, record, settle, claim }).await;
        }
        let mut reply = TurnReply::default();
        if let Some(record) = record {
            let part = Part { owner: &record.owner, at: record.at, record: Some(record), settle: None, claim: None };
            reply.record = self.perform_part(session, part).await?.record;
        }
        if let Some(settle) = settle {
            let part = Part { owner: &settle.owner, at: settle.at, record: None, settle: Some(settle), claim: None };
            reply.settle = self.perform_part(session, part).await?.settle;
        }
        if let Some(claim) = claim {
            reply.claim = Some(self.perform_claim(session, claim).await?);
        }
        Ok(reply)
    }

    /// A turn answers the verbs that it carries; if it does not, that is a fault of the kit.
    fn unanswered(&self) -> StoreError {
        let message = format!("{}: a verb was not answered; this is a bug of scheduler-stores", self.place);
        StoreError::new(StoreErrorKind::Incompatible, message)
    }

    /// Performs a call in the session that is given.
    async fn reply_within(&self, session: &dyn Session, call: StoreCall) -> Result<StoreReply, StoreError> {
        let (place, limits) = (&*self.place, self.limits());
        Ok(match call {
            StoreCall::Insert(at, jobs) => StoreReply::Insert(verbs::insert(session, at, &jobs, limits.payload).await?),
            StoreCall::Update(at, update) => {
                StoreReply::Update(verbs::update(session, place, at, &update, limits.payload).await?)
            }
            StoreCall::Cancel(at, job, run) => StoreReply::Cancel(verbs::cancel(session, place, at, &job, run).await?),
            StoreCall::Remove(at, ids) => StoreReply::Remove(verbs::remove(session, place, at, &ids).await?),
            StoreCall::RemoveAll(at) => {
                StoreReply::RemoveAll(verbs::remove_all(session, place, at, limits.batch).await?)
            }
            StoreCall::Job(id) => StoreReply::Job(listing::job(session, &id).await?.map(Box::new)),
            StoreCall::Jobs(query) => StoreReply::Jobs(listing::jobs(session, &query).await?),
            StoreCall::Runs(query) => StoreReply::Runs(listing::runs(session, &query).await?),
            StoreCall::Search(_) => {
                let message =
                    format!("{place}: a search is made in no transaction of the application; make it beside that");
                return Err(StoreError::new(StoreErrorKind::Incompatible, message));
            }
            StoreCall::SetKeyLimit(..) => {
                let message = format!(
                    "{place}: a limit by key is set in no transaction of the application, since runs are to be seen that start \
                     meanwhile; set it beside that"
                );
                return Err(StoreError::new(StoreErrorKind::Incompatible, message));
            }
            StoreCall::Turn(_) | StoreCall::Release(..) | StoreCall::Changed(_) => {
                let message =
                    format!("{place}: what nodes do for themselves is done in no transaction of the application");
                return Err(StoreError::new(StoreErrorKind::Incompatible, message));
            }
        })
    }

    async fn change_limit(
        &self,
        at: DateTime<Utc>,
        step: LimitStep,
        key: &LimitKey,
        limit: Option<NonZeroU32>,
    ) -> Result<(), StoreError> {
        let payload = self.limits().payload;
        self.perform(|session| {
            Box::pin(async move {
                let call = Call { session, place: &self.place, recent: None, now: session.now(at).await? };
                match (step, limit) {
                    (LimitStep::List, _) => places::list(call, key, limit, payload).await,
                    (LimitStep::Prepare, Some(limit)) => places::prepare(call, key, limit, payload).await,
                    (LimitStep::Prepare, None) => Ok(()),
                    (LimitStep::Set, _) => places::set(call, key, limit).await,
                }
            })
        })
        .await
    }

    async fn perform_claim(&self, session: &dyn Session, claim: &Claim) -> Result<Claimed, StoreError> {
        let node = async { if session.is_transaction() { Ok(None) } else { session.node(&claim.owner).await } };
        let (now, node, nodes) = try_join3(session.now(claim.at), node, KnownNodes::load(session)).await?;
        let mut caller =
            Caller::new(Call { session, place: &self.place, recent: self.recent(session), now }, &claim.owner, node);
        claim::claim(&mut caller, Some(nodes), claim, &self.pruning).await
    }
}

#[async_trait]
impl JobStore for KitStore {
    fn limits(&self) -> StoreLimits {
        self.backend.limits().with_key_limits(KeyLimits::Kept)
    }

    fn warnings(&self) -> Vec<String> {
        self.backend.warnings()
    }

    async fn insert(&self, at: DateTime<Utc>, jobs: &[JobRow]) -> Result<Stamped<Vec<Inserted>>, StoreError> {
        let payload = self.limits().payload;
        self.perform(|session| Box::pin(verbs::insert(session, at, jobs, payload))).await
    }

    async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
        let payload = self.limits().payload;
        self.perform(|session| Box::pin(verbs::update(session, &self.place, at, update, payload))).await
    }

    async fn cancel(&self, at: DateTime<Utc>, job: &JobId, run: RunId) -> Result<Stamped<Cancelled>, StoreError> {
        self.perform(|session| Box::pin(verbs::cancel(session, &self.place, at, job, run))).await
    }

    async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
        self.perform(|session| Box::pin(verbs::remove(session, &self.place, at, ids))).await
    }

    async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
        let page = self.limits().batch;
        self.perform(|session| Box::pin(verbs::remove_all(session, &self.place, at, page))).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
        listing::job(&*self.backend.begin_reading().await?, id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
        listing::jobs(&*self.backend.begin_reading().await?, query).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        listing::runs(&*self.backend.begin_reading().await?, query).await
    }

    async fn search_jobs(&self, search: &JobSearch) -> Result<JobPage, StoreError> {
        let session = self.backend.begin_reading().await?;
        if let Some(finder) = session.job_finder() {
            return search::jobs(&*session, finder, search).await;
        }
        if search.filter.is_of_finished() {
            return search::finished(&*session, search).await;
        }
        // A database may have one session at a time.
        drop(session);
        scan::jobs(self, search).await
    }

    async fn count_jobs(&self, filter: &JobFilter) -> Result<JobCounts, StoreError> {
        let session = self.backend.begin_reading().await?;
        if let Some(finder) = session.job_finder() {
            return search::count(&*session, finder, filter).await;
        }
        if filter.is_of_finished() {
            return search::count_finished(&*session, filter).await;
        }
        // A database may have one session at a time.
        drop(session);
        scan::count(self, filter).await
    }

    async fn search_runs(&self, search: &RunSearch) -> Result<RunPage, StoreError> {
        let session = self.backend.begin_reading().await?;
        if let Some(finder) = session.run_finder() {
            return search::runs(&*session, finder, search).await;
        }
        // A database may have one session at a time.
        drop(session);
        scan::runs(self, search).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        listing::nodes(&*self.backend.begin_reading().await?).await
    }

    async fn set_key_limit(
        &self,
        at: DateTime<Utc>,
        key: &LimitKey,
        limit: Option<NonZeroU32>,
    ) -> Result<(), StoreError> {
        // Each step is there for all before the next one begins.
        self.change_limit(at, LimitStep::List, key, limit).await?;
        if limit.is_some() {
            self.change_limit(at, LimitStep::Prepare, key, limit).await?;
        }
        self.change_limit(at, LimitStep::Set, key, limit).await?;
        if limit.is_some() {
            // Another call may have taken the limit away and the key from the list.
            self.change_limit(at, LimitStep::List, key, limit).await?;
        }
        Ok(())
    }

    async fn key_limits(&self, key: Option<&LimitKey>) -> Result<Vec<KeyLimit>, StoreError> {
        places::limits(&*self.backend.begin_reading().await?, key).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.perform(|session| Box::pin(self.perform_claim(session, claim))).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        let part = || Part { owner: &settle.owner, at: settle.at, record: None, settle: Some(settle), claim: None };
        let reply = self.perform(|session| Box::pin(self.perform_part(session, part()))).await?;
        reply.settle.ok_or_else(|| self.unanswered())
    }

    async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        let part = || Part { owner: &record.owner, at: record.at, record: Some(record), settle: None, claim: None };
        let reply = self.perform(|session| Box::pin(self.perform_part(session, part()))).await?;
        reply.record.ok_or_else(|| self.unanswered())
    }

    async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
        let page = self.limits().batch;
        self.perform(|session| {
            Box::pin(async move {
                let (now, node) = try_join(session.now(at), session.node(owner)).await?;
                verbs::release(
                    &mut Caller::new(
                        Call { session, place: &self.place, recent: self.recent(session), now },
                        owner,
                        node,
                    ),
                    page,
                )
                .await
            })
        })
        .await?;
        self.recent.forget();
        self.backend.after_release().await;
        Ok(())
    }

    async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
        self.backend.changed(seen).await
    }

    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        self.perform(|session| Box::pin(self.perform_turn(session, turn))).await
    }

    async fn perform_in(&self, transaction: &mut (dyn Any + Send), call: StoreCall) -> Result<StoreReply, StoreError> {
        let session = self.backend.begin_in(transaction).await?;
        let reply = self.reply_within(&*session, call).await?;
        session.commit().await?;
        Ok(reply)
    }

    fn insertion(&self, job: &JobRow) -> Result<Vec<SqlStatement>, StoreError> {
        let body = verbs::body_of(job, self.limits().payload)?;
        self.backend.insertion(&NewJob { row: job, body: &body }).ok_or_else(|| {
            let message = format!(
                "{}: it is no SQL database, so that no statements add a job to it; SQLite, PostgreSQL and MySQL are",
                self.place
            );
            StoreError::new(StoreErrorKind::Incompatible, message)
        })
    }
}
