//! Listening: callbacks and streams of events.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use async_channel::{Receiver, Sender};
use futures_util::Stream;
use scheduler_core::{Event, EventKind, EventMask};
use scheduler_executors::panics;

use crate::let_go::let_go;

/// The number of a listener, for removing it.
///
/// ```
/// use scheduler_core::EventMask;
/// use scheduler_runtime::Scheduler;
/// use scheduler_thread::ThreadRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheduler = Scheduler::builder(ThreadRuntime::new()?).build()?;
/// let id = scheduler.add_listener(EventMask::RUN_ERROR | EventMask::RUN_MISSED, |event| eprintln!("{event:?}"));
/// assert!(scheduler.remove_listener(id));
/// assert!(!scheduler.remove_listener(id));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

/// How many events a stream holds for a reader that is behind: a burst, not a backlog.
pub(crate) const STREAM_EVENTS: usize = 4_096;

/// Everybody who listens to one scheduler.
pub(crate) struct Listeners {
    last_id: AtomicU64,
    /// None when the scheduler has shut down.
    listeners: Mutex<Option<Arc<Vec<Listener>>>>,
    /// Called for each event that a stream has no room for.
    on_dropped: fn(),
}

#[derive(Clone)]
struct Listener {
    id: ListenerId,
    mask: EventMask,
    call: Call,
}

#[derive(Clone)]
enum Call {
    Function(Arc<dyn Fn(&Event) + Send + Sync>),
    Stream(Arc<Subscriber>),
}

struct Subscriber {
    sender: Sender<Item>,
    /// How many items it holds at most.
    capacity: usize,
    /// How many events the reader has not been told of since the stream was full.
    missed: Arc<AtomicU64>,
}

/// What a stream yields: an event, or how many are missing in its place.
type Item = Result<Arc<Event>, Missed>;

impl Listeners {
    pub(crate) fn new(on_dropped: fn()) -> Self {
        Self { last_id: AtomicU64::new(0), listeners: Mutex::new(Some(Arc::default())), on_dropped }
    }

    pub(crate) fn add(&self, mask: EventMask, call: impl Fn(&Event) + Send + Sync + 'static) -> ListenerId {
        self.insert(mask, Call::Function(Arc::new(call)))
    }

    pub(crate) fn subscribe(self: &Arc<Self>, mask: EventMask, capacity: usize) -> EventStream {
        let (sender, receiver) = async_channel::unbounded();
        let missed = Arc::new(AtomicU64::new(0));
        let subscriber = Subscriber { sender, capacity: capacity.max(1), missed: Arc::clone(&missed) };
        let id = self.insert(mask, Call::Stream(Arc::new(subscriber)));
        EventStream { id, receiver: Box::pin(receiver), missed, listeners: Arc::clone(self) }
    }

    fn insert(&self, mask: EventMask, call: Call) -> ListenerId {
        let id = ListenerId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        // After the end no event is sent, and dropping a subscriber ends its stream.
        if let Some(listeners) = self.lock().as_mut() {
            Arc::make_mut(listeners).push(Listener { id, mask, call });
        }
        id
    }

    pub(crate) fn remove(&self, id: ListenerId) -> bool {
        // Dropped when the lock is free: what it holds may be a stream, which then removes itself.
        let removed: Vec<Listener> = match self.lock().as_mut() {
            Some(listeners) => Arc::make_mut(listeners).extract_if(.., |listener| listener.id == id).collect(),
            None => Vec::new(),
        };
        !removed.is_empty()
    }

    /// Whether anybody wants to know of an event of this kind.
    pub(crate) fn are_waiting_for(&self, kind: &EventKind) -> bool {
        let mask = kind.mask();
        self.lock().iter().flat_map(|listeners| listeners.iter()).any(|listener| listener.mask.contains(mask))
    }

    /// Tells everybody who wants to know. Gives what listeners panicked with.
    pub(crate) fn tell(&self, event: &Event) -> Vec<String> {
        let Some(listeners) = self.lock().clone() else {
            return Vec::new();
        };
        let mask = event.kind.mask();
        let wanting = listeners.iter().filter(|listener| listener.mask.contains(mask));
        let mut shared = None;
        wanting
            .filter_map(|listener| match &listener.call {
                Call::Function(call) => panics::catch(|| call(event)).err(),
                Call::Stream(subscriber) => {
                    let dropped = subscriber.tell(shared.get_or_insert_with(|| Arc::new(event.clone())));
                    if dropped == Dropped::Yes {
                        (self.on_dropped)();
                    }
                    None
                }
            })
            .collect()
    }

