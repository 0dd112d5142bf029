//! Writing documents: each goes through by itself, as many in one request as etcd takes.

use prost::{Message, bytes::Bytes};
use scheduler_core::store::StoreError;

use super::{
    backend::EtcdBackend,
    key::Keys,
    message::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, Request, RequestOp, Response, ResponseOp, TxnRequest,
        TxnResponse,
    },
};
use crate::kit::{Document, Replace};

/// The most steps of a transaction, which is the server's default (`--max-txn-ops`). Those of a transaction within one
/// count once, and the largest number of them counts along.
pub(super) const OPERATIONS: usize = 128;
/// The most bytes of a request with several documents; one that is larger goes alone. The server's default is 1.5 MiB
/// (`--max-request-bytes`).
const BYTES: usize = 1 << 20;

/// The transaction that adds a document, if neither its key nor its live id is there. Says what is there, if it is.
///
/// `left_behind` is the revision of an entry of the id that is there and names no job; 0 if there is none.
pub(super) fn add(keys: &Keys, document: &Document, left_behind: u64) -> TxnRequest {
    let index = document.index();
    let job = keys.job(&document.key);
    let id = index.live_id.as_ref().map(|id| keys.id(id));
    let mut compare = vec![Compare::unwritten_since(job.clone(), 0)];
    compare.extend(id.clone().map(|id| Compare::unwritten_since(id, left_behind)));
    let entries = keys.entries(&document.key, &index);
    let puts = [(job.clone(), Bytes::from(document.text()))].into_iter().chain(entries);
    TxnRequest {
        compare,
        success: puts.map(|(key, value)| put(key, value)).collect(),
        failure: [job].into_iter().chain(id).map(read).collect(),
    }
}

/// The transaction that replaces a document and what it is found by, if it is as it was read.
pub(super) fn replace(keys: &Keys, replacement: &Replace) -> TxnRequest {
    let Replace { old, new } = replacement;
    let job = keys.job(&old.key);
    let before = keys.entries(&old.key, &old.index());
    let after = new.as_ref().map(|new| keys.entries(&old.key, &new.index())).unwrap_or_default();
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| delete(key.clone()));
    let written = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    let written = written.map(|(key, value)| put(key.clone(), value.clone()));
    let document = match new {
        Some(new) => put(job.clone(), Bytes::from(new.text())),
        None => delete(job.clone()),
    };
    TxnRequest {
        compare: vec![Compare::unwritten_since(job, old.version)],
        success: [document].into_iter().chain(gone).chain(written).collect(),
        failure: Vec::new(),
    }
}

pub(super) fn put(key: Vec<u8>, value: Bytes) -> RequestOp {
    Request::Put(PutRequest { key, value }).into()
}

pub(super) fn read(key: Vec<u8>) -> RequestOp {
    Request::Range(RangeRequest { key, ..RangeRequest::default() }).into()
}

pub(super) fn delete(key: Vec<u8>) -> RequestOp {
    Request::DeleteRange(DeleteRangeRequest { key, range_end: Vec::new() }).into()
}

impl EtcdBackend {
    /// Takes transactions, each by itself and all at the same time. They must not write the same keys.
    pub(super) async fn txns(&self, txns: Vec<TxnRequest>) -> Result<Vec<TxnResponse>, StoreError> {
        let batches = batches(txns, |txn| txn.success.len().max(txn.failure.len()).max(txn.compare.len()));
        let answers = batches.into_iter().map(async |mut batch| match batch.len() {
            1 => Ok(vec![self.client.txn(batch.remove(0)).await?]),
            _ => {
                let steps = batch.into_iter().map(|txn| Request::Txn(txn).into()).collect();
                let answers = self.steps(steps).await?;
                answers
                    .into_iter()
                    .map(|answer| match answer.response {
                        Some(Response::Txn(txn)) => Ok(txn),
                        _ => Err(self.client.failures().odd("a transaction is not answered as one")),
                    })
                    .collect()
            }
        });
        let answers: Vec<Vec<_>> = futures_util::future::try_join_all(answers).await?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Takes steps that need not be taken at once, and must not write the same keys.
    pub(super) async fn all_steps(&self, steps: Vec<RequestOp>) -> Result<Vec<ResponseOp>, StoreError> {
        let batches = batches(steps, |_| 0);
        let answers = futures_util::future::try_join_all(batches.into_iter().map(|batch| self.steps(batch))).await?;
        Ok(answers.into_iter().flatten().collect())
    }

    async fn steps(&self, steps: Vec<RequestOp>) -> Result<Vec<ResponseOp>, StoreError> {
        let count = steps.len();
        let answer = self.client.txn(TxnRequest { success: steps, ..TxnRequest::default() }).await?;
        match answer.responses.len() == count {
            true => Ok(answer.responses),
            false => Err(self.client.failures().odd("a transaction is not answered step by step")),
        }
    }
}

/// Groups items so that each group fits into one request. `within` is the number of steps within an item.
fn batches<T: Message>(items: Vec<T>, within: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes, mut deepest) = (Vec::new(), 0, 0);
    for item in items {
        let (size, depth) = (item.encoded_len(), within(&item));
        if !batch.is_empty() && (bytes + size > BYTES || batch.len() + 1 + depth.max(deepest) > OPERATIONS) {
            batches.push(std::mem::take(&mut batch));
            (bytes, deepest) = (0, 0);
        }
        batch.push(item);
        bytes += size;
        deepest = depth.max(deepest);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::{BYTES, batches, put};
    use crate::etcd::message::{Request, RequestOp, TxnRequest};

    fn txn(steps: usize, bytes: usize) -> TxnRequest {
        let steps: Vec<RequestOp> = (0..steps).map(|n| put(vec![n as u8], vec![0; bytes].into())).collect();
        TxnRequest { success: steps, ..TxnRequest::default() }
    }

    fn lengths(txns: Vec<TxnRequest>) -> Vec<usize> {
        batches(txns, |txn| txn.success.len()).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_has_no_more_steps_than_the_server_takes() {
        assert_eq!(lengths(vec![txn(5, 1); 200]), [123, 77]);
        assert_eq!(lengths([vec![txn(5, 1); 100], vec![txn(40, 1); 2]].concat()), [100, 2]);
        assert_eq!(lengths(vec![txn(200, 1); 2]), [1, 1]);
    }

    #[test]
    fn a_batch_has_no_more_bytes_than_the_server_takes() {
        assert_eq!(lengths(vec![txn(1, BYTES / 3); 5]), [2, 2, 1]);
        assert_eq!(lengths(vec![txn(1, 2 * BYTES); 2]), [1, 1]);
        assert_eq!(lengths(Vec::new()), [0; 0]);
    }

    #[test]
    fn reads_are_batched_too() {
        let read = || Request::Range(super::RangeRequest::default()).into();
        let batches = batches((0..300).map(|_| read()).collect::<Vec<RequestOp>>(), |_| 0);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 44]);
    }
}
