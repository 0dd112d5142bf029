//! The collections, and how they come to be.

use ::mongodb::{
    bson::{Bson, doc},
    error::{Error, ErrorKind, WriteFailure},
};
use scheduler_core::store::{StoreError, StoreErrorKind};

use super::{query, server::Server};

/// The newest schema that this build knows.
const SCHEMA_VERSION: i64 = 3;

/// Makes the indexes and stamps the schema. Writes nothing if that has been done; any number of nodes may do it at once.
pub(super) async fn prepare(server: &Server, prefix: &str) -> Result<(), StoreError> {
    if version(server, prefix).await? == SCHEMA_VERSION {
        return Ok(());
    }
    // What is there already is left as it is.
    let indexes = [query::indexes(), query::search_indexes()].concat();
    let jobs = server.jobs.clone();
    server.run(async move { jobs.create_indexes(indexes).await }).await?;
    let meta = server.meta.clone();
    server
        .run(async move {
            for (key, value) in [("changes", 1), ("schema", SCHEMA_VERSION)] {
                let set = if key == "schema" { "$set" } else { "$setOnInsert" };
                let stamp = doc! { set: { "value": value } };
                match meta.update_one(doc! { "_id": key }, stamp).upsert(true).await {
                    Err(error) if is_duplicate(&error) => {}
                    reply => drop(reply?),
                }
            }
            Ok(())
        })
        .await
}

/// The schema of the collections; 0 if there are none.
async fn version(server: &Server, prefix: &str) -> Result<i64, StoreError> {
    let meta = server.meta.clone();
    let stamp = server.run(async move { meta.find_one(doc! { "_id": "schema" }).await }).await?;
    let version = match stamp.as_ref().and_then(|stamp| stamp.get("value")) {
        None => 0,
        Some(Bson::Int64(version)) => *version,
        Some(Bson::Int32(version)) => i64::from(*version),
        Some(Bson::Double(version)) => *version as i64,
        Some(_) => i64::MAX,
    };
    if version > SCHEMA_VERSION {
        let message = format!(
            "its collections `{prefix}*` have schema {version}, and this build knows schemas up to {SCHEMA_VERSION}; \
             update this program, or use another collection prefix"
        );
        return Err(server.failures.with(StoreErrorKind::Incompatible, &message));
    }
    Ok(version)
}

/// Whether another call was faster with the same key.
pub(super) fn is_duplicate(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE)
}

/// The server's code for a key that is there already.
pub(super) const DUPLICATE: i32 = 11_000;
