//! The statements that a database brings, and the lists of columns in them.
//!
//! A statement takes a whole batch as one JSON array, so that its cost does not grow by a round trip a row.

use std::sync::Arc;

use crate::kit::columns::{COUNTED_HEAD, DEFINITION, HEAD, MOVED_HEAD, READ_LIMIT, RUN};

/// How much is read of why a run has failed, in characters; what is written is far shorter.
const ERROR_LIMIT: usize = 64 << 10;

/// How much is read of the errors of earlier attempts, and of an output.
const LIST_LIMIT: usize = 1 << 20;

/// The text of a statement, cheap to clone and the key of the cache of prepared statements.
pub(crate) type Sql = Arc<str>;

/// Makes the struct of statements, and what works on all of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The statements of one store. Arguments are numbered in the order in which they are given. A head is read as in
        /// [`decode_head`](crate::kit::columns::decode_head), a job as in [`decode_job`](crate::kit::columns::decode_job), a run as in
        /// [`decode_run`](crate::kit::columns::decode_run). Where a database has several writers at once, rows that are "locked"
        /// stay as they are until the transaction ends.
        #[derive(Debug)]
        pub(crate) struct Statements<T = Sql> {
            $($(#[$doc])* pub(crate) $name: T,)+
        }

        impl<T> Statements<T> {
            /// The same with each text made into another.
            pub(crate) fn map<U>(self, mut map: impl FnMut(T) -> U) -> Statements<U> {
                Statements { $($name: map(self.$name),)+ }
            }

            /// All statements, by name.
            #[cfg(test)]
            pub(crate) fn all(&self) -> Vec<(&'static str, &T)> {
                vec![$((stringify!($name), &self.$name),)+]
            }
        }
    };
}

