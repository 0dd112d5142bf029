//! The jobs of a print shop: some run well, some fail, some take too long, one is paused.

use std::time::Duration;

use apscheduler::{Builder, Output, Pause, prelude::*};
use chrono::{TimeDelta, Timelike as _, Utc};
use serde_json::json;
use tokio::time::sleep;

/// Answers at once.
async fn check_printers() -> &'static str {
    sleep(Duration::from_millis(80)).await;
    "4 printers are ready"
}

/// Takes longer at some times than at others.
async fn import_orders(context: RunContext, shop: String) -> String {
    let seconds = u64::from(context.fire_time.second() % 7) + 1;
    sleep(Duration::from_millis(600 * seconds)).await;
    format!("{seconds} orders of {shop}")
}

/// Fails each second time, and then succeeds when it is tried again.
async fn charge_card(context: RunContext) -> Result<(), String> {
    sleep(Duration::from_millis(400)).await;
    match context.attempt {
        1 if context.fire_time.minute().is_multiple_of(2) => Err("the bank says: 503 <try again later>".to_owned()),
        _ => Ok(()),
    }
}

/// Never succeeds.
async fn sync_stock() -> Result<(), String> {
    sleep(Duration::from_millis(150)).await;
    Err("connection to stock.example.com:5432 refused".to_owned())
}

/// Takes longer than its job allows.
async fn render_catalogue() {
    sleep(Duration::from_secs(60)).await;
}

/// Takes longer than the time to the next fire time.
async fn print_posters() {
    sleep(Duration::from_secs(25)).await;
}

async fn send_letter(_letter: serde_json::Value) {
    sleep(Duration::from_millis(300)).await;
}

async fn count_paper() {
    sleep(Duration::from_millis(30)).await;
}

/// What the jobs run.
pub(crate) fn tasks(builder: Builder) -> Builder {
    builder
        .task("check_printers", check_printers)
        .task("import_orders", import_orders)
        .task("charge_card", charge_card)
        .task("sync_stock", sync_stock)
        .task("render_catalogue", render_catalogue)
        .task("print_posters", print_posters)
        .task("send_letter", send_letter)
        .task("count_paper", count_paper)
}

/// Adds the jobs. Those that are there from an earlier start keep their place in time.
pub(crate) async fn add(scheduler: &Scheduler) -> Result<(), Box<dyn std::error::Error>> {
    let is_first_start = scheduler.jobs().await?.is_empty();
    for job in always()? {
        scheduler.add_job(job.on_conflict(Conflict::Replace)).await?;
    }
    if is_first_start {
        let newsletter = CalendarInterval::months(1).at(chrono::NaiveTime::from_hms_opt(8, 0, 0).ok_or("a time")?);
        let newsletter = newsletter.timezone(apscheduler::chrono_tz::Europe::Berlin);
        scheduler.add_job(JobSpec::new("send_letter", newsletter).id("newsletter").tag("letters")).await?;
        let pause = Pause::new().by("anna").note("the new address list is not there yet");
        scheduler.pause_job_with("newsletter", pause).await?;
        let soon = Utc::now() + TimeDelta::minutes(10);
        let letter = json!({"to": "Ms Lovelace", "text": "Your posters are ready."});
        scheduler
            .add_job(JobSpec::new("send_letter", Date::at(soon)).id("letter-1843").args(letter).tag("letters"))
            .await?;
    }
    Ok(())
}

fn always() -> Result<Vec<JobSpec>, Box<dyn std::error::Error>> {
    let crontab = |text: &str| text.parse::<Trigger>();
    Ok(vec![
        JobSpec::new("check_printers", Interval::seconds(10)).id("printers").tag("machines").output(Output::Keep),
        JobSpec::new("import_orders", Interval::seconds(20))
            .id("import")
            .args("web")
            .tag("orders")
            .output(Output::Keep),
        JobSpec::new("import_orders", crontab("crontab */5 8-18 * * mon-fri in Europe/Berlin")?)
            .id("import-from-shop")
            .name("Orders of the shop in Berlin")
            .args("berlin")
            .tag("orders"),
        JobSpec::new("charge_card", crontab("crontab * * * * *")?)
            .id("charge")
            .name("Charge cards")
            .tag("money")
            .retry(Retry::attempts(3).backoff(Duration::from_secs(5))),
        JobSpec::new("sync_stock", Interval::minutes(2)).id("stock").tag("orders"),
        JobSpec::new("render_catalogue", Interval::minutes(3)).id("catalogue").timeout(Duration::from_secs(10)),
        JobSpec::new("print_posters", Interval::seconds(15)).id("posters").tag("machines"),
        JobSpec::new("count_paper", crontab("crontab 30 2 * * * in Europe/Berlin")?).id("paper").tag("machines"),
        JobSpec::new("charge_card", crontab("cron day='last fri' hour='18' in America/New_York")?)
            .id("month-end")
            .name("Close the books of the month")
            .tag("money"),
        JobSpec::new("count_paper", crontab("crontab 0 9,12,15 * * mon-fri in America/New_York")?)
            .id("paper-us")
            .name("Paper in New York")
            .tag("machines"),
    ])
}
