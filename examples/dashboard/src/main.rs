//! A lively set of jobs in a SQLite file, and the dashboard that shows and steers them.
//!
//! ```sh
//! cargo run -p dashboard
//! cargo run -p dashboard -- --listen 127.0.0.1:8080 --db /tmp/jobs.db
//! cargo run -p dashboard -- --for 60
//! cargo run -p dashboard -- --token secret
//! ```
//!
//! It prints the address of the page. Below that is the API:
//!
//! ```sh
//! curl $URL/api/v1/jobs
//! curl $URL/api/v1/runs?verdict=error
//! curl -X POST $URL/api/v1/jobs/import/run
//! curl $URL/api/v1/jobs/newsletter/pause --json '{"note": "not in August", "until": "2027-09-01T00:00:00Z"}'
//! curl $URL/api/v1/openapi.json
//! ```
//!
//! There is no login here, so that it listens on the loopback only, unless `--listen` says otherwise. With `--token`,
//! who does not send this word as a bearer token may only look, and who does may add and change jobs, too, as
//! `client.py` does from Python. A service of yours says with `Access::by` who may do what, and mounts the dashboard on
//! the server that it has, as `examples/axum_service` does.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

mod jobs;

use std::{env, time::Duration};

use apscheduler::{
    prelude::*,
    web::{self, Access, Dashboard, Hidden, Operation, Permissions},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::from_args()?;
    let store = SqliteStore::connect(&format!("sqlite://{}", options.db)).await?;
    let builder =
        Scheduler::builder(TokioRuntime::current()).store("default", store).node_label("example", "dashboard");
    let scheduler = jobs::tasks(builder).build()?;
    jobs::add(&scheduler).await?;
    scheduler.start().await?;

    let dashboard =
        Dashboard::new(scheduler.clone(), access(options.token)).title("Print shop").hide(|task| match task {
            // The arguments of letters are private. A row that cannot be read may be one of a letter, so its text is hidden, too.
            Some(task) if *task != "send_letter" => Hidden::Nothing,
            _ => Hidden::Arguments,
        });
    let server = web::serve(options.listen, dashboard).await?;
    println!("the dashboard is at http://{}", server.address());
    println!("the jobs are in {}", options.db);
    end(options.seconds).await;
    scheduler.shutdown(ShutdownMode::within(Duration::from_secs(2))).await?;
    // It ends with the scheduler, when the requests that it is answering are answered.
    server.ended().await;
    println!("ended");
    Ok(())
}

/// Who may do what: everybody may steer, or those who have the token may do all of it, and others look.
fn access(token: Option<String>) -> Access {
    let Some(token) = token else { return Access::unprotected() };
    let expected = format!("Bearer {token}");
    Access::by(move |request| match request.headers.get("authorization") {
        Some(sent) if is_same(sent.as_bytes(), expected.as_bytes()) => {
            Permissions::steer().allow(Operation::AddJob).allow(Operation::ChangeJob).by("token")
        }
        _ => Permissions::read(),
    })
}

/// Takes as long wherever two texts differ, so that the time does not tell how much of a guess is right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

/// Ends with Ctrl-C, or when the time is up.
async fn end(seconds: Option<u64>) {
    let time_is_up = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time_is_up => println!("time is up"),
        heard = tokio::signal::ctrl_c() => match heard {
            Ok(()) => println!("interrupted"),
            Err(error) => println!("Ctrl-C cannot be heard ({error}), so that this ends now"),
        },
    }
}

/// What the command line says.
struct Options {
    listen: String,
    db: String,
    seconds: Option<u64>,
    token: Option<String>,
}

impl Options {
    fn from_args() -> Result<Self, String> {
        let mut options =
            Self { listen: "127.0.0.1:0".to_owned(), db: "dashboard.db".to_owned(), seconds: None, token: None };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--listen" => options.listen = value()?,
                "--db" => options.db = value()?,
                "--for" => {
                    let text = value()?;
                    let seconds = text.parse().map_err(|error| format!("--for {text}: {error}; give seconds"))?;
                    options.seconds = Some(seconds);
                }
                "--token" => match value()? {
                    empty if empty.is_empty() => return Err("--token is empty, which everybody could send".to_owned()),
                    token => options.token = Some(token),
                },
                _ => {
                    let known = "--listen ADDR, --db FILE, --for SECONDS and --token WORD";
                    return Err(format!("`{arg}` is unknown; there are {known}"));
                }
            }
        }
        Ok(options)
    }
}
