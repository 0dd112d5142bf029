//! Calls in a transaction of the application.
//!
//! ```text
//! calls in a transaction, store "default"
//!   → reply an engine that stands in for this one
//! ```
//!
//! Whether such a call counts is decided by the application's commit, of which no engine hears. So it is none of this one's:
//! an engine of its own answers it, which knows the same tasks, executors, defaults and clock, and whose store calls go into the
//! transaction. Its events go to no listener.

use std::sync::Arc;

use crate::{
    Now, StoreName,
    engine::{CallId, Config, Engine, Reply, slots::Slots, store_state::StoreState},
};

impl Engine {
    /// Replies with an engine that answers commands about one store in place of this one.
    pub(super) fn stand_in(&mut self, now: Now, call: CallId, store: &StoreName) {
        let drawn = self.next_uid(now).0;
        let Some(state) = self.stores.iter().find(|state| state.name == *store) else {
            return self.reply(call, Err(self.unknown_store(store)));
        };
        let mut known = StoreState::new(state.name.clone(), state.limits.clone());
        known.clock = state.clock.clone();
        // The uids that it draws are those of no other engine.
        let config = Config { seed: self.config.seed ^ drawn, ..self.config.clone() };
        let mut engine = Self::new(config);
        engine.stores.push(known);
        engine.tasks = Arc::clone(&self.tasks);
        engine.executors = self.executors.keys().map(|name| (name.clone(), Slots::new(None))).collect();
        engine.last_request = self.last_request;
        self.reply(call, Ok(Reply::Engine(Box::new(engine))));
    }
}
