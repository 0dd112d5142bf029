//! Stores of a builder by their URLs.

use scheduler_core::{Error, ErrorKind, StoreName, store::StoreError};
use scheduler_runtime::Builder;

use crate::{store::StoreConfig, url::StoreUrl};

/// Adds stores by URL to a [`Builder`]; in the prelude of `apscheduler`, if the feature `config` is on.
pub trait BuilderByUrl: Sized {
    /// Adds the store of a URL under a name, with the store's own defaults; see [`StoreUrl`] for what is known. It is opened when
    /// the scheduler starts, as [`Builder::open_store`] says, which
    /// [waits](Builder::wait_for_stores) for a database that is not there yet.
    ///
    /// A URL that names no store, or one whose feature is not switched on, is an error of building. The errors of `start` name the
    /// store and the URL without its password.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use scheduler_config::BuilderByUrl;
    /// use scheduler_runtime::Scheduler;
    /// use scheduler_thread::ThreadRuntime;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheduler = Scheduler::builder(ThreadRuntime::new()?)
    ///     .store_url("default", "memory:") // Or `postgres://app:secret@db.example.com/app`.
    ///     .wait_for_stores(Duration::from_secs(60))
    ///     .background()?;
    /// scheduler.start()?;
    ///
    /// let wrong = Scheduler::builder(ThreadRuntime::new()?).store_url("default", "oracle://app:secret@db/app").build();
    /// let message = wrong.unwrap_err().to_string();
    /// assert!(message.starts_with("store `default`: store url `oracle://app:***@db/app`: no store has the scheme"), "{message}");
    /// # Ok(())
    /// # }
    /// ```
    fn store_url(self, name: impl Into<StoreName>, url: &str) -> Self;
}

impl BuilderByUrl for Builder {
    fn store_url(self, name: impl Into<StoreName>, url: &str) -> Self {
        let name = name.into();
        let config = url.parse().map(StoreConfig::new).and_then(|config| config.check_feature().map(|()| config));
        match config {
            Ok(config) => self.open_store(name, move || {
                let config = config.clone();
                async move { config.connect().await.map_err(|error| with_url(&config.url, error)) }
            }),
            Err(error) => {
                let message = format!("store `{name}`: {error}");
                self.refuse(Error::new(ErrorKind::Config, message).with_source(error))
            }
        }
    }
}

/// The error with the URL in front, whose password is hidden, unless it begins with that.
fn with_url(url: &StoreUrl, error: StoreError) -> StoreError {
    StoreError::new(error.kind(), format!("{url}: {error}")).with_source(error)
}
