//! The form that adds a job, with a preview of its fire times, and the fields of the one that changes it.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::{
    frame::Frame,
    job::{Preview, preview},
    links, page as shown,
};
use crate::{
    answer::Answer,
    api::{job_id, trigger},
    calls::AddJob,
    operation::Operation,
    operator::Operator,
    params::Params,
    problem::Problem,
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
        return shown(&Page { frame, form, preview: Some(previewed(operator, frame, form).await?) });
    }
    let job = AddJob {
        id: form.one("id").map(job_id).transpose()?,
        store: form.store(),
        task: form.required("task")?.into(),
        args: args(form)?.unwrap_or_default(),
        trigger: form.one("trigger").map(trigger).transpose()?,
        name: form.one("name").map(str::to_owned),
        executor: form.one("executor").map(Into::into),
        tags: tags(form),
        is_paused: form.one("paused").is_some(),
    };
    let job = operator.perform(job).await?;
    let link = match frame.may(Operation::ReadJob) {
        true => links::job(&job.store, &job.id),
        false => links::page("add"),
    };
    Ok(Answer::see_other(&format!("{link}&done={}", Operation::AddJob.name())))
}

async fn previewed(operator: &Operator<'_>, frame: &Frame<'_>, form: &Params) -> Result<Preview, Problem> {
    let mut told = match form.one("trigger") {
        Some(text) => preview(operator, frame, job_id(form.one("id").unwrap_or("preview"))?, text).await,
        None => Preview::of_now(),
    };
    // Told here as well, so that the form is kept.
    if let Err(problem) = args(form) {
        told.problem = Some(problem.detail);
    }
    Ok(told)
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
