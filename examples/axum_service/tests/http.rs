//! The service, driven as its clients and its operators do: with curl, SIGTERM and SIGKILL, on a database of its own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    io::{BufRead, BufReader},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A schema of the server, which is gone with this value.
struct Database {
    server: String,
    schema: String,
}

impl Database {
    fn new() -> Self {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let server =
            env::var("SCHEDULER_TEST_POSTGRES").expect("`cargo xtask services start postgres` says where a server is");
        let schema = format!("axum_{}_{}", process::id(), CREATED.fetch_add(1, Ordering::Relaxed));
        let database = Self { server, schema };
        database.run(format!("CREATE SCHEMA {}", database.schema));
        database
    }

    fn run(&self, sql: String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.server).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        });
    }

    fn url(&self) -> String {
        format!("{}?options=-c%20search_path%3D{}", self.server, self.schema)
    }

    /// A process of the service, with these variables in its environment.
    fn start(&self, variables: &[(&str, &str)]) -> Service {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axum_service"));
        command.env_remove("LISTEN").env("DATABASE_URL", self.url()).envs(variables.iter().copied());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut service = Service { process, url: String::new(), lines };
        service.url = service.hear("listening on ").trim_start_matches("listening on ").to_owned();
        service
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.run(format!("DROP SCHEMA {} CASCADE", self.schema));
    }
}

/// A running process of the service.
struct Service {
    process: Child,
    url: String,
    /// What it prints; closed when it has ended.
    lines: Receiver<String>,
}

