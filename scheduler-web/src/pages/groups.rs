//! What is done to many jobs at once, from the page of jobs: asked for, confirmed with how many they are, and done.

use askama::Template;
use http::StatusCode;
use scheduler_core::{Pause, store::JobFilter};

use super::{forms::pause, frame::Frame, job::at, links, page as shown, rendered};
use crate::{
    answer::Answer,
    calls::{CountJobs, Group, GroupErrorView, PauseJobs, RemoveJobs, ResumeJobs, RunJobs},
    operation::Operation,
    operator::{At, Operator},
    params::Params,
    problem::Problem,
};

/// What can be done to many jobs from the pages.
pub(super) const OPERATIONS: [Operation; 4] =
    [Operation::RunJob, Operation::PauseJob, Operation::ResumeJob, Operation::RemoveJob];

/// The parameters of the page of jobs that say which jobs are listed, and how.
pub(super) const OF_LIST: [&str; 8] = ["text", "task", "tag", "state", "store", "executor", "order", "limit"];

/// How many of the chosen jobs are named.
const NAMED: usize = 20;

/// The page of jobs as these parameters show it.
pub(super) fn list(params: &Params, more: &[(&str, &str)]) -> String {
    let mut pairs = vec![("page", "jobs")];
    for name in OF_LIST {
        pairs.extend(params.all(name).map(|value| (name, value)));
    }
    pairs.extend(more);
    links::to(&pairs)
}

/// How a job is named in a form.
pub(super) fn value(store: &str, id: &str) -> String {
    links::to(&[("store", store), ("id", id)]).trim_start_matches('?').to_owned()
}

/// Who is meant by a form.
enum Meant {
    /// These.
    Chosen(Vec<At>),
    /// Those of the filter in the address.
    Listed(JobFilter),
}

/// Answers a form of the page of jobs: first with a question, then by doing it.
pub(super) async fn answer(
    operator: &Operator<'_>,
    frame: &Frame<'_>,
    params: &Params,
    form: &Params,
) -> Result<Answer, Problem> {
    let meant = match form.one("which") {
        Some("listed") => Meant::Listed(params.job_filter()?),
        _ => Meant::Chosen(form.all("job").map(|job| at(&Params::read(job.as_bytes())?)).collect::<Result<_, _>>()?),
    };
    if matches!(&meant, Meant::Chosen(jobs) if jobs.is_empty()) {
        let detail = "no job is chosen: tick those that are meant, or choose all that are listed";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "nothing_chosen", detail));
    }
    if let Some(wanted) = form.one("ask") {
        return ask(operator, frame, params, named(wanted)?, meant, Sent::Nothing).await;
    }
    let operation = named(form.required("do")?)?;
    match (operation, pause(form)) {
        // The form is kept, with what is wrong beside it.
        (Operation::PauseJob, Err(problem)) => {
            ask(operator, frame, params, operation, meant, Sent::Refused { form, problem: &problem }).await
        }
        (_, pause) => perform(operator, frame, params, operation, pause.unwrap_or_default(), meant).await,
    }
}

/// What the form of the question has had before.
#[derive(Clone, Copy)]
enum Sent<'a> {
    Nothing,
    /// This, which was not done.
    Refused {
        form: &'a Params,
        problem: &'a Problem,
    },
}

fn named(wanted: &str) -> Result<Operation, Problem> {
    let found = OPERATIONS.into_iter().find(|operation| operation.name() == wanted);
    found.ok_or_else(|| Problem::malformed(format!("pages do not `{wanted}` for many jobs")))
}

#[derive(Template)]
#[template(path = "group.html")]
struct Question<'a> {
    frame: &'a Frame<'a>,
    operation: Operation,
    verb: &'static str,
    /// How many jobs are meant, as they were counted now.
    count: u64,
    /// What it is done to of these.
    explained: &'static str,
    names: Vec<String>,
    more: usize,
    /// What the form carries for those that are chosen; none if all that are listed are meant.
    values: Vec<String>,
    action: String,
    sent: Sent<'a>,
}

impl Question<'_> {
    fn typed(&self, name: &str) -> &str {
        match self.sent {
            Sent::Nothing => "",
            Sent::Refused { form, .. } => form.one(name).unwrap_or_default(),
        }
    }

    fn refusal(&self) -> Option<&str> {
        match self.sent {
            Sent::Nothing => None,
            Sent::Refused { problem, .. } => Some(&problem.detail),
        }
    }
}

