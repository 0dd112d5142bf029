//! The collections, and how they come to be.

use ::mongodb::{
    bson::{Bson, Document as Bsons, doc},
    error::{Error, ErrorKind, WriteFailure},
};
use scheduler_core::store::{StoreError, StoreErrorKind};

use super::{
    form, query,
    server::{Page, Server, Writes},
};
use crate::kit::Document;

/// The newest schema that this build knows.
const SCHEMA_VERSION: i64 = 4;

/// How many documents are brought up to date at once.
const PAGE: usize = 500;

/// Makes the indexes and stamps the schema. Writes nothing if that has been done; any number of nodes may do it at once.
pub(super) async fn prepare(server: &Server, prefix: &str) -> Result<(), StoreError> {
    let from = version(server, prefix).await?;
    if from == SCHEMA_VERSION {
        return Ok(());
    }
    // What is there already is left as it is.
    let indexes = [query::indexes(), query::search_indexes()].concat();
    let jobs = server.jobs.clone();
    server.run(async move { jobs.create_indexes(indexes).await }).await?;
    let (runs, indexes) = (server.runs.clone(), query::indexes_of_runs());
    server.run(async move { runs.create_indexes(indexes).await }).await?;
    if from > 0 {
        fill(server).await?;
    }
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

/// Gives the documents of earlier schemas what searches find them by. Those that another node writes meanwhile are left to it.
async fn fill(server: &Server) -> Result<(), StoreError> {
    // Those with other keys cannot be read.
    let mut behind = doc! { "_id": { "$gte": "" } };
    loop {
        let page = Page { sort: Some(doc! { "_id": 1 }), limit: Some(PAGE), ..Page::default() };
        let found = server.find(&server.jobs, behind, page).await?;
        let Some(last) = found.last().and_then(|bsons| bsons.get("_id")).cloned() else { return Ok(()) };
        behind = doc! { "_id": { "$gt": last } };
        let updates: Vec<Bsons> = found.into_iter().filter_map(form::document_of).filter_map(filling).collect();
        server.write(Writes::Update, &server.jobs, &updates).await?;
    }
}

fn filling(document: Document) -> Option<Bsons> {
    let set: Bsons =
        form::found_by(&document).into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!set.is_empty()).then(|| doc! { "q": form::as_read(&document), "u": { "$set": set } })
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
