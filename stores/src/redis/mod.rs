//! Jobs in Redis.

mod backend;
mod connection;
mod failure;
mod find;
mod names;
mod options;
mod reply;
mod row;
mod script;
mod search;
mod setup;
mod watch;
mod write;

use std::fmt;

use scheduler_core::{forward_job_store, store::StoreError};

use self::backend::Keyspace;
pub use self::options::RedisOptions;
use crate::kit::KitStore;

/// Keeps jobs in Redis or Valkey, shared by any number of nodes.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::RedisStore;
///
/// let store = RedisStore::connect("redis://127.0.0.1:6379/0").await?;
/// # Ok(())
/// # }
/// ```
///
/// A call reads the jobs that it is about, decides what becomes of them, and writes each with all that it is found by at once,
/// only if it is as it was read; where another node was faster, the call looks at that job again. So neither a crash nor another
/// node can come in between. The server's clock decides. It takes Redis from 7.0 on, which it is tested with, or Valkey. In a
/// cluster the URL names the node that has the slot of the prefix, since all keys are in one; after the slot has moved, calls
/// fail and say where to. The server's user needs all commands, on keys and channels that begin with `{prefix}:`.
///
/// Clones share their connections: one for calls and one for news. They are served by a thread of the store, so that a
/// store works inside of tokio, of any other runtime, and without one. Connecting takes at most 5 seconds and an answer 10,
/// after which a call is [`Unavailable`](scheduler_core::store::StoreErrorKind::Unavailable); the next call connects anew.
///
/// # Durability
///
/// A call has reached the server when it returns. What the server loses when it dies is up to its configuration:
///
/// | configuration | when the server is killed | when the power fails |
/// |---|---|---|
/// | `appendonly yes`, `appendfsync always` | nothing | nothing |
/// | `appendonly yes`, `appendfsync everysec` | nothing; the last second or two if the disk was busy | the last second or two |
/// | only `save` | all since the last snapshot | all since the last snapshot |
/// | neither | everything | everything |
///
/// What is lost is lost as the last writes: an end that is forgotten makes a run be taken over and run again, an insert that is
/// forgotten never runs. A replica that takes over has the same gap, since replication does not wait. `maxmemory-policy`
/// has to be `noeviction`, the default: the others delete jobs. A server that evicts, or keeps nothing on a disk, is told of
/// when the scheduler takes the store, in the log and as a [`StoreWarning`](scheduler_core::EventKind::StoreWarning); one that
/// does not allow `INFO` is not. If the memory is full, calls are `Unavailable` and no job
/// is half-written.
///
/// # Keys
///
/// Other programs may read them, and add jobs. Times are whole microseconds since 1970 in UTC. The keys begin with the prefix
/// of [`RedisOptions::key_prefix`] in braces, by default `{scheduler}:`. A *kind* is a job's version and task, as in `1:report`.
///
/// | key | type | what it has |
/// |---|---|---|
/// | `job:UID` | hash | a job; the uid is 32 hexadecimal digits |
/// | `open:UID` | hash | its runs that have not ended, by number, in JSON |
/// | `ended:UID` | sorted set | its ended runs in JSON, scored by number |
/// | `ids` | sorted set | `ID`, a NUL and `UID` of each live job, all with score 0 |
/// | `due:KIND` | sorted set | the uids of unclaimed jobs, scored by `due` |
/// | `due` | sorted set | the kinds, scored by the lowest score in `due:KIND` |
/// | `claims:NODE` | sorted set | `UID`, a line feed and the kind of each job that a node has claimed, scored by the claim's end |
/// | `claimers` | set | the nodes that have claimed jobs |
/// | `runners` | set | the nodes that run something |
/// | `next` | sorted set | the live jobs by next fire time: `TIME`, the id, a NUL and `UID`, where `TIME` is `1` and 19 digits, `0` and the complement to 9 of each digit before 1970, or `2` if there is none |
/// | `task:TASK`, `tag:TAG`, `state:STATE` | sorted set | those of a task, with a tag, in a state other than `active`, as in `ids` |
/// | `retained` | sorted set | the uids of the jobs that are over and stay known, scored by the time until which they do |
/// | `over` | sorted set | the same jobs, as in `ids` |
/// | `runs` | sorted set | all runs by fire time: `TIME` and `UID:NUMBER`, where `NUMBER` has 16 digits |
/// | `waiting`, `verdict:VERDICT` | sorted set | those that wait, and those that ended so and not `ok` |
/// | `running:NODE`, `asked:NODE` | sorted set | `UID:NUMBER` of the runs that a node runs, or is asked to stop |
/// | `infos` | hash | the JSON of what each of these nodes says of itself: host, version, labels |
/// | `nodes` | hash | `LEASE SEQ MARK` of each node that holds something: the end of its lease, the number of its last claim, and what tells this write from others |
/// | `meta` | hash | `schema`, the version of these keys |
/// | `changes` | channel | `due TIME`, `cancel NODE` or `resync`, for schedulers that wait |
///
/// Fields of a job: `id`, `body`, the definition in JSON ([`JobBody`](scheduler_core::JobBody)), and its copies `task`,
/// `v`, `max_instances` and `history`, which have to agree with it; `state`, `reason`, `next_fire_time`, `due`,
/// `last_end`, `tags`, a copy of those of the definition, `blocked`, `nudged`, `revision`, `fence`, `settled_fence`,
/// `last_seq`, `owner`, `claim_until`, `totals`, as in `{"ok":3}`, and `version`, which each write makes greater by
/// one. A field that is not there is 0, none, `active` or a default. A program that changes a job makes its `version`
/// greater too, and what the job is found by the same, in the same transaction. To add a job, make sure that `ids` does
/// not have the id, and write in one transaction what follows. All that searches find it by is added to a job without a
/// `version` when a node first writes it: with its first claim.
///
/// ```text
/// MULTI
/// HSET {scheduler}:job:9f8e7d6c5b4a39281706f5e4d3c2b1a0 id nightly task report v 1 next_fire_time 1798794000000000
///      due 1798794000000000 body '{"v":1,"task":"report","trigger":{"type":"date","at":"2027-01-01T09:00:00Z"}}'
/// ZADD {scheduler}:ids 0 "nightly\x009f8e7d6c5b4a39281706f5e4d3c2b1a0"
/// ZADD {scheduler}:due:1:report 1798794000000000 9f8e7d6c5b4a39281706f5e4d3c2b1a0
/// ZADD {scheduler}:due LT 1798794000000000 1:report
/// PUBLISH {scheduler}:changes "due 1798794000000000"
/// EXEC
/// ```
///
/// A job that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a `reason`
/// when it would be due.
#[derive(Clone)]
#[doc(alias = "RedisJobStore")]
pub struct RedisStore {
    store: KitStore,
}

impl RedisStore {
    /// Connects to a server, as in `redis://user:password@host:6379/0`, `rediss://` for encryption, or
    /// `redis+unix:///run/redis.sock`.
    ///
    /// # Errors
    ///
    /// The URL is not valid, the server cannot be reached, or has keys of a newer version.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        RedisOptions::new().connect(url).await
    }

    /// Connects with what an application's client has of addresses, names and certificates.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_client(client: &redis::Client) -> Result<Self, StoreError> {
        RedisOptions::new().from_client(client).await
    }

    async fn new(options: RedisOptions, client: redis::Client) -> Result<Self, StoreError> {
        Ok(Self { store: KitStore::new(Keyspace::open(options, client).await?) })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.store).finish()
    }
}

forward_job_store!(RedisStore => |this| this.store);
