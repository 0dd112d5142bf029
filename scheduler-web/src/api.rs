//! The JSON API: the same operations as the pages', for programs.

mod openapi;
mod routes;

use std::str;

use http::{HeaderValue, StatusCode, header, request::Parts};
use percent_encoding::percent_decode_str;
use scheduler_core::{JobId, Pause, RunId, StoreName, Trigger, store::JobFilter};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use self::routes::{Endpoint, Found};
use crate::{
    answer::Answer,
    calls::{
        AddJob, CancelRun, ChangeJob, CountJobs, ExplainJob, Group, ListJobs, PauseJob, PauseJobs, PreviewTrigger,
        ReadHistory, ReadJob, ReadNodes, ReadPutAside, ReadRuns, ReadUpcoming, RemoveJob, RemoveJobs, RemovePutAside,
        RescheduleJob, RescheduleJobs, ResumeJob, ResumeJobs, RunJob, RunJobs, WatchChanges,
    },
    operation::Operation,
    operator::{At, Operator},
    params::{self, Params},
    problem::Problem,
    upcoming::{HOURS_LIMIT, Listed},
};

/// The most fire times that are shown of a job.
const FIRE_TIMES: usize = 100;

/// What follows `/api/v1` in a path, if it begins so.
pub(crate) fn path(path: &str) -> Option<&str> {
    path.strip_prefix("/api/v1").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) async fn answer(operator: &Operator<'_>, path: &str, request: &Parts, body: &[u8]) -> Answer {
    let (endpoint, captures) = match routes::find(path, &request.method) {
        Found::Endpoint(endpoint, captures) => (endpoint, captures),
        Found::Methods(methods) => return Answer::allowed(&request.method, &methods),
        Found::Nothing => return Answer::problem(&Problem::not_found("the API has nothing at this path")),
    };
    let asked = Asked::read(operator, endpoint, &captures, request, body);
    let answered = match asked {
        Ok(asked) => asked.answer(endpoint).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(|problem| Answer::problem(&problem))
}

/// What is asked of an endpoint.
struct Asked<'a> {
    operator: &'a Operator<'a>,
    /// The decoded parts of the path that vary.
    captures: Vec<String>,
    params: Params,
    is_json: bool,
    body: &'a [u8],
}

