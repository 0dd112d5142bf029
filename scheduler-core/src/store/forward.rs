//! A job store that is made of another one.

/// Implements [`JobStore`](crate::JobStore) for a type that has another job store in it, to which each call goes.
///
/// ```
/// use scheduler_core::{JobStore, forward_job_store};
///
/// /// A store with a name of its own, for messages.
/// #[derive(Debug)]
/// struct Named {
///     name: String,
///     inner: Box<dyn JobStore>,
/// }
///
/// forward_job_store!(Named => |store| store.inner);
/// ```
#[macro_export]
macro_rules! forward_job_store {
    ($store:ty => |$this:ident| $inner:expr) => {
        const _: () = {
            use $crate::__private::{DateTime, Utc, async_trait};

            #[async_trait]
            impl $crate::JobStore for $store {
                fn limits(&self) -> $crate::store::StoreLimits {
                    let $this = self;
                    $inner.limits()
                }

                fn warnings(&self) -> ::std::vec::Vec<::std::string::String> {
                    let $this = self;
                    $inner.warnings()
                }

                async fn insert(
                    &self,
                    at: DateTime<Utc>,
                    jobs: &[$crate::JobRow],
                ) -> ::std::result::Result<
                    $crate::store::Stamped<::std::vec::Vec<$crate::store::Inserted>>,
                    $crate::store::StoreError,
                > {
                    let $this = self;
                    $inner.insert(at, jobs).await
                }

                async fn update(
                    &self,
                    at: DateTime<Utc>,
                    update: &$crate::store::Update,
                ) -> ::std::result::Result<$crate::store::Stamped<$crate::store::Updated>, $crate::store::StoreError>
                {
                    let $this = self;
                    $inner.update(at, update).await
                }

                async fn cancel(
                    &self,
                    at: DateTime<Utc>,
                    job: &$crate::JobId,
                    run: $crate::RunId,
                ) -> ::std::result::Result<$crate::store::Stamped<$crate::store::Cancelled>, $crate::store::StoreError>
                {
                    let $this = self;
                    $inner.cancel(at, job, run).await
                }

                async fn remove(
                    &self,
                    at: DateTime<Utc>,
                    ids: &[$crate::JobId],
                ) -> ::std::result::Result<
                    $crate::store::Stamped<::std::vec::Vec<$crate::store::Removed>>,
                    $crate::store::StoreError,
                > {
                    let $this = self;
                    $inner.remove(at, ids).await
                }

                async fn remove_all(
                    &self,
                    at: DateTime<Utc>,
                ) -> ::std::result::Result<$crate::store::Stamped<$crate::store::RemovedAll>, $crate::store::StoreError>
                {
                    let $this = self;
                    $inner.remove_all(at).await
                }

                async fn job(
                    &self,
                    id: &$crate::JobId,
                ) -> ::std::result::Result<::std::option::Option<$crate::Listed>, $crate::store::StoreError> {
                    let $this = self;
                    $inner.job(id).await
                }

                async fn jobs(
                    &self,
                    query: &$crate::store::JobQuery,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::Listed>, $crate::store::StoreError> {
                    let $this = self;
                    $inner.jobs(query).await
                }

                async fn runs(
                    &self,
                    query: &$crate::store::RunQuery,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::Run>, $crate::store::StoreError> {
                    let $this = self;
                    $inner.runs(query).await
                }

                async fn search_jobs(
                    &self,
                    search: &$crate::store::JobSearch,
                ) -> ::std::result::Result<$crate::store::JobPage, $crate::store::StoreError> {
                    let $this = self;
                    $inner.search_jobs(search).await
                }

                async fn count_jobs(
                    &self,
                    filter: &$crate::store::JobFilter,
                ) -> ::std::result::Result<$crate::store::JobCounts, $crate::store::StoreError> {
                    let $this = self;
                    $inner.count_jobs(filter).await
                }

                async fn search_runs(
                    &self,
                    search: &$crate::store::RunSearch,
                ) -> ::std::result::Result<$crate::store::RunPage, $crate::store::StoreError> {
                    let $this = self;
                    $inner.search_runs(search).await
                }

                async fn nodes(
                    &self,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::store::NodeRow>, $crate::store::StoreError> {
                    let $this = self;
                    $inner.nodes().await
                }

                async fn set_key_limit(
                    &self,
                    at: DateTime<Utc>,
                    key: &$crate::LimitKey,
                    limit: ::std::option::Option<::std::num::NonZeroU32>,
                ) -> ::std::result::Result<(), $crate::store::StoreError> {
                    let $this = self;
                    $inner.set_key_limit(at, key, limit).await
                }

                async fn key_limits(
                    &self,
                    key: ::std::option::Option<&$crate::LimitKey>,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::store::KeyLimit>, $crate::store::StoreError>
                {
                    let $this = self;
                    $inner.key_limits(key).await
                }

                async fn claim(
                    &self,
                    claim: &$crate::store::Claim,
                ) -> ::std::result::Result<$crate::store::Claimed, $crate::store::StoreError> {
                    let $this = self;
                    $inner.claim(claim).await
                }

                async fn settle(
                    &self,
                    settle: &$crate::store::Settle,
                ) -> ::std::result::Result<$crate::store::Settled, $crate::store::StoreError> {
                    let $this = self;
                    $inner.settle(settle).await
                }

                async fn record(
                    &self,
                    record: &$crate::store::Record,
                ) -> ::std::result::Result<$crate::store::Recorded, $crate::store::StoreError> {
                    let $this = self;
                    $inner.record(record).await
                }

                async fn release(
                    &self,
                    at: DateTime<Utc>,
                    owner: &$crate::NodeId,
                ) -> ::std::result::Result<(), $crate::store::StoreError> {
                    let $this = self;
                    $inner.release(at, owner).await
                }

                async fn changed(
                    &self,
                    seen: u64,
                ) -> ::std::result::Result<$crate::store::Changed, $crate::store::StoreError> {
                    let $this = self;
                    $inner.changed(seen).await
                }

                async fn turn(
                    &self,
                    turn: &$crate::store::Turn,
                ) -> ::std::result::Result<$crate::store::TurnReply, $crate::store::StoreError> {
                    let $this = self;
                    $inner.turn(turn).await
                }

                async fn perform_in(
                    &self,
                    transaction: &mut (dyn ::std::any::Any + Send),
                    call: $crate::store::StoreCall,
                ) -> ::std::result::Result<$crate::store::StoreReply, $crate::store::StoreError> {
                    let $this = self;
                    $inner.perform_in(transaction, call).await
                }

                fn insertion(
                    &self,
                    job: &$crate::JobRow,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::store::SqlStatement>, $crate::store::StoreError>
                {
                    let $this = self;
                    $inner.insertion(job)
                }
            }
        };
    };
}
