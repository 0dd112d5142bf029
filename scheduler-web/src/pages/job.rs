//! The page of a job: when it runs, what became of its runs, why, and what can be done.

use std::borrow::Borrow;

use askama::Template;
use scheduler_core::{JobId, store::RunFilter};

use super::{
    frame::Frame,
    links, page as shown, rendered,
    rows::{ClockRow, FireTime, JobRow, RunRow, next_page},
};
use crate::{
    answer::Answer,
    api::{job_id, trigger},
    calls::{ExplainJob, PreviewTrigger, ReadHistory, ReadJob},
    operation::Operation,
    operator::{At, Operator},
    params::Params,
    problem::Problem,
};

/// How many fire times to come are shown.
const FIRE_TIMES: usize = 10;
/// How many runs the picture of the history has.
const BARS: usize = 40;
/// How high it is, in its own units.
const HEIGHT: u128 = 40;

#[derive(Template)]
#[template(path = "job.html")]
struct Job<'a> {
    frame: &'a Frame<'a>,
    row: JobRow,
    /// What forms go to, with the job in it.
    action: String,
    store: String,
    args: Option<String>,
    meta: Option<String>,
    options: String,
    totals: Vec<(&'static str, u64)>,
    zone: Option<String>,
    fire_times: Vec<FireTime>,
    clocks: Vec<ClockRow>,
    tags: String,
    trigger_error: Option<String>,
    pause: Vec<String>,
    question: Option<Question>,
    asked: String,
    preview: Option<Preview>,
    trigger_text: String,
    runs: Option<Vec<RunRow>>,
    bars: Vec<Bar>,
    next: Option<String>,
    refused: Option<Refused<'a>>,
}

/// A form that was sent and not done: what it has, and why.
#[derive(Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) operation: Operation,
    pub(super) form: &'a Params,
    pub(super) problem: &'a Problem,
}

impl Job<'_> {
    /// Why the form of an operation was not done, if it was sent.
    fn refusal(&self, operation: impl Borrow<Operation>) -> Option<&str> {
        self.refused.filter(|it| it.operation == *operation.borrow()).map(|it| &*it.problem.detail)
    }

    /// What a field of that form has: what was written there if it was not done, so that nothing has to be written twice.
    fn typed<'s>(&'s self, operation: impl Borrow<Operation>, name: &str, kept: &'s str) -> &'s str {
        match self.refused.filter(|it| it.operation == *operation.borrow()) {
            Some(refused) => refused.form.one(name).unwrap_or_default(),
            None => kept,
        }
    }
}

/// Why it did or did not run.
struct Question {
    text: String,
    is_answered: bool,
}

/// When it would run with another trigger, or why that is no trigger.
pub(super) struct Preview {
    pub(super) trigger: String,
    pub(super) in_words: String,
    pub(super) hints: Vec<String>,
    pub(super) fire_times: Vec<FireTime>,
    pub(super) clocks: Vec<ClockRow>,
    pub(super) problem: Option<String>,
}

impl Preview {
    /// Of a job without a trigger.
    pub(super) fn of_now() -> Self {
        Self {
            trigger: String::new(),
            in_words: String::new(),
            hints: vec!["It would run once, as soon as it is added.".to_owned()],
            fire_times: Vec::new(),
            clocks: Vec::new(),
            problem: None,
        }
    }
}

/// A run in the picture of the history: as high as it took long.
struct Bar {
    x: usize,
    y: u128,
    height: u128,
    class: &'static str,
    title: String,
}

/// The job that the address names.
pub(super) fn at(params: &Params) -> Result<At, Problem> {
    Ok(At { store: params.store(), id: job_id(params.required("id")?)? })
}

pub(super) async fn page(operator: &Operator<'_>, frame: &Frame<'_>, params: &Params) -> Result<Answer, Problem> {
    shown(&read(operator, frame, params, None).await?)
}

/// The page with a form as it was sent, and why that was not done beside it; none if there is no such page.
pub(super) async fn refused(
    operator: &Operator<'_>,
    frame: &Frame<'_>,
    params: &Params,
    refused: Refused<'_>,
) -> Option<Answer> {
    let has_fields = [Operation::PauseJob, Operation::RescheduleJob, Operation::ChangeJob].contains(&refused.operation);
    if !has_fields || !frame.may(refused.operation) || !frame.may(Operation::ReadJob) {
        return None;
    }
    let job = read(operator, frame, params, Some(refused)).await.ok()?;
    // What is put aside has no form that pauses it.
    if refused.operation == Operation::PauseJob && job.row.view.state == "quarantined" {
        return None;
    }
    Some(rendered(refused.problem.status, &job))
}

