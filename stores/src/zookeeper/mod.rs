//! Jobs in ZooKeeper, shared by any number of nodes.

mod backend;
mod call;
mod due;
mod failure;
mod names;
mod options;
mod schema;
mod session;
mod write;

use std::{collections::HashSet, fmt, sync::Mutex};

use scheduler_core::store::StoreError;
use zookeeper_client::{Acls, Client, Connector};

pub use self::options::ZooKeeperOptions;
use self::{
    call::Call,
    failure::Failures,
    names::Names,
    session::{Session, Source},
};
use crate::{ZooKeeperAccess, kit::KitStore};
use scheduler_core::forward_job_store;

/// Keeps jobs in ZooKeeper, which any number of nodes can share.
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::ZooKeeperStore;
///
/// let store = ZooKeeperStore::connect("zookeeper://zk1:2181,zk2:2181,zk3:2181").await?;
/// # Ok(())
/// # }
/// ```
///
/// The nodes are created if they are not there. Clones share one session. It works in every runtime and without one: the
/// client runs on a thread of the store's own. When the servers are away, a call fails as unavailable within twice
/// [`ZooKeeperOptions::timeout`], and the next one connects anew. Servers have to be 3.5.3 or newer.
///
/// # Durability
///
/// A call returns when the disks of a majority of the servers have what it has written. Other nodes hear of changes
/// through a watch, at once.
///
/// # Clock
///
/// ZooKeeper does not tell the time without a write, so that the clocks of the schedulers decide what is due and which
/// leases hold. Keep them in step, as with NTP. A scheduler whose clock is fast fires early by as much, and takes over from
/// others too early if it is fast by more than two thirds of a lease.
///
/// # How many jobs
///
/// The servers keep everything in memory and write each change to the disks of a majority before they answer; ZooKeeper
/// is made for little data that matters. A claim lists the jobs that are due in the same ten seconds, and a page of the
/// listing the ids of all jobs, some 40 bytes for each. Up to some ten thousand jobs this costs little. The replies have
/// no limit here, but other clients refuse those of more than a mebibyte, which the folder `jobs` has with 29,000 jobs.
///
/// Searches other than by id look at one job after the other: there is no index for them.
///
/// # Nodes
///
/// Other programs may read them, and add jobs. They are below [`ZooKeeperOptions::root`]. Documents are JSON objects, times
/// whole microseconds since 1970 in UTC. In names, all bytes but ASCII letters, digits and `-_~.` are percent-encoded; the
/// empty text is `%`, and the dots of `.` and `..` are encoded too.
///
/// | node | data |
/// |---|---|
/// | `jobs/<uid>` | a job with its open runs |
/// | `ids/<id>` | the uid, if the job is live |
/// | `due/<hour>/<slot>/<due>:<v>:<uid>:<task>` | nothing; if the job has a `due` and is not claimed |
/// | `claims/<owner>/<until>:<due or ->:<v>:<uid>:<task>` | nothing; if it is claimed |
/// | `running/<node>/<uid>`, `asked/<node>/<uid>` | nothing; if the node runs a run of it, or one that shall stop |
/// | `runs/<uid>/<seq>` | a run that has ended |
/// | `nodes/<node>` | a scheduler that holds something, and its lease |
/// | `schema` | the version of this layout |
/// | `changes` | nothing; written to when schedulers shall look |
///
/// Hours and slots are those of the due: the seconds since 1970 divided by 3,600 and by 10, rounded down. They, the folders
/// of owners and of a uid's runs are container nodes, which the servers delete once they are empty. A job and the nodes
/// that it is found by are written in one transaction.
///
/// A job has the fields `uid` (32 hexadecimal digits, drawn by who adds it), `id`, `body` (the definition,
/// [`JobBody`](scheduler_core::JobBody), as JSON text or object), `task`, `v`, `max_instances` and `history` (copies from
/// it, which have to agree with it), `state` (`active` if it is not there), `next_fire_time` and `due`, its open `runs` and
/// those that `ended` last. Fields that the store does not know stay as they are. To add one, as in Python with kazoo:
///
/// ```python
/// uid, due = uuid.uuid4().hex, 1798794000000000
/// trigger = {"type": "date", "at": "2027-01-01T09:00:00Z"}
/// job = {"uid": uid, "id": "report", "body": {"v": 1, "task": "report", "trigger": trigger},
///        "task": "report", "v": 1, "next_fire_time": due, "due": due}
/// slot = f"/scheduler/due/{due // 3600000000}/{due // 10000000}"
/// zk.ensure_path(slot)  # a plain folder does as well, but stays
/// adding = zk.transaction()
/// adding.create(f"/scheduler/jobs/{uid}", json.dumps(job).encode())
/// adding.create("/scheduler/ids/report", uid.encode())
/// adding.create(f"{slot}/{due}:1:{uid}:report")
/// adding.commit()
/// zk.set("/scheduler/changes", b"")
/// ```
///
/// A job that cannot be read is never deleted: it is listed as it is, and set to `state` `quarantined` with a `reason` when
/// it would be due. A program that changes a job's `due`, `task`, `v`, `owner` or runs moves the nodes that it is found by along;
/// an entry that is not as its job is put right when a claim meets it.
#[derive(Clone)]
#[doc(alias = "ZooKeeperJobStore")]
pub struct ZooKeeperStore {
    store: KitStore,
}

