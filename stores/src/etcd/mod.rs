//! Jobs in etcd.

mod backend;
mod client;
mod failure;
mod key;
mod message;
mod options;
mod read;
mod schema;
mod watch;
mod write;

use std::fmt;

use scheduler_core::store::StoreError;
use tonic::transport::Channel;

pub use self::options::EtcdOptions;
use self::{backend::EtcdBackend, client::Client, key::Keys};
use crate::kit::KitStore;
use scheduler_core::forward_job_store;

/// Keeps jobs in an etcd cluster, which any number of nodes can share.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::EtcdStore;
///
/// let store = EtcdStore::connect("etcd://one:2379,two:2379,three:2379").await?;
/// # Ok(())
/// # }
/// ```
///
/// It works with etcd 3.4 and newer, under any runtime and without one: its connections live on a thread of tokio of
/// their own, which all stores of a process share. Clones share their connections. No `protoc` is needed to build it.
///
/// # Failures
///
/// A request that is not answered within [`EtcdOptions::timeout`], by default 5 seconds, fails; so does one that the
/// cluster refuses for want of a leader. Of several servers one is asked until it fails, then the next; a request is
/// repeated by itself if no connection came about, and once if the connection ended before the answer, so that servers
/// that are restarted one after the other are no outage. A token that has expired is renewed. A cluster whose space is
/// used up is [`ReadOnly`](scheduler_core::store::StoreErrorKind::ReadOnly) until it is compacted, defragmented, and
/// the alarm disarmed.
///
/// # Changes
///
/// Nodes hear of each other's changes at once, through a watch. No change is lost when the connection is: the next
/// watch begins at the revision at which the last one ended.
///
/// # Clocks
///
/// etcd has no clock that a client could ask, so each node's own decides what is due and which leases have passed
/// ([`Clock::Caller`](scheduler_core::store::Clock::Caller)). Keep them in step, as with NTP. A node whose clock is
/// ahead by a second starts jobs a second early, and takes over the runs of a dead node a second early. One that is ahead by more
/// than two thirds of a lease (10 seconds by default) takes runs from nodes that are alive, and they run twice. A node
/// that is behind is late in both. The leases of etcd itself are not used: they
/// count whole seconds, cannot be asked for together with what they cover, and delete keys where a run has to be kept to
/// be taken over.
///
/// # Durability and cost
///
/// What is written has reached the disks of a majority when a call returns. Each job is written in a transaction of its
/// own, and goes through only if no other call has written it since it was read; the 100 of a call travel in one request, which
/// costs one round through the cluster's log. A claim reads the entries of due jobs in their order, and has to pass over
/// those that it cannot take, because they are another node's or of a task that it does not know: ten thousand jobs of a
/// task that is gone add ten reads to each claim.
///
/// etcd keeps every old value until it is compacted, and a run writes some kilobytes: turn on
/// `--auto-compaction-mode=periodic --auto-compaction-retention=10m`, else the space (2 GiB by default) is used up by a few
/// hundred thousand runs.
///
/// A request has at most 1.5 MiB, so a definition at most 512 KiB ([`EtcdOptions::payload_limit`]); the job's open runs
/// have to fit, too, which is room for a thousand that are queued.
///
/// Searches other than by id look at one job after the other: the keys have no index for them.
///
/// # Keys
///
/// Other programs may read them, and add jobs. The names begin with [`EtcdOptions::key_prefix`], by default
/// `scheduler_`. Times are whole microseconds since 1970 in UTC, in names with 20 digits.
///
/// | key | value |
/// |---|---|
/// | `scheduler_job:UID` | a job and its open runs, as a JSON object |
/// | `scheduler_id:ID` | the uid of the live job with this id |
/// | `scheduler_due:TIME:UID` | `task`, `v`, `owner` and `claim_until` of the job that is due then, as a JSON object |
/// | `scheduler_claim:NODE:UID` | the same, of a job that a node has claimed; the node is percent-encoded |
/// | `scheduler_running:NODE:UID`, `scheduler_asked:NODE:UID` | nothing; a node runs the job, and is asked to stop it |
/// | `scheduler_node:NODE` | a scheduler that holds a claim or a running run: `lease_until`, `last_claim_seq` |
/// | `scheduler_run:UID:N` | an ended run as a JSON object; N is 2⁶⁴ - 1 - `seq` in hexadecimal, so that the newest come first |
/// | `scheduler_meta:schema`, `scheduler_meta:changes` | the version of these keys; written to tell schedulers of a change |
///
/// A job is an object with these fields; those that are not needed can be left out:
///
/// | field | value |
/// |---|---|
/// | `uid`, `id` | 32 hexadecimal digits, drawn by who adds the job; its id |
/// | `body` | the definition as JSON text ([`JobBody`](scheduler_core::JobBody)) |
/// | `task`, `v`, `max_instances`, `history` | copies from it, which have to agree with it |
/// | `state`, `reason` | `active`, `paused`, `ending`, `removed`, `kept` or `quarantined`, and why |
/// | `next_fire_time`, `due`, `last_end` | times |
/// | `revision`, `fence`, `settled_fence`, `last_seq`, `totals`, `owner`, `claim_until`, `blocked`, `nudged` | kept by schedulers |
/// | `runs`, `ended` | the open runs, and those that are yet to get a key of their own |
///
/// To add a job, put four keys in one transaction, on condition that the first two are not there:
///
/// ```text
/// $ etcdctl txn <<'END'
/// mod("scheduler_job:0123456789abcdef0123456789abcdef") = "0"
/// mod("scheduler_id:report") = "0"
///
/// put scheduler_job:0123456789abcdef0123456789abcdef "{\"id\": \"report\", \"task\": \"report\", \"v\": 1, \"next_fire_time\": 1798794000000000, \"due\": 1798794000000000, \"body\": {\"v\": 1, \"task\": \"report\", \"trigger\": {\"type\": \"date\", \"at\": \"2027-01-01T09:00:00Z\"}}}"
/// put scheduler_id:report 0123456789abcdef0123456789abcdef
/// put scheduler_due:00001798794000000000:0123456789abcdef0123456789abcdef ""
/// put scheduler_meta:changes ""
///
///
/// END
/// ```
///
/// A job that cannot be read is never deleted: it is listed as it is, and set to `quarantined` with a `reason` when it
/// would be due.
#[derive(Clone)]
#[doc(alias = "EtcdJobStore")]
pub struct EtcdStore {
    store: KitStore,
    options: EtcdOptions,
    place: String,
}

forward_job_store!(EtcdStore => |this| this.store);

impl EtcdStore {
    /// Connects to a cluster, as in `etcd://localhost` or `etcd://user:password@one:2379,two:2379/billing_`; see
    /// [`EtcdOptions::connect`].
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server answers, user or password are wrong, or the keys are of a newer version.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        EtcdOptions::new().connect(url).await
    }

    /// Uses a channel of the application; see [`EtcdOptions::from_channel`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_channel(channel: Channel) -> Result<Self, StoreError> {
        EtcdOptions::new().from_channel(channel).await
    }

    async fn open(options: EtcdOptions, client: Client) -> Result<Self, StoreError> {
        let place = client.failures().place().to_owned();
        let backend = EtcdBackend { client, keys: Keys::new(&options.prefix), options: options.clone() };
        schema::prepare(&backend).await?;
        Ok(Self { store: KitStore::new(backend), options, place })
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").field("place", &self.place).field("options", &self.options).finish_non_exhaustive()
    }
}
