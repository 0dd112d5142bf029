//! The connections of a store: each lent for one call, and opened anew when it cannot be trusted any more.
//!
//! A connection is given back only by a call that has succeeded. After an error its state is unknown: SQLite undoes a
//! transaction by itself when the disk is full or fails, or memory is short, which its driver does not notice. The next
//! call opens another one.
//!
//! Before a call begins and before it is answered, the file system is asked whether the files are still those that were
//! opened. If not, all connections are closed and the call fails; the next one opens what has the name then.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use async_lock::MutexGuard;
use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    SqliteOptions, connection,
    file::{File, Loss, Opened},
    schema::{self, Opening},
};
use crate::sql::Failures;

/// SQLite lets one writer in at a time, so that more than three would only wait for each other.
pub(super) struct Connections {
    options: SqliteOptions,
    driver: SqliteConnectOptions,
    failures: Failures,
    file: File,
    slots: [Slot; 3],
    state: Mutex<State>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
    /// It never writes, so that what it sees changing was changed through another connection.
    Watcher,
}

/// A connection for one call. It is closed when this is dropped, unless it is given back.
pub(super) struct Lent<'a> {
    pub(super) connection: SqliteConnection,
    /// SQLite's own counter of changes by others, and the store's when that was read.
    pub(super) seen: Option<(i64, u64)>,
    slot: MutexGuard<'a, Option<Idle>>,
}

type Slot = async_lock::Mutex<Option<Idle>>;

struct Idle {
    connection: SqliteConnection,
    seen: Option<(i64, u64)>,
}

enum State {
    /// Not known which files those are if only SQLite can read the name.
    Open(Option<Opened>),
    /// After a release, or a loss.
    Closed(Option<Former>),
}

/// The files that were lost.
struct Former {
    opened: Opened,
    loss: Loss,
}

/// How the files are.
enum Look {
    Open,
    Closed,
    Lost(Loss),
}

/// How often a file is opened that is replaced in that moment.
const ATTEMPTS: usize = 3;

impl Connections {
    /// Opens the file, and creates its tables if it has none.
    pub(super) async fn open(
        options: SqliteOptions,
        driver: SqliteConnectOptions,
        file: File,
        failures: Failures,
    ) -> Result<Self, StoreError> {
        let slots = [const { None }; 3].map(async_lock::Mutex::new);
        let mut connections = Self { options, driver, failures, file, slots, state: Mutex::new(State::Closed(None)) };
        {
            let mut slots = connections.all().await;
            connections.fill(&mut slots, Opening::First).await?;
        }
        // A file that was removed is not replaced by an empty one.
        connections.driver = connections.driver.create_if_missing(false);
        Ok(connections)
    }

