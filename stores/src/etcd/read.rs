//! Reading documents by the entries that name them.

use std::collections::BTreeSet;

use scheduler_core::{JobId, NodeId, Run, store::StoreError};
use serde_json::{Map, Value};

use super::{
    backend::EtcdBackend,
    key::{KeyRange, next, read_said},
    message::{KeyValue, RangeRequest, RangeResponse, Response, ResponseOp},
    write,
};
use crate::kit::{Document, HoldKind, Index, Node, node_of, run_of};

/// The most entries that are read at once when it is not known how many are wanted: some hundred bytes each.
pub(super) const PAGE: usize = 1_000;

/// A document that an entry names, and whether it is as the entry says: between the reading of the two it may have been
/// written, and other programs may have written one without the other.
pub(super) struct Named<'a> {
    pub(super) key: String,
    pub(super) accept: Box<dyn FnOnce(&mut Document) -> bool + Send + 'a>,
}

impl EtcdBackend {
    /// Goes over entries in their order, and reads the documents that they name until there are enough.
    pub(super) async fn walk<'a>(
        &self,
        mut range: KeyRange,
        limit: usize,
        name: impl Fn(&KeyValue) -> Option<Named<'a>> + Send + Sync,
    ) -> Result<Vec<Document>, StoreError> {
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.range(&range, (limit - found.len()).clamp(64, PAGE)).await?;
            let mut named: Vec<Named<'a>> = page.kvs.iter().filter_map(&name).collect();
            while found.len() < limit && !named.is_empty() {
                let rest = named.split_off(named.len().min(limit - found.len()));
                found.extend(self.named_by(std::mem::replace(&mut named, rest)).await?);
            }
            match page.kvs.last() {
                Some(last) if page.more => range.start = next(last.key.clone()),
                _ => break,
            }
        }
        Ok(found)
    }

    /// The documents that entries name, in their order, as far as they are as the entries say.
    pub(super) async fn named_by(&self, named: Vec<Named<'_>>) -> Result<Vec<Document>, StoreError> {
        let found = self.read(named.iter().map(|named| self.keys.job(&named.key)).collect()).await?;
        let pairs = found.into_iter().zip(named);
        let documents = pairs.filter_map(|(kv, named)| {
            let mut document = self.document(&kv?)?;
            (named.accept)(&mut document).then_some(document)
        });
        Ok(documents.collect())
    }

    /// What the entry of a live id names.
    pub(super) fn live<'a>(&self, entry: &KeyValue) -> Option<Named<'a>> {
        let id = JobId::from(self.keys.id_name(&entry.key)?);
        let key = std::str::from_utf8(&entry.value).ok()?.to_owned();
        let accept = move |document: &mut Document| match names_its_job(document) {
            true => document.index().live_id == Some(id),
            false => {
                document.fields.insert("id".to_owned(), id.as_str().into());
                true
            }
        };
        Some(Named { key, accept: Box::new(accept) })
    }

    /// What a due entry names, if it is wanted.
    pub(super) fn due_named<'a>(
        &self,
        entry: &KeyValue,
        is_wanted: impl Fn(&Index) -> bool + Send + 'a,
    ) -> Option<Named<'a>> {
        let (due, key) = self.keys.due_name(&entry.key)?;
        let said = read_said(&entry.value);
        if said.as_ref().is_some_and(|index| !is_wanted(index)) {
            return None;
        }
        let accept = move |document: &mut Document| match names_its_job(document) {
            true => {
                let index = document.index();
                index.due == Some(due) && is_wanted(&index)
            }
            false => {
                document.fields.insert("due".to_owned(), due.timestamp_micros().into());
                if let Some(index) = &said {
                    document.fields.insert("task".to_owned(), index.task.as_str().into());
                    document.fields.insert("v".to_owned(), index.v.into());
                }
                true
            }
        };
        Some(Named { key: key.to_owned(), accept: Box::new(accept) })
    }

    /// The nodes that hold something in this way: a step for each node, however much it holds.
    pub(super) async fn holders(&self, hold: HoldKind) -> Result<BTreeSet<NodeId>, StoreError> {
        let mut nodes = BTreeSet::new();
        let mut range = self.keys.holds(hold);
        while let Some(entry) = self.range(&range, 1).await?.kvs.pop() {
            range.start = match self.keys.held_name(hold, &entry.key) {
                Some((node, _)) => {
                    let end = self.keys.held_by(hold, &node).end;
                    nodes.insert(node);
                    // Another program may have escaped the node in another way.
                    end.max(next(entry.key))
                }
                None => next(entry.key),
            };
        }
        Ok(nodes)
    }

    /// All entries of a range.
    pub(super) async fn entries(&self, mut range: KeyRange) -> Result<Vec<KeyValue>, StoreError> {
        let mut entries = Vec::new();
        loop {
            let page = self.range(&range, PAGE).await?;
            entries.extend(page.kvs);
            match entries.last() {
                Some(last) if page.more => range.start = next(last.key.clone()),
                _ => return Ok(entries),
            }
        }
    }

    pub(super) async fn range(&self, range: &KeyRange, limit: usize) -> Result<RangeResponse, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (key, range_end) = (range.start.clone(), range.end.clone());
        self.client.range(RangeRequest { key, range_end, limit, ..RangeRequest::default() }).await
    }

    /// What is stored under keys, in their order.
    pub(super) async fn read(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<KeyValue>>, StoreError> {
        let answers = self.all_steps(keys.into_iter().map(write::read).collect()).await?;
        Ok(answers.into_iter().map(found).collect())
    }

    pub(super) fn document(&self, kv: &KeyValue) -> Option<Document> {
        Some(Document::parse(self.keys.job_name(&kv.key)?, version(kv), &kv.value))
    }

    pub(super) fn read_node(&self, kv: &KeyValue) -> Option<Node> {
        Some(node_of(self.keys.node_name(&kv.key)?, version(kv), &fields(kv)))
    }
}

/// Whether it is the document of a job. One that is not, because another program wrote something else, is the job that
/// the entry is about, and unreadable.
fn names_its_job(document: &Document) -> bool {
    document.fields.get("id").is_some_and(Value::is_string)
}

/// What a step has read of one key.
pub(super) fn found(answer: ResponseOp) -> Option<KeyValue> {
    match answer.response {
        Some(Response::Range(mut range)) => range.kvs.pop(),
        _ => None,
    }
}

pub(super) fn read_run(kv: &KeyValue) -> Option<Run> {
    run_of(&fields(kv)).ok()
}

fn fields(kv: &KeyValue) -> Map<String, Value> {
    serde_json::from_slice(&kv.value).unwrap_or_default()
}

pub(super) fn version(kv: &KeyValue) -> u64 {
    u64::try_from(kv.mod_revision).unwrap_or_default()
}
