//! The page `Upcoming`: a picture and a list of what runs in the coming hours, over all jobs.

use askama::Template;
use chrono::{TimeDelta, Utc};

use super::{
    frame::Frame,
    links, page as shown,
    rows::{ClockRow, When, clock},
};
use crate::{
    answer::Answer,
    calls::ReadUpcoming,
    operator::Operator,
    params::Params,
    problem::Problem,
    upcoming::{Clocks, HOURS_LIMIT, Listed, Upcoming},
};

/// How many changes of the clocks are shown.
const CLOCKS: usize = 20;
/// How high the picture is, in its own units.
const HEIGHT: u64 = 100;
/// How wide a part of the time is in it, with the space beside it.
const WIDTH: usize = 10;

#[derive(Template)]
#[template(path = "upcoming.html")]
struct Page<'a> {
    frame: &'a Frame<'a>,
    total: u64,
    jobs: usize,
    is_complete: bool,
    hours: usize,
    /// How long a part of the time is.
    part: String,
    most: u64,
    bars: Vec<Bar>,
    /// Jobs that run all the time, which the picture leaves out: the id, the link, how often.
    frequent: Vec<(String, String, u64)>,
    labels: Vec<String>,
    /// What the clocks do, with the id and the link of the job.
    clocks: Vec<(String, String, ClockRow)>,
    rows: Vec<Row>,
    ranges: Vec<(String, String, bool)>,
}

/// A part of the time.
struct Bar {
    x: usize,
    y: u64,
    height: u64,
    title: String,
}

struct Row {
    at: When,
    id: String,
    name: String,
    link: String,
    task: String,
    /// How many others fire at the same instant.
    others: usize,
}

pub(super) async fn page(operator: &Operator<'_>, frame: &Frame<'_>, params: &Params) -> Result<Answer, Problem> {
    let hours = params.bounded("hours", 24, HOURS_LIMIT)?;
    let upcoming =
        operator.perform(ReadUpcoming { hours, limit: params.limit()?, listed: Listed::ButFrequent }).await?;
    let ranges = [(6, "6 h"), (24, "24 h"), (HOURS_LIMIT, "7 days")].map(|(length, label)| {
        let link = links::to(&[("page", "upcoming"), ("hours", &length.to_string())]);
        (label.to_owned(), link, length == hours)
    });
    let at_once = |at| upcoming.fire_times.iter().filter(|other| other.at == at).count().saturating_sub(1);
    let rows = upcoming.fire_times.iter().map(|coming| Row {
        at: frame.when(coming.at),
        id: coming.job.clone(),
        name: coming.name.clone(),
        link: links::job(&coming.store, &coming.job),
        task: coming.task.clone(),
        others: at_once(coming.at),
    });
    let clock_row =
        |it: &Clocks| (it.job.clone(), links::job(&it.store, &it.job), ClockRow::new(frame, it.change.clone()));
    shown(&Page {
        frame,
        total: upcoming.total(),
        jobs: upcoming.jobs,
        is_complete: upcoming.is_complete,
        hours,
        part: part(upcoming.seconds),
        most: upcoming.counts.iter().copied().max().unwrap_or(0),
        bars: bars(&upcoming),
        frequent: upcoming
            .frequent
            .iter()
            .map(|it| (it.job.clone(), links::job(&it.store, &it.job), it.count))
            .collect(),
        labels: labels(&upcoming, hours),
        rows: rows.collect(),
        clocks: upcoming.clock_changes.iter().take(CLOCKS).map(clock_row).collect(),
        ranges: ranges.into(),
    })
}

/// As in `15 min`.
fn part(seconds: i64) -> String {
    if seconds >= 60 { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}

fn bars(upcoming: &Upcoming) -> Vec<Bar> {
    let most = upcoming.counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |(number, count): (usize, &u64)| {
        // A few are seen beside many.
        let height = if *count == 0 { 0 } else { (count.saturating_mul(HEIGHT) / most).max(4) };
        let seconds = upcoming.seconds.saturating_mul(i64::try_from(number).unwrap_or(i64::MAX));
        let from = upcoming.from.checked_add_signed(TimeDelta::seconds(seconds)).unwrap_or(upcoming.from);
        let runs = if *count == 1 { "run" } else { "runs" };
        let title = format!("{} UTC: {count} {runs}", from.format("%a %H:%M"));
        Bar { x: number.saturating_mul(WIDTH), y: HEIGHT.saturating_sub(height), height, title }
    };
    upcoming.counts.iter().enumerate().map(bar).collect()
}

/// What is written below the picture: six times, equally far apart.
fn labels(upcoming: &Upcoming, hours: usize) -> Vec<String> {
    let step = i64::try_from(hours).unwrap_or(24).saturating_mul(600);
    let at = |number: i64| {
        let later = TimeDelta::try_seconds(step.saturating_mul(number)).unwrap_or_default();
        upcoming.from.checked_add_signed(later).unwrap_or(upcoming.from)
    };
    let label = |at: chrono::DateTime<Utc>| if hours > 24 { at.format("%a %H:%M").to_string() } else { clock(at) };
    (0..6).map(|number| label(at(number))).collect()
}