    /// A connection of this kind, when it is free.
    pub(super) async fn lend(&self, role: Role) -> Result<Lent<'_>, StoreError> {
        loop {
            let mut slot = self.slots[role as usize].lock().await;
            match self.look() {
                Look::Open => {
                    let Idle { connection, seen } = match slot.take() {
                        Some(idle) => idle,
                        None => self.replacement(role).await?,
                    };
                    return Ok(Lent { connection, seen, slot });
                }
                Look::Closed => {
                    drop(slot);
                    self.open_again().await?;
                }
                Look::Lost(_) => {
                    drop(slot);
                    self.retire().await?;
                }
            }
        }
    }

    /// Ends a call that has succeeded: keeps its connection for the next one, unless it was a call to files that have been
    /// lost.
    pub(super) fn give_back(&self, lent: Lent<'_>) -> Result<(), StoreError> {
        let Lent { connection, seen, mut slot } = lent;
        match self.look() {
            Look::Lost(loss) => Err(self.lost(loss)),
            Look::Open | Look::Closed => {
                *slot = Some(Idle { connection, seen });
                Ok(())
            }
        }
    }

    /// Writes the log into the file as far as no reader needs it, and closes the connections, so that the file alone has
    /// everything, also if other programs have it open. The next call opens it again.
    pub(super) async fn close(&self) {
        let mut slots = self.all().await;
        // What is not written into the file stays in the log, where it is as safe.
        let _ = self.checkpoint(&mut slots, "PRAGMA wal_checkpoint(PASSIVE)").await;
        close_all(&mut slots).await;
        let mut state = self.state();
        if matches!(*state, State::Open(_)) {
            *state = State::Closed(None);
        }
    }

    /// All of them, in an order that is the same for everybody.
    async fn all(&self) -> [MutexGuard<'_, Option<Idle>>; 3] {
        let [writer, reader, watcher] = &self.slots;
        [writer.lock().await, reader.lock().await, watcher.lock().await]
    }

    fn look(&self) -> Look {
        match &*self.state() {
            State::Open(None) => Look::Open,
            State::Open(Some(opened)) => self.file.loss_of(opened).map_or(Look::Open, Look::Lost),
            State::Closed(_) => Look::Closed,
        }
    }

    /// A connection in the place of one that was closed, to the same file.
    async fn replacement(&self, role: Role) -> Result<Idle, StoreError> {
        let connection = self.connect(role).await?;
        match self.look() {
            Look::Lost(loss) => Err(self.lost(loss)),
            Look::Open | Look::Closed => Ok(Idle { connection, seen: None }),
        }
    }

    async fn connect(&self, role: Role) -> Result<SqliteConnection, StoreError> {
        let mut connection = self.driver.connect().await.map_err(|error| self.cannot_open(error))?;
        if role == Role::Writer {
            let configured = connection::configure(&mut connection, self.options.synchronous).await;
            configured.map_err(|error| self.cannot_open(error))?;
        }
        // With its first look it has a lock on the file. Who closes the last connection that has one removes the log.
        let look = sqlx::query("SELECT 1 FROM sqlite_schema LIMIT 1").fetch_optional(&mut connection).await;
        look.map_err(|error| self.cannot_open(error))?;
        Ok(connection)
    }

    /// Opens all of them, if no other call has in the meantime.
    async fn open_again(&self) -> Result<(), StoreError> {
        let mut slots = self.all().await;
        if let State::Closed(former) = &*self.state() {
            self.check_place(former.as_ref())?;
        } else {
            return Ok(());
        }
        self.fill(&mut slots, Opening::Again).await
    }

    /// Whether what has the name may be opened, after what it had before.
    fn check_place(&self, former: Option<&Former>) -> Result<(), StoreError> {
        if self.file.path().is_some() && self.file.database().is_none() {
            return Err(self.lost(Loss::Gone));
        }
        let Some(Former { opened, loss }) = former else {
            return Ok(());
        };
        if self.file.database() != Some(opened.database) && opened.has_log_with_something() {
            let why = "the `-wal` beside it belongs to the file that was there before; put that one back, or stop all \
                       programs that use them and remove `-wal` and `-shm`";
            return Err(self.failures.because(StoreErrorKind::Unavailable, why));
        }
        // The last one who closes a file removes its index.
        if *loss == Loss::Log && opened.log_now().is_none() && opened.index_now().is_some() {
            let why = "its `-wal` was removed while other programs use it, too; stop them, so that what they have \
                       written is saved";
            return Err(self.failures.because(StoreErrorKind::Unavailable, why));
        }
        Ok(())
    }

    async fn fill(&self, slots: &mut [MutexGuard<'_, Option<Idle>>; 3], opening: Opening) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let before = self.file.database();
            let mut writer = self.connect(Role::Writer).await?;
            schema::prepare(&mut writer, &self.options, &self.failures, opening).await?;
            let others = [self.connect(Role::Reader).await?, self.connect(Role::Watcher).await?];
            let opened = self.file.look();
            let now = opened.as_ref().map(|opened| opened.database);
            if before == now || before.is_none() && opening == Opening::First {
                for (slot, connection) in slots.iter_mut().zip([writer].into_iter().chain(others)) {
                    **slot = Some(Idle { connection, seen: None });
                }
                *self.state() = State::Open(opened);
                return Ok(());
            }
        }
        Err(self.lost(Loss::Replaced))
    }

    /// Closes all of them, since their files are lost. What is in the log only is written into the file first, wherever
    /// that is now: so a file that was moved is whole, and one whose log was removed loses nothing.
    async fn retire(&self) -> Result<(), StoreError> {
        let mut slots = self.all().await;
        let Look::Lost(loss) = self.look() else {
            // Another call has done it.
            return Ok(());
        };
        let State::Open(Some(opened)) = mem::replace(&mut *self.state(), State::Closed(None)) else {
            return Ok(());
        };
        if loss == Loss::Log && slots.iter().all(|slot| slot.is_none()) {
            // After errors of all connections the log went with the last one, and all that was in it is in the file.
            return Ok(());
        }
        // Where there is another log, others have gone on without this one.
        let is_alone = loss != Loss::Log || opened.log_now().is_none();
        let is_saved = is_alone && self.checkpoint(&mut slots, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        close_all(&mut slots).await;
        if is_saved && loss != Loss::Log {
            opened.remove_log();
        }
        *self.state() = State::Closed(Some(Former { opened, loss }));
        Err(self.lost(loss))
    }

    /// Writes the log into the file, and says whether that was all of it.
    async fn checkpoint(&self, slots: &mut [MutexGuard<'_, Option<Idle>>; 3], pragma: &'static str) -> bool {
        let Some(idle) = slots.iter_mut().find_map(|slot| slot.as_mut()) else {
            return false;
        };
        let done: Result<(i64, i64, i64), _> = sqlx::query_as(pragma).fetch_one(&mut idle.connection).await;
        done.is_ok_and(|(is_busy, log, written)| is_busy == 0 && log == written)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, loss: Loss) -> StoreError {
        let why = match loss {
            Loss::Gone => {
                "it is not there any more: it was moved or removed while it was in use; put it back, or restart the \
                 program to begin with an empty one"
            }
            Loss::Replaced => {
                "another file has been put in its place while it was in use; that one is opened, and the call repeated"
            }
            Loss::Log => {
                "its `-wal` or `-shm` was removed while it was in use; what is in them is saved if nobody else has \
                 begun new ones, and it is opened anew"
            }
        };
        self.failures.because(StoreErrorKind::Unavailable, why)
    }

    fn cannot_open(&self, error: sqlx::Error) -> StoreError {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        if code.is_some_and(|code| code & 0xff == CANNOT_OPEN) {
            let (kind, why) = self.file.why_closed();
            return self.failures.because(kind, &format!("{why}: {error}")).with_source(error);
        }
        self.failures.of(error)
    }
}

/// SQLITE_CANTOPEN
const CANNOT_OPEN: i32 = 14;

async fn close_all(slots: &mut [MutexGuard<'_, Option<Idle>>; 3]) {
    for slot in slots {
        if let Some(idle) = slot.take() {
            // An error would be one of the files that are given up.
            let _ = idle.connection.close().await;
        }
    }
}
