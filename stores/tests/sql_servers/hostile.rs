//! Rows that people and other programs write, and texts that JSON or the server dislike.

use scheduler_core::{
    Listed,
    store::{Clock, JobQuery},
};
use scheduler_testkit::store::{Bench, block_on};
use serde_json::json;

use super::database::Database;
use crate::dialect::BACKSLASH;

#[test]
fn rows_that_make_no_sense_are_reported_and_harm_nobody() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        let trigger = serde_json::to_string(&bench.job("any", bench.at()).body.trigger).unwrap();
        let body = format!(r#"{{"v": 1, "task": "task", "trigger": {trigger}}}"#);
        let surrogate = format!(r#"{{"v": 1, "task": "task", "args": "{BACKSLASH}ud800"}}"#);
        let rows = [
            ("not json", "'nonsense', 'task', 1, 1, 1"),
            ("wrong task", &format!("'{body}', 'other', 1, 1, 1")),
            ("lone surrogate", &format!("'{surrogate}', 'task', 1, 1, 1")),
            ("no time", &format!("'{body}', 'task', 1, 9223372036854775807, -9223372036854775808")),
            ("empty", "'', 'task', 1, 1, 1"),
            ("capital uid", &format!("'{body}', 'task', 1, 1, 1")),
        ];
        for (n, (id, values)) in rows.iter().enumerate() {
            let into = "INSERT INTO {p}jobs (uid, id, body, task, v, next_fire_time, due)";
            let uid = if *id == "capital uid" { "A".repeat(32) } else { format!("{n:032x}") };
            database.run(&format!("{into} VALUES ('{uid}', '{id}', {values})")).await;
        }
        database.run("UPDATE {p}jobs SET task = 'task' WHERE id = 'wrong task'").await;
        database.run("UPDATE {p}jobs SET totals = 'many' WHERE id = 'wrong task'").await;
        bench.due_job("sound").await;

        let claimed = bench.a().claim().await;

        assert_eq!(claimed.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), ["sound"]);
        let mut ids: Vec<&str> = claimed.quarantined.iter().map(|raw| raw.id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["capital uid", "empty", "lone surrogate", "no time", "not json", "wrong task"]);
        assert_eq!(bench.a().claim().await.quarantined, []);
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 99 }).await.unwrap();
        assert_eq!(listed.iter().filter(|it| matches!(it, Listed::Raw(_))).count(), 6);
        assert_eq!(
            database.number("SELECT count(*) FROM {p}jobs WHERE state = 'quarantined' AND due IS NULL").await,
            6
        );
    });
}

#[test]
fn a_body_keeps_what_it_is_written_like() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let bench = Bench::new(database.clone().setup().await);
        let mut job = bench.job("o'neill \\ \" $1 日本", bench.now().await);
        job.body.args = json!({ "nul": "\u{0}", "quote": "'\"\\", "big": 1e300, "empty": "" });
        bench.add(&job).await;
        let seen = bench.a().claim_one(job.id.as_str()).await;
        assert_eq!(seen.job.body.args, job.body.args);
        let kept = format!("SELECT count(*) FROM {{p}}jobs WHERE position('{BACKSLASH}u0000' IN body) > 0");
        assert_eq!(database.number(&kept).await, 1, "the escape stays an escape");
    });
}
