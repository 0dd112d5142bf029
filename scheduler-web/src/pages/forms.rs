//! Forms: a change, and then the page that shows what came of it.

use http::{StatusCode, header, request::Parts};
use scheduler_core::{Pause, RunId};

use super::{
    add,
    frame::{Frame, Page},
    groups,
    job::{self, Refused, at},
    links,
};
use crate::{
    answer::Answer,
    api::trigger,
    calls::{CancelRun, ChangeJob, PauseJob, RemoveJob, RemovePutAside, RescheduleJob, ResumeJob, RunJob},
    operation::Operation,
    operator::Operator,
    params::Params,
    problem::Problem,
};

/// Does what a form asks for. The address says which job, and the field `do` which operation.
pub(super) async fn answer(
    operator: &Operator<'_>,
    frame: &Frame<'_>,
    params: &Params,
    request: &Parts,
    body: &[u8],
) -> Result<Answer, Problem> {
    let content_type = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|it| it.starts_with("application/x-www-form-urlencoded")) {
        let detail = "send the fields of a form, or use the API";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no_form", detail));
    }
    let form = Params::read(body)?;
    if frame.page == Page::Jobs {
        return groups::answer(operator, frame, params, &form).await;
    }
    if frame.page == Page::Add {
        return add::answer(operator, frame, &form).await;
    }
    let wanted = form.required("do")?;
    let operation = Operation::ALL.into_iter().find(|operation| operation.name() == wanted);
    let operation = operation.ok_or_else(|| unknown(wanted))?;
    match perform(operator, params, &form, operation).await {
        Ok(back) => Ok(Answer::see_other(&format!("{back}&done={wanted}"))),
        Err(problem) if frame.page == Page::Job => {
            let refused = Refused { operation, form: &form, problem: &problem };
            // Without the page of the job there is nothing to show the form on.
            job::refused(operator, frame, params, refused).await.ok_or(problem)
        }
        Err(problem) => Err(problem),
    }
}

/// Does it to the job that the address names, and says where to go on.
async fn perform(
    operator: &Operator<'_>,
    params: &Params,
    form: &Params,
    operation: Operation,
) -> Result<String, Problem> {
    let at = at(params)?;
    let back = links::job(params.one("store").unwrap_or_default(), at.id.as_str());
    match operation {
        Operation::RunJob => {
            operator.perform(RunJob(at)).await?;
        }
        Operation::PauseJob => {
            operator.perform(PauseJob { at, pause: pause(form)? }).await?;
        }
        Operation::ResumeJob => {
            operator.perform(ResumeJob(at)).await?;
        }
        Operation::RescheduleJob => {
            let trigger = trigger(form.required("trigger")?)?;
            operator.perform(RescheduleJob { at, trigger }).await?;
        }
        Operation::ChangeJob => {
            let field = |name| form.one(name);
            let change = ChangeJob {
                at,
                task: field("task").map(Into::into),
                args: add::args(form)?,
                name: field("name").map(str::to_owned),
                executor: field("executor").map(Into::into),
                // An empty field has no tags; a form without the field leaves them as they are.
                tags: form.has("tags").then(|| add::tags(form)),
            };
            operator.perform(change).await?;
        }
        Operation::CancelRun => {
            let run = form.parsed::<RunId>("run", "the id of a run")?;
            let run = run.ok_or_else(|| Problem::malformed("`run` is missing"))?;
            operator.perform(CancelRun { at, run }).await?;
        }
        Operation::RemoveJob => {
            operator.perform(RemoveJob(at)).await?;
            return Ok(links::page("jobs"));
        }
        Operation::RemovePutAside => {
            operator.perform(RemovePutAside(at)).await?;
            return Ok(links::page("put-aside"));
        }
        _ => return Err(unknown(operation.name())),
    }
    Ok(back)
}

fn unknown(wanted: &str) -> Problem {
    Problem::malformed(format!("pages do not `{wanted}`; the API may"))
}

/// The note and the end of a pause, as the fields of a form have them.
pub(super) fn pause(form: &Params) -> Result<Pause, Problem> {
    let pause = form.one("note").into_iter().fold(Pause::new(), Pause::note);
    Ok(form.instant("until")?.into_iter().fold(pause, Pause::until))
}
