//! Writing what has changed of jobs: a statement for each kind of change, whatever the number of jobs is.

use scheduler_core::{Run, store::StoreError};
use serde_json::{Value, json};

use super::{Statements, Transaction, rows::Rows, statement};
use crate::kit::{
    LoadedJob,
    columns::{COUNTED_HEAD, HEAD, MOVED_HEAD},
    rules::ClaimMark,
};

/// What is to be written of some jobs.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    /// The mark of a claim, and the keys of the jobs of which nothing else has changed.
    claims: Option<(&'a ClaimMark, Vec<Value>)>,
    heads: Rows,
    moved_heads: Rows,
    counted_heads: Rows,
    definitions: Rows,
    /// The jobs whose tags are written anew, and these.
    tagged: Vec<Value>,
    tags: Rows,
    runs: Rows,
    /// The jobs whose history is to be pruned.
    full: Vec<Value>,
    deleted: Vec<Value>,
    quarantined: Rows,
}

impl<'a> Changes<'a> {
    /// The changes of jobs.
    pub(super) fn of(jobs: &[&'a LoadedJob]) -> Self {
        let mut changes = Self::default();
        for job in jobs {
            changes.add(job);
        }
        changes
    }

    fn add(&mut self, job: &'a LoadedJob) {
        if let Some(reason) = job.quarantine() {
            self.quarantined.add(|row| {
                row.value(job.row_key());
                row.word(&Run::error_text(reason.to_owned()));
            });
            return;
        }
        if job.is_deleted() {
            self.deleted.push(job.row_key().clone());
            return;
        }
        if job.head() != job.old_head() {
            self.add_head(job);
        }
        if let Some((body, text)) = job.redefined() {
            self.definitions.add(|row| {
                row.value(job.row_key());
                row.definition(body, text);
            });
            self.tagged.push(job.row_key().clone());
            if let Some(uid) = job.uid() {
                self.tags.tags(&uid, &body.tags);
            }
        }
        for run in job.changed_runs() {
            self.runs.add(|row| row.run(run));
        }
        if let Some(uid) = job.uid().filter(|_| job.is_to_be_pruned()) {
            self.full.push(json!([uid, job.history()]));
        }
    }

    fn add_head(&mut self, job: &'a LoadedJob) {
        if let Some(mark) = claim_of(job) {
            let (of_all, keys) = self.claims.get_or_insert((mark, Vec::new()));
            if *of_all == mark {
                return keys.push(job.row_key().clone());
            }
        }
        let (old, new) = (job.old_head(), job.head());
        let is_in_place = old.state == new.state && old.retained_until == new.retained_until;
        let is_moved = old.next_fire_time != new.next_fire_time || old.due != new.due || old.claim != new.claim;
        let (heads, columns) = match (is_in_place, is_moved) {
            (false, _) => (&mut self.heads, &HEAD[..]),
            (true, true) => (&mut self.moved_heads, &MOVED_HEAD[..]),
            (true, false) => (&mut self.counted_heads, &COUNTED_HEAD[..]),
        };
        heads.add(|row| {
            row.value(job.row_key());
            row.head(new, columns);
        });
    }

    /// Writes them.
    pub(super) async fn write(self, tx: &mut impl Transaction, sql: &Statements) -> Result<(), StoreError> {
        if let Some((mark, keys)) = self.claims {
            tx.run(statement(&sql.claim).node(&mark.owner).time(Some(mark.until)).list(keys)).await?;
        }
        let tables = [
            (self.heads, &sql.write_heads),
            (self.moved_heads, &sql.write_moved_heads),
            (self.counted_heads, &sql.write_counted_heads),
            (self.definitions, &sql.write_definitions),
            (self.runs, &sql.write_runs),
            (self.quarantined, &sql.quarantine),
        ];
        for (rows, sql) in tables {
            if !rows.is_empty() {
                tx.run(statement(sql).text(rows.finish())).await?;
            }
        }
        if !self.full.is_empty() {
            tx.run(statement(&sql.prune).list(self.full)).await?;
        }
        if !self.tagged.is_empty() {
            tx.run(statement(&sql.delete_tags).list(self.tagged)).await?;
        }
        if !self.tags.is_empty() {
            tx.run(statement(&sql.insert_tags).text(self.tags.finish())).await?;
        }
        if !self.deleted.is_empty() {
            tx.run(statement(&sql.delete_runs).list(self.deleted.clone())).await?;
            tx.run(statement(&sql.delete_tags).list(self.deleted.clone())).await?;
            tx.run(statement(&sql.delete_jobs).list(self.deleted)).await?;
        }
        Ok(())
    }
}

/// The claim of a job that has been claimed, if nothing else has happened to it: most of what claims write, for which a short
/// statement does.
fn claim_of(job: &LoadedJob) -> Option<&ClaimMark> {
    let mark = job.head().claim.as_ref()?;
    let mut claimed = job.old_head().clone();
    claimed.claim(&mark.owner, mark.until);
    (claimed == *job.head()).then_some(mark)
}