/// What the clones of a store share.
struct Shared {
    session: Session,
    failures: Failures,
    names: Names,
    options: ZooKeeperOptions,
    /// Folders that are there, unless the servers have swept them meanwhile.
    folders: Mutex<HashSet<String>>,
}

/// The most jobs, moves or entries of one call. Each is a transaction, and a server takes a thousand at a time.
const BATCH: usize = 500;

impl ZooKeeperStore {
    /// Connects to servers, as in `zookeeper://zk1:2181,zk2:2181` or `zookeeper://user:password@zk1/billing`; see
    /// [`ZooKeeperOptions::connect`].
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server can be reached, or the nodes are of a newer version.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        ZooKeeperOptions::new().connect(url).await
    }

    /// Connects with a connector of the application's; see [`ZooKeeperOptions::connect_with`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(connector: Connector, cluster: &str) -> Result<Self, StoreError> {
        ZooKeeperOptions::new().connect_with(connector, cluster).await
    }

    /// Uses a client of the application's; see [`ZooKeeperOptions::from_client`] for what it cannot do.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_client(client: Client) -> Result<Self, StoreError> {
        ZooKeeperOptions::new().from_client(client).await
    }

    async fn new(options: ZooKeeperOptions, source: Source, failures: Failures) -> Result<Self, StoreError> {
        let session = Session::new(source, failures.clone(), options.timeout)?;
        let names = Names::new(options.root.clone());
        let shared = Shared { session, failures, names, options, folders: Mutex::default() };
        let call = shared.begin().await?;
        shared.session.bound(&call.client, schema::prepare(&shared, &call.client)).await?;
        Ok(Self { store: KitStore::new(shared) })
    }
}

impl fmt::Debug for ZooKeeperStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperStore").field("documents", &self.store).finish()
    }
}

impl Shared {
    async fn begin(&self) -> Result<Call<'_>, StoreError> {
        Ok(Call { shared: self, client: self.session.client().await? })
    }

    fn acls(&self) -> Acls<'static> {
        match self.options.access {
            Some(ZooKeeperAccess::Creator) => Acls::creator_all(),
            Some(ZooKeeperAccess::Everyone) | None => Acls::anyone_all(),
        }
    }

    fn forget_folders(&self) {
        self.folders.lock().expect("nothing panics while it holds the folders").clear();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeper")
            .field("place", &self.failures.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

forward_job_store!(ZooKeeperStore => |this| this.store);
