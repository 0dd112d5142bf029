//! The version of the keys, and how a fresh cluster gets it.

use prost::bytes::Bytes;
use scheduler_core::store::{StoreError, StoreErrorKind};

use super::{
    backend::EtcdBackend,
    message::{Compare, RangeRequest, TxnRequest},
    write::put,
};

/// The newest schema that this build knows.
const SCHEMA_VERSION: u64 = 1;

/// Writes the version, unless it is there. Writes nothing if it is.
pub(super) async fn prepare(backend: &EtcdBackend) -> Result<(), StoreError> {
    let key = backend.keys.schema();
    loop {
        let request = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        if let Some(found) = backend.client.range(request).await?.kvs.first() {
            return check(backend, &found.value);
        }
        let txn = TxnRequest {
            compare: vec![Compare::unwritten_since(key.clone(), 0)],
            success: vec![
                put(key.clone(), Bytes::from(SCHEMA_VERSION.to_string())),
                put(backend.keys.changes(), Bytes::new()),
            ],
            failure: Vec::new(),
        };
        // If another process was faster, its version is to be checked.
        if backend.client.txn(txn).await?.succeeded {
            return Ok(());
        }
    }
}

fn check(backend: &EtcdBackend, version: &[u8]) -> Result<(), StoreError> {
    let version = String::from_utf8_lossy(version);
    if version.trim().parse() == Ok(SCHEMA_VERSION) {
        return Ok(());
    }
    let what = format!(
        "its keys have schema {version}, and this build knows schemas up to {SCHEMA_VERSION}; update this program, or use \
         another key prefix"
    );
    Err(backend.client.failures().with(StoreErrorKind::Incompatible, what))
}
