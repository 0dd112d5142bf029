//! Where the next page of a search over several stores begins.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use scheduler_core::{Error, ErrorKind, StoreName};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Where the next page of a search begins: a text that means nothing to others, to be handed back as it is with the same search. It
/// stays right while jobs come and go, and in another process.
///
/// ```
/// use scheduler_runtime::Cursor;
///
/// let from_a_link = Cursor::from("{..}".to_owned());
/// assert_eq!(from_a_link.to_string(), "{..}"); // Whether it is one shows when it is used.
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What a cursor says.
#[derive(Serialize, Deserialize)]
struct Content<K> {
    /// Of which search it is.
    of: String,
    stores: BTreeMap<StoreName, Place<K>>,
}

/// How far a search has come in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place<K> {
    /// It goes on behind this, or begins.
    Behind(Option<K>),
    /// There is nothing left.
    Over,
}

/// How far a search has come in each store. In one that is not named it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places<K>(BTreeMap<StoreName, Place<K>>);

impl<K> Places<K> {
    /// Behind what the search of a store goes on; none if there is nothing left in it.
    pub(super) fn take(&mut self, store: &StoreName) -> Option<Option<K>> {
        match self.0.remove(store) {
            Some(Place::Over) => {
                self.0.insert(store.clone(), Place::Over);
                None
            }
            Some(Place::Behind(key)) => Some(key),
            None => Some(None),
        }
    }
}

impl Cursor {
    pub(super) fn read<K: DeserializeOwned>(cursor: Option<&Self>, of: &str) -> Result<Places<K>, Error> {
        let Some(Self(text)) = cursor else { return Ok(Places(BTreeMap::new())) };
        let refuse = |why: String| {
            let message = format!("the cursor is not one of a search of {of}: {why}; begin with the first page");
            Error::new(ErrorKind::Config, message)
        };
        let content: Content<serde_json::Value> =
            serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        if content.of != of {
            return Err(refuse(format!("it is one of {}", content.of)));
        }
        let content: Content<K> = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        Ok(Places(content.stores))
    }

    /// None if there is nothing left in any store.
    pub(super) fn write<K: Serialize>(places: Places<K>, of: &str) -> Result<Option<Self>, Error> {
        if places.0.values().all(|place| matches!(place, Place::Over)) {
            return Ok(None);
        }
        let text = serde_json::to_string(&Content { of: of.to_owned(), stores: places.0 }).map_err(|error| {
            Error::new(ErrorKind::Bug, format!("a cursor has no JSON form: {error}; please report it"))
        })?;
        Ok(Some(Self(text)))
    }
}

/// What one store has found.
pub(super) struct Pulled<K, T> {
    pub(super) store: StoreName,
    /// Behind what it has looked.
    pub(super) before: Option<K>,
    /// In order.
    pub(super) items: Vec<(K, T)>,
    /// Behind what it goes on, if there may be more.
    pub(super) next: Option<K>,
}

/// The first of what all stores have found, each with its store, and how far the search has come in each.
///
/// What lies behind a place up to which a store has looked waits for the next page: that store may have something before it.
pub(super) fn merged<K: Clone, T>(
    pulled: Vec<Pulled<K, T>>,
    mut places: Places<K>,
    limit: usize,
    compare: impl Fn(&K, &K) -> Ordering,
) -> (Vec<(StoreName, T)>, Places<K>) {
    let end = pulled.iter().filter_map(|it| it.next.clone()).min_by(&compare);
    let is_known = |key: &K| end.as_ref().is_none_or(|end| compare(key, end) != Ordering::Greater);
    let mut ahead = Vec::new();
    let mut rest: Vec<(StoreName, Option<K>, Option<K>, usize)> = Vec::new();
    for (at, Pulled { store, before, items, next }) in pulled.into_iter().enumerate() {
        rest.push((store, before, next, items.len()));
        ahead.extend(items.into_iter().map(|(key, item)| (key, at, item)));
    }
    // Stable: what is equal stays in the order of the stores.
    ahead.sort_by(|a, b| compare(&a.0, &b.0));
    let mut found = Vec::new();
    for (key, at, item) in ahead.into_iter().take(limit).take_while(|(key, ..)| is_known(key)) {
        let (store, before, _, left) = &mut rest[at];
        (*before, *left) = (Some(key), left.saturating_sub(1));
        found.push((store.clone(), item));
    }
    for (store, before, next, left) in rest {
        let place = match (left, next) {
            (0, None) => Place::Over,
            (0, Some(next)) => Place::Behind(Some(next)),
            (_, _) => Place::Behind(before),
        };
        places.0.insert(store, place);
    }
    (found, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a store with these numbers finds behind one, `looks` at a time.
    fn pulled(store: &str, numbers: &[u32], before: Option<u32>, looks: usize) -> Pulled<u32, u32> {
        let ahead: Vec<u32> = numbers.iter().copied().filter(|n| before.is_none_or(|before| *n > before)).collect();
        let next = (ahead.len() > looks).then(|| ahead[looks - 1]);
        let items = ahead.iter().take(looks).map(|n| (*n, *n)).collect();
        Pulled { store: store.into(), before, items, next }
    }

    #[test]
    fn pages_over_several_stores_are_in_order_and_complete() {
        let stores: [(&str, &[u32]); 3] = [("a", &[1, 4, 5, 9]), ("b", &[2, 3, 4, 10, 11]), ("c", &[])];
        for limit in 1..=10 {
            for looks in 1..=limit {
                let (mut numbers, mut pages) = (Vec::new(), 0);
                let mut places = Places(BTreeMap::new());
                loop {
                    let from: Vec<_> = stores
                        .iter()
                        .filter_map(|(name, numbers)| Some(pulled(name, numbers, places.take(&(*name).into())?, looks)))
                        .collect();
                    let (found, next) = merged(from, places, limit, u32::cmp);
                    assert!(found.len() <= limit);
                    numbers.extend(found.into_iter().map(|(_, n)| n));
                    pages += 1;
                    assert!(pages < 50, "{limit} {looks}: {next:?}");
                    match Cursor::write(next, "numbers").unwrap() {
                        Some(cursor) => places = Cursor::read(Some(&cursor), "numbers").unwrap(),
                        None => break,
                    }
                }
                assert_eq!(numbers, [1, 2, 3, 4, 4, 5, 9, 10, 11], "{limit} {looks}");
            }
        }
    }

    #[test]
    fn a_cursor_of_another_search_is_refused() {
        let places = Places(BTreeMap::from([("default".into(), Place::Behind(Some(7_u32)))]));
        let cursor = Cursor::write(places, "runs").unwrap().unwrap();
        let error = Cursor::read::<u32>(Some(&cursor), "jobs by id").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the cursor is not one of a search of jobs by id: it is one of runs; begin with the first page"
        );
        let error = Cursor::read::<u32>(Some(&Cursor::from("x".to_owned())), "runs").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