async fn ask(
    operator: &Operator<'_>,
    frame: &Frame<'_>,
    params: &Params,
    operation: Operation,
    meant: Meant,
    sent: Sent<'_>,
) -> Result<Answer, Problem> {
    if !frame.may(operation) {
        return Err(Problem::not_permitted(operation));
    }
    let (count, names, values) = match meant {
        Meant::Listed(filter) => {
            let counts = operator.perform(CountJobs { store: params.store(), filter }).await?;
            let count = match operation {
                Operation::PauseJob => counts.active,
                Operation::ResumeJob => counts.paused,
                _ => counts.total(),
            };
            (count, Vec::new(), Vec::new())
        }
        Meant::Chosen(jobs) => {
            let value = |at: &At| value(at.store.as_ref().map(|it| it.as_str()).unwrap_or_default(), at.id.as_str());
            let names: Vec<String> = jobs.iter().map(|at| at.id.to_string()).collect();
            (jobs.len() as u64, names, jobs.iter().map(value).collect())
        }
    };
    let (verb, explained) = words(operation);
    let status = match sent {
        Sent::Nothing => StatusCode::OK,
        Sent::Refused { problem, .. } => problem.status,
    };
    let question = Question {
        frame,
        operation,
        verb,
        count,
        explained,
        more: names.len().saturating_sub(NAMED),
        names: names.into_iter().take(NAMED).collect(),
        values,
        action: list(params, &[]),
        sent,
    };
    Ok(rendered(status, &question))
}

/// What a button says, and what it does.
pub(super) fn words(operation: Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::RunJob => ("Run", "Each of them runs once, now, beside its schedule; paused ones, too."),
        Operation::PauseJob => ("Pause", "Those of them that are active do not fire until they are resumed."),
        Operation::ResumeJob => ("Resume", "Those of them that are paused fire again, from their next fire times on."),
        _ => (
            "Remove",
            "They and their schedules are deleted. Waiting runs end as cancelled; running ones go on to their end. This cannot be undone.",
        ),
    }
}

#[derive(Template)]
#[template(path = "group_failed.html")]
struct Failed<'a> {
    frame: &'a Frame<'a>,
    done: u64,
    failed: usize,
    errors: Vec<(String, String, String)>,
    back: String,
}

async fn perform(
    operator: &Operator<'_>,
    frame: &Frame<'_>,
    params: &Params,
    operation: Operation,
    pause: Pause,
    meant: Meant,
) -> Result<Answer, Problem> {
    let group = match meant {
        Meant::Chosen(jobs) => Group::chosen(jobs),
        Meant::Listed(filter) => Group::of(params.store(), filter),
    };
    let told = match operation {
        Operation::RunJob => operator.perform(RunJobs(group)).await?,
        Operation::PauseJob => operator.perform(PauseJobs { group, pause }).await?,
        Operation::ResumeJob => operator.perform(ResumeJobs(group)).await?,
        _ => operator.perform(RemoveJobs(group)).await?,
    };
    if told.failed == 0 {
        let count = told.done.to_string();
        return Ok(Answer::see_other(&list(params, &[("done", operation.name()), ("count", &count)])));
    }
    let row = |it: GroupErrorView| (links::job(&it.store, &it.job), it.job, it.error);
    shown(&Failed {
        frame,
        done: told.done,
        failed: told.failed,
        errors: told.errors.into_iter().map(row).collect(),
        back: list(params, &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_a_value_that_is_read_back_whatever_its_id() {
        for id in ["hourly", "a/b", "x&id=y", "größe \"<b>\"", "a=b%20c"] {
            let read = at(&Params::read(value("default", id).as_bytes()).unwrap()).unwrap();
            assert_eq!(read, At { store: Some("default".into()), id: id.into() });
        }
    }

    #[test]
    fn the_way_back_has_the_filter_and_nothing_else() {
        let params = Params::read(b"page=jobs&tag=a&tag=b&state=&cursor=x&done=pause_job").unwrap();
        assert_eq!(list(&params, &[("done", "run_job")]), "?page=jobs&tag=a&tag=b&done=run_job");
    }
}
