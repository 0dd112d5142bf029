//! The form that adds a job, with a preview of its fire times, and the fields of the one that changes it.

use askama::Template;
use http::StatusCode;
use scheduler_core::JobId;
use serde_json::Value;

use super::{
    frame::Frame,
    job::{Preview, preview},
    links, page as shown, rendered,
};
use crate::{
    answer::Answer, api::trigger, calls::AddJob, operation::Operation, operator::Operator, params::Params,
    problem::Problem, views::JobView,
};

#[derive(Template)]
#[template(path = "add.html")]
struct Page<'a> {
    frame: &'a Frame<'a>,
    form: &'a Params,
    preview: Option<Preview>,
}

impl Page<'_> {
    /// What a field has, so that nothing has to be written twice.
    fn field(&self, name: &str) -> &str {
        self.form.one(name).unwrap_or_default()
    }
}

/// The empty form.
pub(super) fn page(frame: &Frame<'_>) -> Result<Answer, Problem> {
    if !frame.may(Operation::AddJob) {
        return Err(Problem::not_permitted(Operation::AddJob));
    }
    shown(&Page { frame, form: &Params::default(), preview: None })
}

/// Previews the job of a form, or adds it. What the form has never stands in an address.
pub(super) async fn answer(operator: &Operator<'_>, frame: &Frame<'_>, form: &Params) -> Result<Answer, Problem> {
    if !frame.may(Operation::AddJob) {
        return Err(Problem::not_permitted(Operation::AddJob));
    }
    if form.one("do") != Some(Operation::AddJob.name()) {
        return shown(&Page { frame, form, preview: Some(previewed(operator, frame, form).await) });
    }
    let job = match added(operator, form).await {
        Ok(job) => job,
        // The form is kept, with what is wrong beside it.
        Err(problem) => {
            let mut preview = previewed(operator, frame, form).await;
            let _ = preview.problem.get_or_insert(problem.detail);
            return Ok(rendered(problem.status, &Page { frame, form, preview: Some(preview) }));
        }
    };
    let link = match frame.may(Operation::ReadJob) {
        true => links::job(&job.store, &job.id),
        false => links::page("add"),
    };
    Ok(Answer::see_other(&format!("{link}&done={}", Operation::AddJob.name())))
}

async fn added(operator: &Operator<'_>, form: &Params) -> Result<JobView, Problem> {
    let job = AddJob {
        id: id(form)?,
        store: form.store(),
        task: form.required("task")?.into(),
        args: args(form)?.unwrap_or_default(),
        trigger: form.one("trigger").map(trigger).transpose()?,
        name: form.one("name").map(str::to_owned),
        executor: form.one("executor").map(Into::into),
        tags: tags(form),
        is_paused: form.one("paused").is_some(),
    };
    operator.perform(job).await
}

/// What is told of the job of a form before it is added. What is wrong is told here, so that the form is kept.
async fn previewed(operator: &Operator<'_>, frame: &Frame<'_>, form: &Params) -> Preview {
    let (id, arguments) = (id(form), args(form));
    let mut told = match form.one("trigger") {
        Some(text) => preview(operator, frame, id.as_ref().ok().cloned().flatten(), text).await,
        None => Preview::of_now(),
    };
    let wrong = [id.err(), arguments.err()].into_iter().flatten().next();
    told.problem = wrong.map(|problem| problem.detail).or(told.problem);
    told
}

/// The id of a form, if there is one.
fn id(form: &Params) -> Result<Option<JobId>, Problem> {
    let checked = |text: &str| {
        let id = JobId::from(text);
        id.check().map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "job", why))?;
        Ok(id)
    };
    form.one("id").map(checked).transpose()
}

/// The arguments of a form, if there are any.
pub(super) fn args(form: &Params) -> Result<Option<Value>, Problem> {
    let read = |text: &str| {
        serde_json::from_str(text).map_err(|error| {
            let detail = format!("the arguments are not JSON: {error}; a text stands in quotes");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "arguments", detail)
        })
    };
    form.one("args").map(read).transpose()
}

/// The tags of a form.
pub(super) fn tags(form: &Params) -> Vec<String> {
    let tags = form.one("tags").unwrap_or_default().split(',').map(str::trim);
    tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}
