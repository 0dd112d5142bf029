//! The port's face of a store whose database is a server.

/// Makes a job store of a type that has a [`Transaction`](crate::sql::Transaction) named `Tx` and a `connection::read` beside
/// it, and in its field `database` what they take, with `limits` and `changed`, in which stores differ.
macro_rules! job_store {
    ($store:ty) => {
        const _: () = {
            use chrono::{DateTime, Utc};
            use scheduler_core::{JobId, JobRow, JobStore, Listed, NodeId, Run, RunId, store::*};

            use crate::{
                kit::columns::decode_run,
                sql::{self, transact},
            };

            #[async_trait::async_trait]
            impl JobStore for $store {
                fn limits(&self) -> StoreLimits {
                    self.database.limits()
                }

                async fn insert(
                    &self,
                    at: DateTime<Utc>,
                    jobs: &[JobRow],
                ) -> Result<Stamped<Vec<Inserted>>, StoreError> {
                    let payload = self.database.options.payload;
                    transact!(&self.database, tx => sql::insert(&mut tx, at, jobs, payload))
                }

                async fn update(&self, at: DateTime<Utc>, update: &Update) -> Result<Stamped<Updated>, StoreError> {
                    let payload = self.database.options.payload;
                    transact!(&self.database, tx => sql::update(&mut tx, at, update, payload))
                }

                async fn cancel(
                    &self,
                    at: DateTime<Utc>,
                    job: &JobId,
                    run: RunId,
                ) -> Result<Stamped<Cancelled>, StoreError> {
                    transact!(&self.database, tx => sql::cancel(&mut tx, at, job, run))
                }

                async fn remove(&self, at: DateTime<Utc>, ids: &[JobId]) -> Result<Stamped<Vec<Removed>>, StoreError> {
                    transact!(&self.database, tx => sql::remove(&mut tx, at, ids))
                }

                async fn remove_all(&self, at: DateTime<Utc>) -> Result<Stamped<RemovedAll>, StoreError> {
                    transact!(&self.database, tx => sql::remove_all(&mut tx, at, sql::BATCH))
                }

                async fn job(&self, id: &JobId) -> Result<Option<Listed>, StoreError> {
                    let rows = connection::read(&self.database, || sql::job(&self.database.sql, id)).await?;
                    Ok(rows.first().map(sql::listed))
                }

                async fn jobs(&self, query: &JobQuery) -> Result<Vec<Listed>, StoreError> {
                    let rows = connection::read(&self.database, || sql::jobs(&self.database.sql, query)).await?;
                    Ok(rows.iter().map(sql::listed).collect())
                }

                async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
                    let rows = connection::read(&self.database, || sql::runs(&self.database.sql, query)).await?;
                    Ok(rows.iter().filter_map(|row| decode_run(row).ok()).collect())
                }

                async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
                    transact!(&self.database, tx => sql::claim(&mut tx, claim))
                }

                async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
                    transact!(&self.database, tx => sql::settle(&mut tx, settle))
                }

                async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
                    transact!(&self.database, tx => sql::record(&mut tx, record))
                }

                async fn release(&self, at: DateTime<Utc>, owner: &NodeId) -> Result<(), StoreError> {
                    transact!(&self.database, tx => sql::release(&mut tx, at, owner))
                }

                async fn changed(&self, seen: u64) -> Result<Changed, StoreError> {
                    self.database.changed(seen).await
                }

                async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
                    transact!(&self.database, tx => sql::turn(&mut tx, turn))
                }
            }
        };
    };
}
pub(crate) use job_store;