impl<'a> Asked<'a> {
    fn read(
        operator: &'a Operator<'a>,
        endpoint: Endpoint,
        captures: &[&str],
        request: &Parts,
        body: &'a [u8],
    ) -> Result<Self, Problem> {
        let decoded = captures.iter().map(|part| {
            let part = percent_decode_str(part).decode_utf8();
            part.map(|part| part.into_owned()).map_err(|_| Problem::malformed("the path is not UTF-8"))
        });
        let params = Params::read(request.uri.query().unwrap_or_default().as_bytes())?;
        let known = endpoint.query();
        if let Some(unknown) = params.unknown(&known) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Problem::malformed(format!("`{unknown}` is no parameter of this path, which has: {known}")));
        }
        let content_type = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|it| it.split(';').next()).map(str::trim);
        let is_json = media_type.is_some_and(|it| it.eq_ignore_ascii_case("application/json"));
        Ok(Self { operator, captures: decoded.collect::<Result<_, _>>()?, params, is_json, body })
    }

    async fn answer(&self, endpoint: Endpoint) -> Result<Answer, Problem> {
        match endpoint {
            Endpoint::OpenApi => ok(&openapi::document()),
            Endpoint::Operations => ok(&self.operations()),
            Endpoint::ListJobs
            | Endpoint::CountJobs
            | Endpoint::ReadJob
            | Endpoint::ExplainJob
            | Endpoint::JobRuns
            | Endpoint::ReadUpcoming
            | Endpoint::PreviewTrigger
            | Endpoint::ReadRuns
            | Endpoint::ReadNodes
            | Endpoint::ReadPutAside => self.look(endpoint).await,
            Endpoint::WatchChanges => Ok(Answer::changes(self.operator.perform(WatchChanges).await?)),
            Endpoint::AddJob
            | Endpoint::ChangeJob
            | Endpoint::RemoveJob
            | Endpoint::RunJob
            | Endpoint::PauseJob
            | Endpoint::ResumeJob
            | Endpoint::RescheduleJob
            | Endpoint::CancelRun
            | Endpoint::RemovePutAside => self.change(endpoint).await,
            Endpoint::RunJobs
            | Endpoint::PauseJobs
            | Endpoint::ResumeJobs
            | Endpoint::RescheduleJobs
            | Endpoint::RemoveJobs => self.change_group(endpoint).await,
        }
    }

    async fn look(&self, endpoint: Endpoint) -> Result<Answer, Problem> {
        let Self { operator, params, .. } = self;
        let store = params.store();
        match endpoint {
            Endpoint::ListJobs => {
                let (filter, order, page) = (params.job_filter()?, params.job_order()?, params.page()?);
                ok(&operator.perform(ListJobs { store, filter, order, page }).await?)
            }
            Endpoint::CountJobs => {
                let counts = operator.perform(CountJobs { store, filter: params.job_filter()? }).await?;
                ok(&counts)
            }
            Endpoint::ReadJob => {
                let fire_times = params.bounded("fire_times", 10, FIRE_TIMES)?;
                ok(&operator.perform(ReadJob { at: self.at()?, fire_times }).await?)
            }
            Endpoint::ExplainJob => {
                let time = params::instant("at", params.required("at")?)?;
                ok(&operator.perform(ExplainJob { at: self.at()?, time }).await?)
            }
            Endpoint::JobRuns => {
                let (filter, page) = (params.run_filter()?, params.page()?);
                ok(&operator.perform(ReadHistory { at: self.at()?, filter, page }).await?)
            }
            Endpoint::ReadUpcoming => {
                let (hours, limit) = (params.bounded("hours", 24, HOURS_LIMIT)?, params.limit()?);
                ok(&operator.perform(ReadUpcoming { hours, limit, listed: Listed::All }).await?)
            }
            Endpoint::PreviewTrigger => {
                let trigger = trigger(params.required("trigger")?)?;
                let (id, fire_times) =
                    (job_id(params.one("id").unwrap_or("preview"))?, params.bounded("fire_times", 10, FIRE_TIMES)?);
                ok(&operator.perform(PreviewTrigger { id, trigger, fire_times }).await?)
            }
            Endpoint::ReadRuns => {
                let (filter, page) = (params.run_filter()?, params.page()?);
                ok(&operator.perform(ReadRuns { store, filter, page }).await?)
            }
            Endpoint::ReadPutAside => ok(&operator.perform(ReadPutAside { store, page: params.page()? }).await?),
            _ => ok(&operator.perform(ReadNodes).await?),
        }
    }

    async fn change(&self, endpoint: Endpoint) -> Result<Answer, Problem> {
        let operator = self.operator;
        match endpoint {
            Endpoint::AddJob => self.add().await,
            Endpoint::ChangeJob => {
                let change: Change = self.json()?;
                let Change { task, args, name, executor, tags } = change;
                let (task, executor) = (task.map(Into::into), executor.map(Into::into));
                ok(&operator.perform(ChangeJob { at: self.at()?, task, args, name, executor, tags }).await?)
            }
            Endpoint::RemoveJob => done(operator.perform(RemoveJob(self.at()?)).await),
            Endpoint::RunJob => {
                let run = operator.perform(RunJob(self.at()?)).await?;
                Ok(Answer::json(StatusCode::ACCEPTED, &json!({"run": run.to_string()})))
            }
            Endpoint::PauseJob => {
                let pause = self.pause()?;
                ok(&operator.perform(PauseJob { at: self.at()?, pause }).await?)
            }
            Endpoint::ResumeJob => ok(&operator.perform(ResumeJob(self.at()?)).await?),
            Endpoint::RescheduleJob => {
                let Reschedule { trigger: text } = self.json()?;
                let trigger = trigger(&text)?;
                ok(&operator.perform(RescheduleJob { at: self.at()?, trigger }).await?)
            }
            Endpoint::CancelRun => {
                let run = self.captures.get(1).map(String::as_str).unwrap_or_default();
                let run: RunId = run.parse().map_err(|_| Problem::not_found(format!("`{run}` is no id of a run")))?;
                operator.perform(CancelRun { at: self.at()?, run }).await?;
                Ok(Answer::empty(StatusCode::ACCEPTED))
            }
            _ => done(operator.perform(RemovePutAside(self.at()?)).await),
        }
    }

    async fn change_group(&self, endpoint: Endpoint) -> Result<Answer, Problem> {
        let operator = self.operator;
        let group = self.group()?;
        ok(&match endpoint {
            Endpoint::RunJobs => operator.perform(RunJobs(group)).await?,
            Endpoint::PauseJobs => operator.perform(PauseJobs { group, pause: self.pause()? }).await?,
            Endpoint::ResumeJobs => operator.perform(ResumeJobs(group)).await?,
            Endpoint::RescheduleJobs => {
                let Reschedule { trigger: text } = self.json()?;
                operator.perform(RescheduleJobs { group, trigger: trigger(&text)? }).await?
            }
            _ => operator.perform(RemoveJobs(group)).await?,
        })
    }

    /// The jobs that the query means. All of them have to be meant expressly.
    fn group(&self) -> Result<Group, Problem> {
        let filter = self.params.job_filter()?;
        let all = self.params.parsed::<bool>("all", "`true` or `false`")?.unwrap_or(false);
        if filter == JobFilter::new() && !all {
            return Err(Problem::malformed("say which jobs, by a filter as in `?tag=billing`, or `?all=true`"));
        }
        Ok(Group::of(self.params.store(), filter))
    }

    fn pause(&self) -> Result<Pause, Problem> {
        let PauseOf { note, until } = if self.body.is_empty() { PauseOf::default() } else { self.json()? };
        let mut pause = note.into_iter().fold(Pause::new(), Pause::note);
        if let Some(until) = until {
            pause = pause.until(params::instant("until", &until)?);
        }
        Ok(pause)
    }

    async fn add(&self) -> Result<Answer, Problem> {
        let NewJob { id, store, task, args, trigger: text, name, executor, tags, paused } = self.json()?;
        let job = AddJob {
            id: id.map(JobId::from),
            store: store.map(StoreName::from),
            task: task.into(),
            args,
            trigger: text.as_deref().map(trigger).transpose()?,
            name,
            executor: executor.map(Into::into),
            tags,
            is_paused: paused,
        };
        let job = self.operator.perform(job).await?;
        // Relative to the address that was asked, which is that of the list.
        let location = format!("jobs/{}", routes::encoded(&job.id));
        let location = HeaderValue::from_str(&location).map_err(|_| Problem::malformed("the id has no address"))?;
        Ok(Answer::json(StatusCode::CREATED, &job).with(header::LOCATION, location))
    }

    /// The catalogue, and what of it is permitted to who asks.
    fn operations(&self) -> Value {
        let operations: Vec<Value> = Operation::ALL
            .into_iter()
            .map(|operation| {
                json!({
                    "name": operation,
                    "kind": operation.kind(),
                    "arguments": operation.arguments(),
                    "permitted": self.operator.permits(operation),
                })
            })
            .collect();
        json!({"by": self.operator.who(), "operations": operations})
    }

    fn at(&self) -> Result<At, Problem> {
        let id = self.captures.first().map(String::as_str).unwrap_or_default();
        Ok(At { store: self.params.store(), id: job_id(id)? })
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if !self.is_json {
            let detail = "send the body as `application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail));
        }
        serde_json::from_slice(self.body).map_err(|error| {
            let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            Problem::new(status, "malformed", format!("the body of the request: {error}"))
        })
    }
}