impl Service {
    /// The next line that begins like this.
    fn hear(&self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("the service never said `{beginning}`: {error}"));
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// A request by curl: the status, and the body if there is one.
    fn request(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--write-out", "\n%{http_code}"]);
        curl.args(["--request", method]);
        if let Some(body) = body {
            curl.args(["--header", "content-type: application/json", "--data", body]);
        }
        let output = curl.arg(format!("{}{path}", self.url)).output();
        let output = output.unwrap_or_else(|error| panic!("this test needs the program `curl`: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        (status.parse().unwrap(), body)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.request("GET", path, None)
    }

    fn post(&self, path: &str) -> (u16, Value) {
        self.request("POST", path, None)
    }

    fn add(&self, job: &Value) -> (u16, Value) {
        self.request("POST", "/jobs", Some(&job.to_string()))
    }

    /// The verdict of a run that ends soon.
    fn verdict(&self, job: &str, run: &str) -> String {
        let begun = now();
        loop {
            let (status, runs) = self.get(&format!("/jobs/{job}/runs"));
            assert_eq!(status, 200, "{runs}");
            let found = runs.as_array().unwrap().iter().find(|it| it["run"] == run);
            let found = found.unwrap_or_else(|| panic!("run {run} is not there: {runs}"));
            if let Some(verdict) = found["verdict"].as_str() {
                return verdict.to_owned();
            }
            assert!(now() - begun < DEADLINE, "run {run} has never ended: {runs}");
        }
    }

    /// What a probe is told when it is told that all is well: on a busy machine the loop may not answer within the half second for
    /// which a probe waits.
    fn healthy(&self, path: &str) -> Value {
        let begun = now();
        loop {
            let (status, health) = self.get(path);
            if status == 200 {
                return health;
            }
            assert!(now() - begun < DEADLINE, "{path} is never well: {status} {health}");
        }
    }

    fn remind(&self, user: &str, reminder: &Value) -> (u16, Value) {
        self.request("POST", &format!("/users/{user}/reminders"), Some(&reminder.to_string()))
    }

    /// What a user was reminded of, when there is something.
    fn delivered(&self, user: &str) -> Value {
        let begun = now();
        loop {
            let (status, delivered) = self.get(&format!("/users/{user}/delivered"));
            assert_eq!(status, 200, "{delivered}");
            if delivered != json!([]) {
                return delivered;
            }
            assert!(now() - begun < DEADLINE, "nothing was ever delivered to {user}");
        }
    }

    /// Ends it as a machine that fails does.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The error of a request that is refused with this status.
    fn refused(&self, status: u16, job: &Value) -> String {
        error(self.add(job), status)
    }

    fn ids(&self) -> Vec<String> {
        let (status, jobs) = self.get("/jobs");
        assert_eq!(status, 200);
        let mut ids: Vec<_> =
            jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// Ends it as an operator does, and says how it has ended.
    fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.hear("ended");
        // It closes its output when it ends, so that there is no waiting without a deadline.
        assert_eq!(self.lines.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
        self.process.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Of one that has ended there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline for another process")]
fn now() -> Instant {
    Instant::now()
}

fn error((status, body): (u16, Value), expected: u16) -> String {
    assert_eq!(status, expected, "{body}");
    body["error"].as_str().unwrap().to_owned()
}

/// Named after the server that they need, so that those without one can be left out.
mod postgres {
    use super::*;

    #[test]
    fn jobs_are_added_listed_shown_paused_resumed_and_removed() {
        let database = Database::new();
        let service = database.start(&[]);
        let tea = json!({
            "id": "tea", "name": "Tea time", "task": "count_down", "args": 1,
            "trigger": "crontab 0 16 * * mon-fri in Europe/Berlin",
        });
        let (status, added) = service.add(&tea);
        assert_eq!((status, &added["state"]), (201, &json!("active")), "{added}");
        // The job that the service brings along is there as well.
        assert_eq!(service.ids(), ["tea", "tidy"]);

        let (status, shown) = service.get("/jobs/tea");
        assert_eq!((status, &shown), (200, &added));
        assert_eq!(shown["name"], "Tea time");
        assert_eq!(shown["trigger"], "crontab 0 16 * * mon-fri in Europe/Berlin");
        assert!(shown["next_fire_time"].is_string(), "{shown}");

        let (status, paused) = service.post("/jobs/tea/pause");
        assert_eq!((status, &paused["state"], &paused["next_fire_time"]), (200, &json!("paused"), &Value::Null));
        let (status, resumed) = service.post("/jobs/tea/resume");
        assert_eq!((status, &resumed["state"]), (200, &json!("active")));
        assert!(resumed["next_fire_time"].is_string(), "{resumed}");

        assert_eq!(service.request("DELETE", "/jobs/tea", None), (204, Value::Null));
        assert_eq!(service.get("/jobs/tea").0, 404);
        assert_eq!(service.ids(), ["tidy"]);
        assert!(service.terminate().success());
    }

    #[test]
    fn a_job_without_a_trigger_runs_at_once_and_one_with_a_trigger_again_and_again() {
        let database = Database::new();
        let service = database.start(&[]);
        let (status, _) = service.add(&json!({"id": "now", "task": "count_down", "args": 0}));
        assert_eq!(status, 201);
        assert_eq!(service.hear("now:"), "now: 0 seconds");

        let often = json!({"id": "a/b c", "task": "count_down", "args": 0, "trigger": "every 0.05s"});
        assert_eq!(service.add(&often).0, 201);
        for _ in 0..3 {
            assert_eq!(service.hear("a/b c: time"), "a/b c: time is up");
        }
        let (status, runs) = service.get("/jobs/a%2Fb%20c/runs");
        assert_eq!(status, 200);
        let verdicts: Vec<_> = runs.as_array().unwrap().iter().map(|run| &run["verdict"]).collect();
        assert!(verdicts.len() >= 2 && verdicts.contains(&&json!("ok")), "{runs}");
        assert!(service.terminate().success());
    }

    #[test]
    fn a_job_is_run_beside_its_fire_times() {
        let database = Database::new();
        let service = database.start(&[]);
        let tea = json!({"id": "tea", "task": "count_down", "args": 0, "trigger": "every 1h"});
        let (_, added) = service.add(&tea);
        let (status, started) = service.post("/jobs/tea/run");
        assert_eq!(status, 202, "{started}");
        assert_eq!(service.hear("tea:"), "tea: 0 seconds");
        assert_eq!(service.verdict("tea", started["run"].as_str().unwrap()), "ok");
        // Its next fire time is what it was.
        assert_eq!(service.get("/jobs/tea"), (200, added));
        assert!(service.terminate().success());
    }

    #[test]
    fn a_run_that_takes_too_long_is_cancelled() {
        let database = Database::new();
        let service = database.start(&[]);
        let eggs = json!({"id": "eggs", "task": "count_down", "args": 3600, "trigger": "every 1h"});
        assert_eq!(service.add(&eggs).0, 201);
        let (_, started) = service.post("/jobs/eggs/run");
        let run = started["run"].as_str().unwrap();
        service.hear("eggs: 3600 seconds");

        assert_eq!(service.post(&format!("/jobs/eggs/runs/{run}/cancel")), (202, Value::Null));
        assert_eq!(service.verdict("eggs", run), "cancelled");
        // A run has the id of its job and its own.
        error(service.post(&format!("/jobs/tidy/runs/{run}/cancel")), 404);
        error(service.post("/jobs/eggs/runs/the-last/cancel"), 422);
        assert!(service.terminate().success());
    }

    #[test]
    fn probes_are_told_that_it_lives_and_is_ready() {
        let database = Database::new();
        let service = database.start(&[]);
        for path in ["/healthz", "/readyz"] {
            let health = service.healthy(path);
            assert_eq!((&health["event_loop"], &health["state"]), (&json!("answers"), &json!("running")));
            assert_eq!(
                (&health["stores"][0]["name"], &health["stores"][0]["link"]["state"]),
                (&json!("default"), &json!("up"))
            );
        }
        assert!(service.terminate().success());
    }

    #[test]
    fn what_is_refused_is_told_in_the_words_of_the_scheduler_and_with_the_right_status() {
        let database = Database::new();
        let service = database.start(&[]);
        let good = json!({"id": "tea", "task": "count_down", "args": 0, "trigger": "every 1h"});
        let with = |change: Value| {
            let mut job = good.clone();
            job.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            job
        };
        assert_eq!(service.add(&good).0, 201);

        let told = service.refused(409, &good);
        assert!(told.starts_with("job `tea` is in store `default` already"), "{told}");
        let told = service.refused(422, &with(json!({"id": "x", "args": "soon"})));
        assert!(told.contains("the arguments do not fit task `count_down`"), "{told}");
        let told = service.refused(422, &with(json!({"id": "x", "trigger": "crontab 0 25 * * *"})));
        assert_eq!(told, "crontab field `hour`: `25` at column 11: the value must be 0 to 23");
        let told = service.refused(422, &with(json!({"id": "x", "trigger": "crontab 0 0 30 2 *"})));
        assert!(told.contains("would never fire"), "{told}");
        let told = service.refused(422, &with(json!({"id": "x", "task": "brew"})));
        assert!(told.contains("brew"), "{told}");
        let told = service.refused(422, &with(json!({"colour": "red"})));
        assert!(told.contains("unknown field `colour`"), "{told}");
        error(service.request("POST", "/jobs", Some("{")), 400);

        for (method, path) in [
            ("GET", "/jobs/coffee"),
            ("DELETE", "/jobs/coffee"),
            ("POST", "/jobs/coffee/pause"),
            ("POST", "/jobs/coffee/resume"),
            ("POST", "/jobs/coffee/run"),
            ("GET", "/jobs/coffee/runs"),
        ] {
            let told = error(service.request(method, path, None), 404);
            assert!(told.contains("job `coffee`"), "{method} {path}: {told}");
        }
        error(service.get("/coffee"), 404);
        error(service.request("PUT", "/jobs", None), 405);
        // None of it has left anything behind.
        assert_eq!(service.ids(), ["tea", "tidy"]);
        assert!(service.terminate().success());
    }

    #[test]
    fn jobs_are_there_again_after_a_restart() {
        let database = Database::new();
        let service = database.start(&[]);
        let tea = json!({"id": "tea", "task": "count_down", "args": 0, "trigger": "every 1h"});
        let (_, added) = service.add(&tea);
        service.post("/jobs/tidy/pause");
        assert!(service.terminate().success());

        let service = database.start(&[]);
        assert_eq!(service.get("/jobs/tea"), (200, added));
        let (_, tidy) = service.get("/jobs/tidy");
        assert_eq!(tidy["state"], "paused");
        assert!(service.terminate().success());
    }

    #[test]
    fn a_reminder_is_added_with_its_job_listed_by_its_user_and_delivered() {
        let database = Database::new();
        let service = database.start(&[]);
        let (status, soon) = service.remind("ann", &json!({"text": "tea"}));
        assert_eq!((status, &soon["reminder"]), (201, &json!(1)), "{soon}");
        assert_eq!(service.delivered("ann"), json!([{"reminder": 1, "text": "tea", "attempt": 1}]));

        let (_, later) = service.remind("ann", &json!({"text": "cake", "at": "2100-01-01T12:00:00Z"}));
        service.remind("bob", &json!({"text": "eggs", "in_seconds": 86_400}));
        assert_eq!(service.get("/users/ann/reminders"), (200, json!([later])), "the one that is still to come");
        assert_eq!(service.get("/jobs/reminder-2").1["task"], "remind");
        assert!(service.terminate().success());
    }

    #[test]
    fn a_reminder_that_is_taken_back_is_gone_with_its_job() {
        let database = Database::new();
        let service = database.start(&[]);
        service.remind("ann", &json!({"text": "cake", "in_seconds": 3_600}));
        error(service.request("DELETE", "/users/bob/reminders/1", None), 404);
        assert_eq!(service.get("/jobs/reminder-1").0, 200, "what is another user's is left alone");

        assert_eq!(service.request("DELETE", "/users/ann/reminders/1", None).0, 204);
        assert_eq!(service.get("/jobs/reminder-1").0, 404);
        assert_eq!(service.get("/users/ann/reminders"), (200, json!([])));
        error(service.request("DELETE", "/users/ann/reminders/1", None), 404);
        assert!(service.terminate().success());
    }

    #[test]
    fn a_reminder_whose_job_is_refused_leaves_no_row_behind() {
        let database = Database::new();
        let service = database.start(&[]);
        // The id of the first reminder's job is taken.
        let taken = json!({"id": "reminder-1", "task": "count_down", "args": 0, "trigger": "every 1h"});
        assert_eq!(service.add(&taken).0, 201);
        error(service.remind("ann", &json!({"text": "tea"})), 409);
        // The row of the first one was rolled back with it, and the second one's time does not come.
        let (_, second) = service.remind("ann", &json!({"text": "cake"}));
        assert_eq!(second["reminder"], 2);
        assert_eq!(service.delivered("ann"), json!([{"reminder": 2, "text": "cake", "attempt": 1}]));
        assert!(service.terminate().success());
    }

    #[test]
    fn a_reminder_whose_process_is_killed_is_delivered_once_by_another_one() {
        let database = Database::new();
        let slow = database.start(&[("SENDING", "3600"), ("LEASE", "2")]);
        slow.remind("ann", &json!({"text": "tea"}));
        slow.hear("reminder-1: attempt 1");
        let other = database.start(&[("LEASE", "2")]);
        slow.kill();
        other.hear("reminder-1: attempt 2");
        assert_eq!(other.delivered("ann"), json!([{"reminder": 1, "text": "tea", "attempt": 2}]));
        assert!(other.terminate().success());
    }

    #[test]
    fn a_reminder_whose_process_ends_in_the_middle_is_delivered_at_once_by_another_one() {
        let database = Database::new();
        // No lease ends within the time of the test.
        let slow = database.start(&[("SENDING", "3600"), ("LEASE", "3600"), ("GRACE", "1")]);
        slow.remind("ann", &json!({"text": "tea"}));
        slow.hear("reminder-1: attempt 1");
        let other = database.start(&[("LEASE", "3600")]);
        assert!(slow.terminate().success());
        // A run that is given back goes on as the same attempt.
        other.hear("reminder-1: attempt 1");
        assert_eq!(other.delivered("ann"), json!([{"reminder": 1, "text": "tea", "attempt": 1}]));
        assert!(other.terminate().success());
    }
}