statements! {
    /// Adds jobs unless the uid or the live id is there. 1 jobs: `[[uid, id, head.., definition..]]`. Returns the uids of
    /// those that were added, or nothing if the database cannot.
    insert,
    /// Adds tags of jobs, unless they are there. 1 `[[uid, tag]]`.
    insert_tags,
    /// Which uids are there. 1 uids.
    known,
    /// Live jobs. 1 ids.
    jobs_by_id,
    /// A page of live jobs by the bytes of their ids. 1 the id before, 2 limit.
    jobs,
    /// A page of runs, the newest first. 1 uid, 2 the number before, 3 limit.
    runs,

    /// The uids of live jobs. 1 ids.
    live,
    /// The uids of a page of live jobs by the bytes of their ids. 1 the id before, 2 limit.
    live_after,
    /// Heads, locked in the order of their uids. 1 uids.
    heads,
    /// The same without those that another transaction has locked. 1 uids.
    free_heads,
    /// Jobs, locked in the order of their uids. 1 uids.
    jobs_by_uid,
    /// Jobs that are only shown, which are not locked. 1 uids.
    shown,
    /// The runs of jobs that have not ended. 1 uids.
    open_runs,
    /// Runs. 1 `[[uid, seq]]`.
    runs_by_key,
    /// 1 `[[key, head..]]`.
    write_heads,
    /// Heads of which only [`MOVED_HEAD`] has changed. 1 `[[key, moved head..]]`.
    write_moved_heads,
    /// Heads of which only [`COUNTED_HEAD`] has changed. 1 `[[key, counted head..]]`.
    write_counted_heads,
    /// 1 `[[key, definition..]]`.
    write_definitions,
    /// Adds runs or puts them in the place of those with their numbers. 1 `[[run..]]`.
    write_runs,
    /// Deletes the runs of jobs. 1 keys of jobs.
    delete_runs,
    /// Deletes the tags of jobs. 1 keys of jobs.
    delete_tags,
    /// 1 keys.
    delete_jobs,
    /// Deletes the ended runs of jobs but for the newest ones. 1 `[[uid, how many are kept]]`.
    prune,

    /// The jobs that a claim can take, locked, without those that another transaction has locked, by (due, uid).
    /// 1 now, 2 tasks, 3 version, 4 owner, 5 when claims have to have lapsed by that are taken, 6 limit, 7 since when they are due.
    due,
    /// 1 owner, 2 until, 3 keys.
    claim,
    /// What is over stays so, since its id may belong to another job by now. 1 `[[key, reason]]`.
    quarantine,
    /// When a claim that has taken all that it could should come again, as two columns: the first due after now of jobs
    /// that are unclaimed or the node's own; the first end of another node's claim, or the due of a job that was passed
    /// over because another transaction has it locked.
    /// 1 now, 2 tasks, 3 version, 4 owner, 5 until when the owner's claims of this call are.
    next,
    /// The uids of jobs that are over and stay known until a time up to now, in any order. 1 now, 2 limit.
    expired,
    /// The first due jobs that no node has claimed and this one cannot run: id, task, v. 1 now, 2 tasks, 3 version, 4 limit.
    declined,

    /// All nodes: their ids, leases and last claims, and 1 for those that run something, else 0.
    nodes,
    /// A node's lease and its last claim, not locked. 1 id.
    node,
    /// The same, locked. 1 id.
    own_node,
    /// The same unless another transaction has it locked. 1 id.
    free_node,
    /// What the nodes say of themselves: their ids, and that.
    node_infos,
    /// Adds a node unless it is there. 1 id, 2 lease, 3 number of its last claim, 4 what it says of itself, which is nothing if empty.
    insert_node,
    /// Writes a node that is there. 1 id, 2 lease, 3 number of its last claim.
    write_node,
    /// 1 id.
    delete_node,
    /// The uids of jobs that a node has claimed, which are due, in any order. 1 owner, 2 limit, 3 now.
    claimed,
    /// The first uids of jobs of which a node runs something. 1 owner, 2 limit.
    running,
    /// The running runs of a node that are asked to stop, by uid and number. 1 owner, 2 limit.
    stopping,

    /// Places of live jobs, in the order of their ids: uid, id, next fire time, task, state, and how many of the wanted tags they
    /// have, as for the next six. 1 wanted tags, 2 the first id, 3 an id that is left out, 4 limit.
    found_by_id,
    /// Those with a next fire time, by their ids. 1 wanted tags, 2 next fire time, 3 the id before, 4 limit.
    found_tied,
    /// Those with a later next fire time, in the order of these and ids. 1 wanted tags, 2 next fire time, 3 limit.
    found_later,
    /// Those without a next fire time, by their ids. 1 wanted tags, 2 the id before, 3 limit.
    found_never,
    /// Those with a tag, in any order. 1 wanted tags, 2 tag, 3 limit.
    found_by_tag,
    /// Those of a task, in any order. 1 wanted tags, 2 task, 3 limit.
    found_by_task,
    /// Those in a state that is not `active`, in any order. 1 wanted tags, 2 state, 3 limit.
    found_by_state,
    /// A row if there are more than so many with a tag, those that are over included. 1 tag, 2 how many.
    more_by_tag,
    /// A row if there are more than so many of a task. 1 task, 2 how many.
    more_by_task,
    /// A row if there are more than so many in a state that is not `active`. 1 state, 2 how many.
    more_by_state,
    /// The uids of those of some jobs that have a text in their id or definition, in small letters of ASCII. 1 uids, 2 text.
    having_text,
    /// Places of jobs that are over and stay known, with an id, by their uids. 1 wanted tags, 2 id, 3 the uid before, 4 limit.
    over_tied,
    /// Those with later ids, by their ids and uids. 1 wanted tags, 2 the id before, 3 limit.
    over_later,
    /// How many there are.
    count_over,
    /// How many live jobs are in each state: the word and the number. The word `live` stands for all of them, where the active
    /// ones are not counted by themselves.
    counts,
    /// The same of those with a tag, without `live`. 1 tag.
    counts_by_tag,
    /// The same of those of a task. 1 task.
    counts_by_task,
    /// Places of runs with a fire time, the last ids first: uid, number, fire time, state, verdict, owner, and id and task of the job if
    /// it is live or stays known, as for the next five. 1 fire time, 2 uid and 3 number behind, 4 limit.
    fired_tied,
    /// Those before a fire time, the newest first. 1 fire time, 2 the earliest, 3 limit.
    fired,
    /// As `fired_tied` with a verdict that is not `ok`. 1 verdict, 2 fire time, 3 uid and 4 number behind, 5 limit.
    judged_tied,
    /// As `fired` with a verdict that is not `ok`. 1 verdict, 2 fire time, 3 the earliest, 4 limit.
    judged,
    /// Those of jobs, in any order. 1 uids, 2 limit.
    fired_by_job,
    /// Those that have not ended, in any order. 1 limit.
    fired_open,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Text,
}