/// A job that is to be added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewJob {
    id: Option<String>,
    store: Option<String>,
    task: String,
    #[serde(default)]
    args: Value,
    trigger: Option<String>,
    name: Option<String>,
    executor: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    paused: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    task: Option<String>,
    /// Null is what a job without arguments has, so that it is not the same as none.
    #[serde(default, deserialize_with = "given")]
    args: Option<Value>,
    name: Option<String>,
    executor: Option<String>,
    tags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseOf {
    note: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reschedule {
    trigger: String,
}

fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A trigger as it is displayed.
pub(crate) fn trigger(text: &str) -> Result<Trigger, Problem> {
    text.parse()
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "trigger", format!("the trigger: {error}")))
}

/// An id that a job can have.
pub(crate) fn job_id(text: &str) -> Result<JobId, Problem> {
    let id = JobId::from(text);
    match id.check() {
        Ok(()) => Ok(id),
        Err(_) => Err(Problem::not_found("no job has such an id")),
    }
}

fn ok(value: &impl serde::Serialize) -> Result<Answer, Problem> {
    Ok(Answer::json(StatusCode::OK, value))
}

fn done(result: Result<(), Problem>) -> Result<Answer, Problem> {
    result.map(|()| Answer::empty(StatusCode::NO_CONTENT))
}
