//! What an insert sees of its ids, and what it decides from that.

use std::collections::HashMap;

use serde_json::Value;

use crate::rethinkdb::rows::{TICKET, UID};

/// What there is of documents that are to be added.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The documents themselves, by key.
    pub(super) own: HashMap<String, Face>,
    /// Live jobs by id.
    pub(super) live: HashMap<String, Face>,
    /// The rows of the ids, by id.
    pub(super) rows: HashMap<String, IdRow>,
}

/// What there is of a document, without its content.
#[derive(Debug, Clone)]
pub(super) struct Face {
    pub(super) key: String,
    pub(super) id: String,
    /// 0 if it has none.
    pub(super) ticket: u64,
    pub(super) is_pending: bool,
    pub(super) is_live: bool,
}

/// Whose an id is.
#[derive(Debug, Clone)]
pub(super) struct IdRow {
    pub(super) key: String,
    pub(super) ticket: u64,
    /// The document that has this key now.
    pub(super) holder: Option<Face>,
}

/// What is to be done next.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Hidden documents whose id is theirs, with their tickets.
    pub(super) won: HashMap<String, u64>,
    /// Hidden documents whose id is another's.
    pub(super) lost: HashMap<String, u64>,
    /// Ids that are to be taken.
    pub(super) takes: Vec<Take>,
}

/// An id that is to be taken for a hidden document.
#[derive(Debug)]
pub(super) struct Take {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) ticket: u64,
    /// The key and the ticket in its row, which is overwritten; none if it has no row.
    pub(super) from: Option<(String, u64)>,
}

impl Plan {
    /// Decides about a hidden document.
    pub(super) fn decide(&mut self, own: &Face, seen: &Seen) {
        let is_another = |it: &&Face| it.key != own.key;
        if seen.live.get(&own.id).filter(is_another).is_some() {
            self.lost.insert(own.key.clone(), own.ticket);
            return;
        }
        let row = seen.rows.get(&own.id);
        if row.is_some_and(|row| row.is_of(own)) {
            self.won.insert(own.key.clone(), own.ticket);
            return;
        }
        match row.and_then(IdRow::owner) {
            Some(owner) => {
                if owner.is_pending {
                    self.won.insert(owner.key.clone(), owner.ticket);
                }
                self.lost.insert(own.key.clone(), own.ticket);
            }
            None => self.takes.push(Take {
                id: own.id.clone(),
                key: own.key.clone(),
                ticket: own.ticket,
                from: row.map(|row| (row.key.clone(), row.ticket)),
            }),
        }
    }
}

impl Face {
    pub(super) fn read(face: &Value) -> Option<Self> {
        let key = face[UID].as_str().filter(|key| !key.is_empty())?;
        Some(Self {
            key: key.to_owned(),
            id: face["id"].as_str().unwrap_or_default().to_owned(),
            ticket: ticket(face),
            is_pending: face["is_pending"] == true,
            is_live: face["is_live"] == true,
        })
    }
}

impl IdRow {
    pub(super) fn read(row: &Value) -> Option<(String, Self)> {
        let id = row["job"].as_str()?.to_owned();
        let key = row[UID].as_str().unwrap_or_default().to_owned();
        Some((id, Self { key, ticket: ticket(row), holder: Face::read(&row["holder"]) }))
    }

    pub(super) fn is_of(&self, face: &Face) -> bool {
        (self.key.as_str(), self.ticket) == (face.key.as_str(), face.ticket)
    }

    /// The document that the row names, if it is there, and hidden or live.
    fn owner(&self) -> Option<&Face> {
        self.holder.as_ref().filter(|holder| self.is_of(holder) && (holder.is_pending || holder.is_live))
    }
}

fn ticket(row: &Value) -> u64 {
    row[TICKET].as_f64().unwrap_or_default() as u64
}

#[cfg(test)]
mod tests {
    use super::{Face, IdRow, Plan, Seen};

    fn face(key: &str, ticket: u64) -> Face {
        Face { key: key.to_owned(), id: "report".to_owned(), ticket, is_pending: true, is_live: false }
    }

    fn shown(face: Face) -> Face {
        Face { is_pending: false, is_live: true, ..face }
    }

    fn over(face: Face) -> Face {
        Face { is_pending: false, is_live: false, ..face }
    }

    fn plan(live: Option<Face>, row: Option<(&str, u64, Option<Face>)>) -> Plan {
        let row = row.map(|(key, ticket, holder)| IdRow { key: key.to_owned(), ticket, holder });
        let seen = Seen {
            live: live.into_iter().map(|face| (face.id.clone(), face)).collect(),
            rows: row.into_iter().map(|row| ("report".to_owned(), row)).collect(),
            ..Seen::default()
        };
        let mut plan = Plan::default();
        plan.decide(&face("own", 1), &seen);
        plan
    }

    /// What is taken, from whom, by the plan; and whether the document has won or lost.
    fn outcome(plan: Plan) -> (Vec<Option<(String, u64)>>, bool, bool) {
        let takes = plan.takes.into_iter().map(|take| take.from).collect();
        (takes, plan.won.contains_key("own"), plan.lost.contains_key("own"))
    }

    #[test]
    fn a_free_id_is_taken_and_then_kept() {
        assert_eq!(outcome(plan(None, None)), (vec![None], false, false));
        assert_eq!(outcome(plan(None, Some(("own", 1, Some(face("own", 1)))))), (vec![], true, false));
    }

    #[test]
    fn the_id_of_a_live_job_is_left_alone() {
        let other = shown(face("other", 2));
        assert_eq!(outcome(plan(None, Some(("other", 2, Some(other.clone()))))), (vec![], false, true));
        assert_eq!(outcome(plan(Some(other), None)), (vec![], false, true));
    }

    #[test]
    fn an_insert_that_was_decided_is_finished_first() {
        let plan = plan(None, Some(("other", 2, Some(face("other", 2)))));
        assert_eq!(plan.won.get("other"), Some(&2));
        assert_eq!(outcome(plan), (vec![], false, true));
    }

    #[test]
    fn the_id_of_a_job_that_is_over_is_taken_from_it() {
        let from = |key: &str, ticket| (vec![Some((key.to_owned(), ticket))], false, false);
        assert_eq!(outcome(plan(None, Some(("other", 2, None)))), from("other", 2));
        assert_eq!(outcome(plan(None, Some(("other", 2, Some(over(face("other", 2))))))), from("other", 2));
        // The same job, inserted once more after it had gone.
        assert_eq!(outcome(plan(None, Some(("own", 9, Some(face("own", 1)))))), from("own", 9));
    }
}