impl Kind {
    /// The kind of a column of a job or a run.
    pub(crate) fn of(column: &str) -> Self {
        const TEXTS: [&str; 14] = [
            "uid", "id", "body", "task", "state", "reason", "owner", "totals", "wait", "verdict", "error", "tag",
            "errors", "output",
        ];
        if TEXTS.contains(&column) { Self::Text } else { Self::Integer }
    }
}

/// The columns of a job that is added.
pub(crate) fn inserted() -> Vec<&'static str> {
    [&["uid", "id"], &HEAD[..], &DEFINITION[..]].concat()
}

/// Lists of columns for the statements.
#[derive(Debug)]
pub(crate) struct Lists(Vec<(&'static str, String)>);

impl Lists {
    /// `{p}` stands for the prefix of the tables' names, `{inserted}`, `{heads}` and `{runs}` for the columns that are
    /// written, `{head}`, `{job}` and `{run}` (of `r`) for those that are read, `{place}` (of `k`) and `{fired}` (of `r` and `k`) for
    /// those by which searches decide. `{insert_values}`, `{run_values}`, `{head_set}`, `{moved_head_set}`, `{counted_head_set}` and
    /// `{definition_set}` stand for the values of an argument's row. `key` is the column that names a row; `value` tells where in the row
    /// a value is.
    pub(crate) fn new(prefix: &str, key: &str, value: impl Fn(usize, Kind) -> String) -> Self {
        let join = |columns: &[&str]| columns.join(", ");
        let values = |columns: &[&str]| {
            columns.iter().enumerate().map(|(at, it)| value(at, Kind::of(it))).collect::<Vec<_>>().join(", ")
        };
        let set = |columns: &[&str]| {
            let sets = columns.iter().enumerate().map(|(at, it)| format!("{it} = {}", value(at + 1, Kind::of(it))));
            sets.collect::<Vec<_>>().join(", ")
        };
        let head = format!("{key}, history, retention, uid, id, task, {}", join(&HEAD));
        let inserted = inserted();
        let body = format!("substr(body, 1, {})", READ_LIMIT + 1);
        let of_run = |column| match column {
            "error" => format!("substr(r.error, 1, {ERROR_LIMIT})"),
            "errors" | "output" => format!("substr(r.{column}, 1, {LIST_LIMIT})"),
            _ => format!("r.{column}"),
        };
        Self(vec![
            ("{p}", prefix.to_owned()),
            ("{heads}", join(&HEAD)),
            ("{runs}", join(&RUN)),
            // What is too large is cut off, and is no JSON then; so much is read of what comes over the line, too.
            (
                "{job}",
                format!(
                    "{head}, {}",
                    join(&DEFINITION.map(|column| if column == "body" { body.as_str() } else { column }))
                ),
            ),
            ("{head}", head),
            ("{run}", join(&RUN.map(of_run).each_ref().map(String::as_str))),
            ("{place}", "k.uid, k.id, k.next_fire_time, k.task, k.state".to_owned()),
            ("{fired}", "r.uid, r.seq, r.fire_time, r.state, r.verdict, r.owner, k.id, k.task".to_owned()),
            ("{inserted}", join(&inserted)),
            ("{insert_values}", values(&inserted)),
            ("{run_values}", values(&RUN)),
            ("{head_set}", set(&HEAD)),
            ("{moved_head_set}", set(&MOVED_HEAD)),
            ("{counted_head_set}", set(&COUNTED_HEAD)),
            ("{definition_set}", set(&DEFINITION)),
        ])
    }

    /// Adds what another name stands for.
    pub(crate) fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.0.push((name, text.into()));
        self
    }

    /// A text with its lists.
    pub(crate) fn fill(&self, text: &str) -> Sql {
        self.0.iter().fold(text.to_owned(), |text, (name, list)| text.replace(name, list)).into()
    }
}
