//! How a store reaches its collections.

use std::time::Duration;

use ::mongodb::{Client, options::ClientOptions};
use scheduler_core::store::{Clock, StoreError};

use super::{MongoDbStore, failure::Failures, server::Server};
use crate::{kit::columns::READ_LIMIT, name::check_name, private_tokio::PrivateTokio};

/// Options of a [`MongoDbStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::MongoDbOptions;
///
/// let options = MongoDbOptions::new().database("billing").collection_prefix("jobs_")?;
/// let store = options.connect("mongodb://db1,db2,db3/?replicaSet=rs0").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MongoDbOptions {
    pub(super) prefix: String,
    pub(super) database: Option<String>,
    pub(super) clock: Clock,
    pub(super) payload: usize,
    pub(super) poll: Duration,
}

/// How long the driver looks for a server, or for a connection to it, unless the URL says otherwise.
const LOOK_FOR_SERVER: Duration = Duration::from_secs(5);

impl Default for MongoDbOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl MongoDbOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "scheduler_".to_owned(),
            database: None,
            clock: Clock::Server,
            payload: 1 << 20,
            poll: Duration::from_secs(1),
        }
    }

    /// What the names of the collections begin with, so that several schedulers can live in one database. Defaults to
    /// `scheduler_`.
    ///
    /// # Errors
    ///
    /// The prefix is not made of at most 32 ASCII letters, digits and underscores, or begins with a digit.
    pub fn collection_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        check_name("collection prefix", prefix, u8::is_ascii_alphabetic, None)?;
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// The database. Defaults to that of the URL or the client, or else to `apscheduler`.
    pub fn database(mut self, name: &str) -> Self {
        self.database = Some(name.to_owned());
        self
    }

    /// Whose clock decides what is due and which leases hold. Defaults to the server's, which is the same for all nodes.
    ///
    /// [`Clock::Caller`] is for tests on a virtual time: the nodes' clocks have to agree then.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The largest definition of a job in bytes of JSON. Defaults to 1 MiB, since it is read at each firing, and since a
    /// document, which has 16 MiB at most, has the job's open runs too.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(READ_LIMIT);
        self
    }

    /// How often a stand-alone server is asked for changes by other nodes. Defaults to one second; less than 1 ms
    /// counts as that. A replica set tells of
    /// them by itself.
    pub fn poll(mut self, period: Duration) -> Self {
        self.poll = period;
        self
    }

    /// Connects to the servers of a URL, as in `mongodb://localhost:27017/app` or
    /// `mongodb+srv://user:password@cluster.example.com/`.
    ///
    /// The driver's options in it hold, but for defaults: five seconds to find a server that takes writes and to
    /// connect to it (`serverSelectionTimeoutMS`, `connectTimeoutMS`), and a write concern of `majority` (`w`).
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server can be reached, or the collections are those of a newer version.
    pub async fn connect(self, url: &str) -> Result<MongoDbStore, StoreError> {
        let tokio = PrivateTokio::start()?;
        let url = url.to_owned();
        let client = async move {
            let mut options = ClientOptions::parse(url).await?;
            options.server_selection_timeout.get_or_insert(LOOK_FOR_SERVER);
            options.connect_timeout.get_or_insert(LOOK_FOR_SERVER);
            let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
            Ok((Client::with_options(options)?, hosts))
        };
        let client: Result<_, ::mongodb::error::Error> = tokio.run(client).await;
        let (client, hosts) = client.map_err(|error| Failures::unplaced().of(error))?;
        self.open(tokio, &client, &hosts).await
    }

    /// Uses a client of the application.
    ///
    /// Its connections live on the runtime of tokio in which it was created, so the store works for as long as that is
    /// there and running. Its options hold, among them how long it looks for a server (thirty seconds by default); the
    /// store gives up on a call after ten seconds.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_client(self, client: &Client) -> Result<MongoDbStore, StoreError> {
        self.open(PrivateTokio::start()?, client, &["the servers of the application's client".to_owned()]).await
    }

    async fn open(
        mut self,
        tokio: PrivateTokio,
        client: &Client,
        hosts: &[String],
    ) -> Result<MongoDbStore, StoreError> {
        let default = || client.default_database().map(|database| database.name().to_owned());
        let name = self.database.take().or_else(default).unwrap_or_else(|| "apscheduler".to_owned());
        let server = Server::new(tokio, client, &name, &self.prefix, Failures::new(&name, hosts));
        self.database = Some(name);
        MongoDbStore::open(server, self).await
    }
}
