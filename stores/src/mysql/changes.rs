//! What nodes look at to see that something has changed.

use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::mysql::MySqlRow;

use super::{Database, connection};
use crate::{kit::columns::Columns, noted, sql::statement};

/// A number that is another one after each change.
pub(super) async fn seen(database: &Database) -> Result<u64, StoreError> {
    let rows = connection::read(database, statement(&database.changes)).await?;
    let (mut count, mut noted) = (None, Vec::new());
    for row in &rows {
        match key(row) {
            Some(key) if key != noted::COUNT => noted.push(key),
            Some(_) => count = row.integer(1).ok().flatten().and_then(|count| u64::try_from(count).ok()),
            None => {}
        }
    }
    let count = count.ok_or_else(|| {
        let why = "its table of versions has no count of `changes`; restore the row, or use another table prefix";
        database.failures.because(StoreErrorKind::Incompatible, why)
    })?;
    let seen = noted::seen(count, &noted);
    if noted.len() > noted::KEPT {
        connection::read(database, statement(&database.clear_changes).list(noted)).await?;
    }
    Ok(seen)
}

fn key(row: &MySqlRow) -> Option<String> {
    String::from_utf8(row.bytes(0).ok()??).ok()
}
