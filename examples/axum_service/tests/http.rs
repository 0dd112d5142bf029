//! The service, driven as its clients and its operator do: with curl and SIGTERM.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running service.
struct Service {
    process: Child,
    url: String,
    /// What it prints; closed when it has ended.
    lines: Receiver<String>,
}

impl Service {
    fn start(store: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axum_service"));
        let mut process = command.arg(store).env_remove("LISTEN").stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut service = Self { process, url: String::new(), lines };
        service.url = service.hear("listening on ").trim_start_matches("listening on ").to_owned();
        service
    }

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

#[test]
fn jobs_are_added_listed_shown_paused_resumed_and_removed() {
    let service = Service::start("memory:");
    let tea = json!({
        "id": "tea", "name": "Tea time", "task": "remind", "args": {"whom": "ann", "of": "tea"},
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
    let service = Service::start("memory:");
    let (status, _) = service.add(&json!({"id": "now", "task": "remind", "args": {"whom": "bob", "of": "cake"}}));
    assert_eq!(status, 201);
    assert_eq!(service.hear("now:"), "now: bob, think of cake");
    assert_eq!(service.get("/reminded"), (200, json!({"bob": 1})), "which the task has told a handler");

    let often =
        json!({"id": "a/b c", "task": "remind", "args": {"whom": "ann", "of": "tea"}, "trigger": "every 0.05s"});
    assert_eq!(service.add(&often).0, 201);
    for _ in 0..3 {
        assert_eq!(service.hear("a/b c:"), "a/b c: ann, think of tea");
    }
    let (status, runs) = service.get("/jobs/a%2Fb%20c/runs");
    assert_eq!(status, 200);
    let verdicts: Vec<_> = runs.as_array().unwrap().iter().map(|run| &run["verdict"]).collect();
    assert!(verdicts.len() >= 2 && verdicts.contains(&&json!("ok")), "{runs}");
    assert!(service.terminate().success());
}

#[test]
fn a_job_is_run_beside_its_fire_times() {
    let service = Service::start("memory:");
    let tea = json!({"id": "tea", "task": "remind", "args": {"whom": "ann", "of": "tea"}, "trigger": "every 1h"});
    let (_, added) = service.add(&tea);
    let (status, started) = service.post("/jobs/tea/run");
    assert_eq!(status, 202, "{started}");
    assert_eq!(service.hear("tea:"), "tea: ann, think of tea");
    assert_eq!(service.verdict("tea", started["run"].as_str().unwrap()), "ok");
    // Its next fire time is what it was.
    assert_eq!(service.get("/jobs/tea"), (200, added));
    assert!(service.terminate().success());
}

#[test]
fn a_run_that_takes_too_long_is_cancelled() {
    let service = Service::start("memory:");
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
    let service = Service::start("memory:");
    for path in ["/healthz", "/readyz"] {
        let (status, health) = service.get(path);
        assert_eq!((status, &health["event_loop"], &health["state"]), (200, &json!("answers"), &json!("running")));
        assert_eq!(
            (&health["stores"][0]["name"], &health["stores"][0]["link"]["state"]),
            (&json!("default"), &json!("up"))
        );
    }
    assert!(service.terminate().success());
}

#[test]
fn what_is_refused_is_told_in_the_words_of_the_scheduler_and_with_the_right_status() {
    let service = Service::start("memory:");
    let good = json!({"id": "tea", "task": "remind", "args": {"whom": "ann", "of": "tea"}, "trigger": "every 1h"});
    let with = |change: Value| {
        let mut job = good.clone();
        job.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        job
    };
    assert_eq!(service.add(&good).0, 201);

    let told = service.refused(409, &good);
    assert!(told.starts_with("job `tea` is in store `default` already"), "{told}");
    let told = service.refused(422, &with(json!({"id": "x", "args": {"whom": 7}})));
    assert!(told.contains("the arguments do not fit task `remind`") && told.contains("whom"), "{told}");
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
fn jobs_in_a_file_are_there_again_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = format!("sqlite://{}", folder.path().join("service.db").display());
    let service = Service::start(&store);
    let tea = json!({"id": "tea", "task": "remind", "args": {"whom": "ann", "of": "tea"}, "trigger": "every 1h"});
    let (_, added) = service.add(&tea);
    service.post("/jobs/tidy/pause");
    assert!(service.terminate().success());

    let service = Service::start(&store);
    assert_eq!(service.get("/jobs/tea"), (200, added));
    let (_, tidy) = service.get("/jobs/tidy");
    assert_eq!(tidy["state"], "paused");
    assert!(service.terminate().success());
}
