//! Limits by key: how many runs of all jobs with a limit key may be running at once, over all nodes.

use std::num::NonZeroU32;

use scheduler_core::{
    Error, ErrorKind, LimitKey, StoreName,
    engine::{Command, Search},
    store::KeyLimit,
};

use crate::Scheduler;

impl Scheduler {
    /// Lets at most `limit` runs of all jobs with this [key](scheduler_core::JobSpec::limit_key) be running at once, over all nodes.
    ///
    /// The limit is kept in the store, also beyond the end of this scheduler, and holds from the next run that starts, on whichever
    /// node. A lower one ends nothing that runs; a higher one is used at once. In a scheduler with several stores the limit is set
    /// in each, which counts the runs of its own jobs.
    ///
    /// ```
    /// use scheduler_core::{JobSpec, trigger::Interval};
    /// # use scheduler_runtime::Scheduler;
    /// # async fn example(scheduler: Scheduler) -> Result<(), scheduler_core::Error> {
    /// scheduler.set_limit("tenant-42", 3).await?;
    /// for report in ["sales", "stock", "returns", "staff"] {
    ///     let job = JobSpec::new("report", Interval::minutes(5)).id(format!("42-{report}")).limit_key("tenant-42");
    ///     scheduler.add_job(job).await?;
    /// }
    /// // Whatever is due at once, three of the four run, and the fourth when one of them has ended.
    /// let limit = scheduler.limit("tenant-42").await?.expect("it was set");
    /// println!("{} of {} run, {} wait", limit.running, limit.limit, limit.waiting);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a limit of 0 or beyond [`KeyLimit::HIGHEST`] and for a key that is empty, too long or has a NUL; the
    /// store's own, as of one that keeps no limits.
    pub async fn set_limit(&self, key: impl Into<LimitKey>, limit: u32) -> Result<(), Error> {
        let key = key.into();
        let Some(limit) = NonZeroU32::new(limit) else {
            let message = format!("limit key `{key}`: a limit of 0: at least 1; to keep jobs from running, pause them");
            return Err(Error::new(ErrorKind::Config, message));
        };
        self.set_key_limit(&key, Some(limit)).await
    }

    /// Takes the limit of a key away: what waits for it is due at once. A key that has none stays as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a key that is empty, too long or has a NUL; the store's own.
    pub async fn remove_limit(&self, key: impl Into<LimitKey>) -> Result<(), Error> {
        self.set_key_limit(&key.into(), None).await
    }

    /// The limit of a key, with how many runs have places and how many jobs wait; none if it has no limit. In a scheduler with several
    /// stores, that of the first store that has one.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn limit(&self, key: impl Into<LimitKey>) -> Result<Option<KeyLimit>, Error> {
        let key = key.into();
        for store in self.stores().await? {
            if let Some(limit) = self.limit_in(&store, key.clone()).await? {
                return Ok(Some(limit));
            }
        }
        Ok(None)
    }

    /// The limits of all keys that have one, by store and key.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn limits(&self) -> Result<Vec<(StoreName, KeyLimit)>, Error> {
        let mut all = Vec::new();
        for store in self.stores().await? {
            let limits: Vec<KeyLimit> = self.call(Command::Search(store.clone(), Search::KeyLimits(None))).await?;
            all.extend(limits.into_iter().map(|limit| (store.clone(), limit)));
        }
        Ok(all)
    }

    /// The limit of a key in a store.
    pub(crate) async fn limit_in(&self, store: &StoreName, key: LimitKey) -> Result<Option<KeyLimit>, Error> {
        let limits: Vec<KeyLimit> = self.call(Command::Search(store.clone(), Search::KeyLimits(Some(key)))).await?;
        Ok(limits.into_iter().next())
    }

    async fn set_key_limit(&self, key: &LimitKey, limit: Option<NonZeroU32>) -> Result<(), Error> {
        for store in self.stores().await? {
            self.call::<()>(Command::SetKeyLimit(store, key.clone(), limit)).await?;
        }
        Ok(())
    }
}
