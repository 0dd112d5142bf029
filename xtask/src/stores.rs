//! The stores, as `scheduler_stores::STORES` lists them; the tests in `documentation` hold manifests and pages to it.

use scheduler_stores::{KnownStore, STORES};

/// The names of all stores.
pub(crate) fn names() -> Vec<&'static str> {
    STORES.iter().map(|store| store.name).collect()
}

/// The names of the stores that need a server.
pub(crate) fn servers() -> Vec<&'static str> {
    STORES.iter().filter(|store| store.is_server()).map(|store| store.name).collect()
}

/// Whether a store needs a server.
pub(crate) fn is_server(store: &str) -> bool {
    STORES.iter().any(|known: &KnownStore| known.name == store && known.is_server())
}
