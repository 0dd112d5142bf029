//! The example, asked over a socket: each page, a form, and the API, on SQLite and behind a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running process of the example, which goes with this value.
struct Example {
    process: Child,
    address: String,
    /// What it prints further, which has to go somewhere.
    _output: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Example {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("jobs.db");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dashboard"));
        command.args(["--listen", "127.0.0.1:0", "--db"]).arg(db).args(args);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("the dashboard is at http://").to_owned();
        Self { process, address, _output: output, _folder: folder }
    }

    /// The status of an answer, and all of its text, headers included.
    fn ask(&self, method: &str, target: &str, headers: &[&str], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for header in headers {
            request += &format!("{header}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    fn json(&self, target: &str) -> Value {
        let (_, answer) = self.ask("GET", target, &[], "");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_jobs_are_seen_and_steered_over_a_real_server() {
    let example = Example::start();
    for page in [
        "/",
        "/?page=upcoming",
        "/?page=jobs",
        "/?page=job&id=paper",
        "/?page=runs",
        "/?page=put-aside",
        "/?page=nodes",
    ] {
        let (status, answer) = example.ask("GET", page, &[], "");
        assert_eq!(status, 200, "{page}: {answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
        assert!(answer.trim_end().ends_with("</html>"), "{answer}");
    }
    let newsletter = example.json("/api/v1/jobs/newsletter");
    assert_eq!(newsletter["state"], "paused");
    assert_eq!(newsletter["pause"]["by"], "anna");
    assert_eq!(example.json("/api/v1/jobs/letter-1843")["args_hidden"], true);
    assert_eq!(example.json("/api/v1/upcoming")["is_complete"], true);

    let form = "content-type: application/x-www-form-urlencoded";
    let target = "/?page=job&store=default&id=paper";
    let (status, answer) =
        example.ask("POST", target, &[form, "sec-fetch-site: same-origin"], "do=pause_job&note=no+paper");
    assert_eq!(status, 303, "{answer}");
    assert_eq!(example.json("/api/v1/jobs/paper")["pause"]["note"], "no paper");
    let (status, answer) = example.ask("POST", target, &[form, "sec-fetch-site: cross-site"], "do=remove_job");
    assert_eq!(status, 403, "{answer}");
    assert_eq!(example.json("/api/v1/jobs/paper")["state"], "paused");
}

/// What the client prints, and whether it ended well.
fn client(example: &Example, token: &str) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/client.py");
    let url = format!("http://{}", example.address);
    let mut command = Command::new("python3");
    let output = command.args(["-B", script, &url]).env("APSCHEDULER_TOKEN", token).output();
    let output = output.expect("the client needs Python: install `python3`");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn python_adds_lists_pauses_runs_and_removes_a_job_with_its_standard_library_alone() {
    let example = Example::start_with(&["--token", "secret"]);
    let (is_well, told) = client(&example, "secret");
    assert!(is_well, "{told}");
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "added 'from python/1', which runs every 1h, in real time",
            "its jobs: ['from python/1']",
            "paused: until the script is through",
            "it ended: ok",
            "404: job `from python/1` is not there",
        ]
    );
    let (is_well, told) = client(&example, "guess");
    assert!(!is_well && told.contains("this login may not `add_job`"), "{told}");
}

#[test]
fn a_token_that_everybody_could_send_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dashboard"));
    let refused = command.args(["--token", ""]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--token is empty"), "{refused:?}");
}
