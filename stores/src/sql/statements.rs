//! The statements that a database brings, and the lists of columns in them.
//!
//! A statement takes a whole batch as one JSON array, so that its cost does not grow by a round trip a row.

use std::sync::Arc;

use crate::kit::columns::{DEFINITION, HEAD, READ_LIMIT, RUN};

/// How much is read of why a run has failed, in characters; what is written is far shorter.
const ERROR_LIMIT: usize = 64 << 10;

/// A statement's text, cheap to clone and the key of the cache of prepared statements.
pub(crate) type Text = Arc<str>;

/// Makes the struct of statements, and what works on all of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The statements of one store. Arguments are numbered in the order in which they are given. A head is read as in
        /// [`decode_head`](crate::kit::columns::decode_head), a job as in [`decode_job`](crate::kit::columns::decode_job), a run as in
        /// [`decode_run`](crate::kit::columns::decode_run). Where a database has several writers at once, rows that are "locked"
        /// stay as they are until the transaction ends.
        #[derive(Debug)]
        pub(crate) struct Statements<T = Text> {
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
    /// Which uids are there. 1 uids.
    known,
    /// Live jobs. 1 ids.
    jobs_by_id,
    /// A job, locked. 1 uid.
    job_by_uid,
    /// A page of live jobs by the bytes of their ids. 1 the id before, 2 limit.
    jobs,
    /// A page of runs, the newest first. 1 uid, 2 the number before, 3 limit.
    runs,

    /// Heads, locked in the order of their uids. 1 uids.
    heads,
    /// The same without those that someone else has locked. 1 uids.
    free_heads,
    /// Heads of live jobs, locked in the order of their uids. 1 ids.
    heads_by_id,
    /// The first heads of live jobs, locked. 1 limit.
    heads_of_live,
    /// The runs of jobs that have not ended. 1 uids.
    open_runs,
    /// The uids of jobs and their tasks. 1 uids.
    tasks,
    /// Runs. 1 `[[uid, seq]]`.
    runs_by_key,
    /// 1 `[[key, head..]]`.
    write_heads,
    /// 1 `[[key, definition..]]`.
    write_definitions,
    /// Adds runs or puts them in the place of those with their numbers. 1 `[[run..]]`.
    write_runs,
    /// Deletes the runs of jobs. 1 keys of jobs.
    delete_runs,
    /// 1 keys.
    delete_jobs,
    /// Deletes the ended runs of jobs but for the newest ones. 1 `[[uid, how many are kept]]`.
    prune,

    /// The jobs that a claim can take, locked, without those that someone else has locked, by (due, uid).
    /// 1 now, 2 tasks, 3 version, 4 owner, 5 when claims have to have lapsed by that are taken, 6 limit.
    due,
    /// 1 owner, 2 until, 3 keys.
    claim,
    /// What is over stays so, since its id may belong to another job by now. 1 `[[key, reason]]`.
    quarantine,
    /// When a claim that has taken all that it could should come again, as three columns: the first due after now of jobs
    /// that are unclaimed or the node's own; the first end of another node's claim, or the due of a job that was passed
    /// over because someone else has it locked; the first end of another node's lease that covers runs.
    /// 1 now, 2 tasks, 3 version, 4 owner, 5 until when the owner's claims of this call are.
    next,
    /// The first due jobs that nobody holds and this node cannot run: id, task, v. 1 now, 2 tasks, 3 version, 4 limit.
    declined,

    /// A node's lease and its last claim, locked. 1 id.
    node,
    /// The ids of other nodes whose lease has passed, in their order, locked, without those that someone else has locked. 1 owner, 2 now.
    lapsed,
    /// Writes the node of a claim, if it holds a claim or a run. A lease is never shortened.
    /// 1 id, 2 until, 3 number of the claim, 4 now.
    write_node,
    /// Renews the lease of a node that is there or has runs, and never shortens it. 1 id, 2 until.
    renew_node,
    /// Shows that others have begun to take over a node. 1 id.
    take_node,
    /// 1 id.
    delete_node,
    /// The running runs of a node. 1 owner, 2 limit.
    running,
    /// Those that are asked to stop, by uid and number. 1 owner.
    asked,
    /// Gives up the claims of a node. 1 owner, 2 now.
    unclaim,
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
        const TEXTS: [&str; 11] =
            ["uid", "id", "body", "task", "state", "reason", "owner", "totals", "wait", "verdict", "error"];
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
    /// written, `{head}`, `{job}` and `{run}` (of `r`) for those that are read, `{insert_values}`, `{run_values}`,
    /// `{head_set}` and `{definition_set}` for the values of an argument's row. `key` is the column that names a row;
    /// `value` tells where in the row a value is.
    pub(crate) fn new(prefix: &str, key: &str, value: impl Fn(usize, Kind) -> String) -> Self {
        let join = |columns: &[&str]| columns.join(", ");
        let values = |columns: &[&str]| {
            columns.iter().enumerate().map(|(at, it)| value(at, Kind::of(it))).collect::<Vec<_>>().join(", ")
        };
        let set = |columns: &[&str]| {
            let sets = columns.iter().enumerate().map(|(at, it)| format!("{it} = {}", value(at + 1, Kind::of(it))));
            sets.collect::<Vec<_>>().join(", ")
        };
        let head = format!("{key}, history, uid, id, task, {}", join(&HEAD));
        let inserted = inserted();
        let body = format!("substr(body, 1, {})", READ_LIMIT + 1);
        let of_run = |column| match column {
            "error" => format!("substr(r.error, 1, {ERROR_LIMIT})"),
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
            ("{inserted}", join(&inserted)),
            ("{insert_values}", values(&inserted)),
            ("{run_values}", values(&RUN)),
            ("{head_set}", set(&HEAD)),
            ("{definition_set}", set(&DEFINITION)),
        ])
    }

    /// Adds what another name stands for.
    pub(crate) fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.0.push((name, text.into()));
        self
    }

    /// A text with its lists.
    pub(crate) fn fill(&self, text: &str) -> Text {
        self.0.iter().fold(text.to_owned(), |text, (name, list)| text.replace(name, list)).into()
    }
}