async fn read<'a>(
    operator: &Operator<'_>,
    frame: &'a Frame<'_>,
    params: &Params,
    refused: Option<Refused<'a>>,
) -> Result<Job<'a>, Problem> {
    let at = at(params)?;
    let new_trigger =
        refused.filter(|it| it.operation == Operation::RescheduleJob).map_or(params, |it| it.form).one("trigger");
    let detail = operator.perform(ReadJob { at: at.clone(), fire_times: FIRE_TIMES }).await?;
    let zone = detail.job.zone;
    let fire_times = detail.fire_times.iter().map(|at| FireTime::new(frame, zone, *at)).collect();
    let (runs, bars, next) = history(operator, frame, params, &at).await?;
    let asked = params.one("at").unwrap_or_default().to_owned();
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let job = &detail.job;
    let options = serde_json::to_value(&job.options).map(|options| pretty(&options)).unwrap_or_default();
    Ok(Job {
        action: links::job(&job.store, &job.id),
        store: job.store.clone(),
        args: (!job.args_hidden).then(|| pretty(&job.args)),
        meta: (!job.meta.is_null()).then(|| pretty(&job.meta)),
        options,
        totals: job.totals.iter().map(|(verdict, count)| (*verdict, *count)).collect(),
        zone: zone.map(|zone| zone.name().to_owned()),
        fire_times,
        trigger_error: detail.trigger_error,
        pause: pause_words(frame, job),
        question: question(operator, params, &at).await?,
        asked,
        // Beside a form that was not done, the reason is told already.
        preview: match new_trigger.filter(|_| refused.is_none()) {
            Some(text) => Some(preview(operator, frame, Some(at.id.clone()), text).await),
            None => None,
        },
        clocks: detail.clock_changes.into_iter().map(|change| ClockRow::new(frame, change)).collect(),
        tags: job.tags.iter().collect::<Vec<_>>().join(", "),
        trigger_text: new_trigger.unwrap_or(&job.trigger).to_owned(),
        runs,
        bars,
        next,
        row: JobRow::new(frame, detail.job),
        frame,
        refused,
    })
}

fn pause_words(frame: &Frame<'_>, job: &crate::views::JobView) -> Vec<String> {
    let Some(pause) = &job.pause else { return Vec::new() };
    let by = pause.by.as_ref().map(|by| format!("by {by}"));
    let since = pause.since.map(|since| format!("since {} UTC", frame.when(since).exact));
    let until = pause.until.map(|until| format!("goes on by itself at {} UTC", frame.when(until).exact));
    let note = pause.note.clone().map(|note| format!("“{note}”"));
    [by, since, until, note].into_iter().flatten().collect()
}

async fn question(operator: &Operator<'_>, params: &Params, at: &At) -> Result<Option<Question>, Problem> {
    if params.one("at").is_none() {
        return Ok(None);
    }
    let time = match params.instant("at") {
        Ok(Some(time)) => time,
        Ok(None) => return Ok(None),
        Err(problem) => return Ok(Some(Question { text: problem.detail, is_answered: false })),
    };
    let told = operator.perform(ExplainJob { at: at.clone(), time }).await?;
    Ok(Some(Question { text: told.text, is_answered: true }))
}

/// When a job with this id, or one that gets another, would run with the trigger of this text.
pub(super) async fn preview(operator: &Operator<'_>, frame: &Frame<'_>, id: Option<JobId>, text: &str) -> Preview {
    let wrong = |problem: Problem| Preview {
        trigger: text.to_owned(),
        in_words: String::new(),
        hints: Vec::new(),
        fire_times: Vec::new(),
        clocks: Vec::new(),
        problem: Some(problem.detail),
    };
    let trigger = match trigger(text) {
        Ok(trigger) => trigger,
        Err(problem) => return wrong(problem),
    };
    let id = id.unwrap_or_else(|| "preview".into());
    let call = PreviewTrigger { id, trigger, fire_times: FIRE_TIMES };
    match operator.perform(call).await {
        Ok(told) => Preview {
            fire_times: told.fire_times.iter().map(|at| FireTime::new(frame, told.zone, *at)).collect(),
            problem: told.fire_times.is_empty().then(|| "It would never fire.".to_owned()),
            trigger: told.trigger,
            in_words: told.trigger_in_words,
            hints: told.hints,
            clocks: told.clock_changes.into_iter().map(|change| ClockRow::new(frame, change)).collect(),
        },
        Err(problem) => wrong(problem),
    }
}

type History = (Option<Vec<RunRow>>, Vec<Bar>, Option<String>);

async fn history(operator: &Operator<'_>, frame: &Frame<'_>, params: &Params, at: &At) -> Result<History, Problem> {
    if !frame.may(Operation::ReadRuns) {
        return Ok((None, Vec::new(), None));
    }
    let call = ReadHistory { at: at.clone(), filter: RunFilter::new(), page: params.page()? };
    let found = operator.perform(call).await?;
    let rows: Vec<RunRow> = found.runs.into_iter().map(|run| RunRow::new(frame, run)).collect();
    let next = next_page(params, &["store", "id", "limit"], "job", found.next.as_ref());
    let bars = bars(&rows);
    Ok((Some(rows), bars, next))
}

/// The newest runs as a picture, the oldest of them first.
fn bars(rows: &[RunRow]) -> Vec<Bar> {
    let shown: Vec<&RunRow> = rows.iter().filter(|row| row.view.state == "ended").take(BARS).collect();
    let took = |row: &RunRow| row.view.duration.map_or(0, |took| took.as_micros());
    let longest = shown.iter().map(|row| took(row)).max().unwrap_or(0).max(1);
    let bar = |(number, row): (usize, &&RunRow)| {
        let height = (took(row).saturating_mul(HEIGHT) / longest).max(6);
        let took = row.took.as_deref().unwrap_or("did not run");
        Bar {
            x: number.saturating_mul(10),
            y: HEIGHT.saturating_sub(height),
            height,
            class: row.mark.word,
            title: format!("{} UTC: {}, {took}", row.fire_time.exact, row.mark.word),
        }
    };
    shown.iter().rev().enumerate().map(bar).collect()
}