    /// Ends all streams and forgets all listeners, which may hold a handle and so this.
    pub(crate) fn close(&self) {
        let listeners = self.lock().take();
        let_go("a listener", listeners);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Vec<Listener>>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

/// Whether a stream had no room for an event.
#[derive(PartialEq)]
enum Dropped {
    Yes,
    No,
}

impl Subscriber {
    fn tell(&self, event: &Arc<Event>) -> Dropped {
        // The reader may take the count as well, when it has read everything; only one of both gets it.
        let missed = self.missed.swap(0, Ordering::SeqCst);
        if missed > 0 && !self.has_room_for(Err(Missed { count: missed })) {
            self.missed.fetch_add(missed + 1, Ordering::SeqCst);
            return Dropped::Yes;
        }
        if !self.has_room_for(Ok(Arc::clone(event))) {
            // Said once, not at each further event that the reader misses.
            if self.missed.fetch_add(1, Ordering::SeqCst) == 0 && missed == 0 {
                tracing::warn!(target: "apscheduler", "an event stream is full; its reader is told how many events it misses");
            }
            return Dropped::Yes;
        }
        Dropped::No
    }

    /// Sends an item if the stream has room for it. The room is taken as it fills, not before.
    fn has_room_for(&self, item: Item) -> bool {
        // Only the loop sends, so that nothing comes in between.
        let has_room = self.sender.len() < self.capacity;
        if has_room {
            // A reader that has gone misses nothing.
            drop(self.sender.try_send(item));
        }
        has_room
    }
}

/// Events as they happen, from the moment of subscribing on.
///
/// Ends when the scheduler has shut down. A reader that falls behind by more than the stream holds is told how many events
/// it missed, in their place.
///
/// ```
/// use scheduler_core::{EventKind, EventMask, JobSpec};
/// use scheduler_runtime::Scheduler;
/// use scheduler_tokio::TokioRuntime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let rt = tokio::runtime::Builder::new_current_thread().build()?;
/// # rt.block_on(async {
/// let scheduler =
///     Scheduler::builder(TokioRuntime::current()).task("answer", || async { 42 }).build()?;
/// let mut events = scheduler.events(EventMask::RUN_EXECUTED);
/// scheduler.add_job(JobSpec::now("answer")).await?;
/// scheduler.start().await?;
///
/// let event = events.next().await.expect("the scheduler is running")?;
/// assert!(matches!(&event.kind, EventKind::RunExecuted { output, .. } if *output == 42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
pub struct EventStream {
    id: ListenerId,
    receiver: Pin<Box<Receiver<Item>>>,
    missed: Arc<AtomicU64>,
    listeners: Arc<Listeners>,
}

impl EventStream {
    pub(crate) fn id(&self) -> ListenerId {
        self.id
    }

    /// The next event, or none when the scheduler has shut down.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, Missed>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Result<Arc<Event>, Missed>> {
        self.receiver.try_recv().ok().or_else(|| self.take_missed().map(Err))
    }

    /// What was missed after the last event that the stream holds.
    fn take_missed(&self) -> Option<Missed> {
        let count = self.missed.swap(0, Ordering::SeqCst);
        (count > 0).then_some(Missed { count })
    }
}

impl Stream for EventStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.receiver.as_mut().poll_next(cx) {
            Poll::Ready(Some(item)) => Poll::Ready(Some(item)),
            Poll::Ready(None) => Poll::Ready(self.take_missed().map(Err)),
            // Each event that is put into the stream wakes this reader, so that nothing is missed after this look.
            Poll::Pending => self.take_missed().map_or(Poll::Pending, |missed| Poll::Ready(Some(Err(missed)))),
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.listeners.remove(self.id);
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Events that a reader missed because it was too slow.
///
/// ```
/// use scheduler_runtime::Missed;
///
/// let missed = Missed { count: 3 };
/// assert_eq!(
///     missed.to_string(),
///     "the event stream was full and 3 events were dropped; read faster or ask for a larger one",
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub count: u64,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the event stream was full and {} events were dropped; read faster or ask for a larger one",
            self.count
        )
    }
}

impl std::error::Error for Missed {}

/// Whether the panic of a listener at an event of this kind becomes an event. Telling of panics at panics would not end, and
/// nothing is told after the end.
pub(crate) fn is_told_of(kind: &EventKind) -> bool {
    use EventKind::{ListenerFailed, SchedulerFailed, SchedulerShutdown};
    !matches!(kind, ListenerFailed { .. } | SchedulerFailed { .. } | SchedulerShutdown)
}

/// A listener's panic, of which no event tells.
pub(crate) fn log_panic(panic: &str, kind: &EventKind) {
    tracing::error!(target: "apscheduler", panic, kind = ?kind.mask(), "a listener panicked");
}

/// Awaits an async listener at each event, until its stream ends. What it panics with goes to `on_panic`, with the kind of the
/// event.
pub(crate) async fn listen<F: Future<Output = ()> + Send>(
    mut events: EventStream,
    listener: impl Fn(Arc<Event>) -> F + Send,
    on_panic: impl Fn(String, &EventKind) + Send,
) {
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(Missed { count }) => {
                tracing::warn!(target: "apscheduler", count, "an async listener is too slow and missed events");
                continue;
            }
        };
        let called = panics::catch(|| listener(Arc::clone(&event)));
        let ended = match called {
            Ok(future) => panics::contain(Box::pin(future)).await,
            Err(panic) => Err(panic),
        };
        if let Err(panic) = ended {
            on_panic(panic, &event.kind);
        }
    }
}
