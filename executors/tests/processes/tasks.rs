//! What the workers do.

use std::{
    future::pending,
    panic::panic_any,
    path::PathBuf,
    process::{Command, abort, exit, id},
    thread,
    time::Duration,
};

use futures_lite::future::yield_now;
use rustix::process::{Signal, getpid, kill_process};
use scheduler_core::{Outcome, RunContext, Task};
use scheduler_executors::{blocking, task};
use serde_json::{Value, json};

use crate::stage::touch;

pub(crate) fn tasks() -> Vec<Task> {
    let mut tasks = plain();
    tasks.extend(panicking());
    tasks.extend(deadly());
    tasks.extend(long());
    tasks
}

#[expect(clippy::print_stdout, reason = "it is to do no harm")]
fn plain() -> Vec<Task> {
    vec![
        blocking("echo", |args: Value| args),
        #[cfg(target_os = "linux")]
        blocking("babbles", babble),
        blocking("digs", |levels: usize| (0..levels).fold(Value::Null, |inner, _| json!([inner]))),
        blocking("double", |n: u64| n * 2),
        task("waits", || async {
            yield_now().await;
            7
        }),
        blocking("fails", || Err::<(), _>("the disk is full")),
        task("fails later", || async { Err::<(), _>("the disk is full") }),
        blocking("context", |context: RunContext| {
            json!([
                context.job_id,
                context.run_id,
                context.job_name,
                context.store,
                context.node,
                context.fire_time,
                context.attempt,
                context.fence,
            ])
        }),
        blocking("pid", id),
        blocking("prints", || {
            println!("{}", "all that a task says to anybody ".repeat(100));
            eprintln!("and its complaints");
            let mut input = String::new();
            std::io::stdin().read_line(&mut input).map(|_| input)
        }),
        blocking("large", |bytes: usize| "x".repeat(bytes)),
        blocking("variable", |name: String| std::env::var(name).ok()),
        blocking("nested", || {
            // A program that a worker starts, and that has a pool itself, is not taken for a worker.
            let program = std::env::current_exe().map_err(|error| error.to_string())?;
            let status =
                Command::new(program).args(["--exact", "worker"]).status().map_err(|error| error.to_string())?;
            Ok::<_, String>(status.success())
        }),
    ]
}

fn panicking() -> Vec<Task> {
    vec![
        blocking("panics", |text: String| {
            if !text.is_empty() {
                panic!("{text}")
            }
        }),
        blocking("panics oddly", || {
            if id() > 0 {
                panic_any(7_u8)
            }
        }),
        task("panics later", || async {
            yield_now().await;
            assert!(id() == 0, "too late");
        }),
    ]
}

fn deadly() -> Vec<Task> {
    vec![
        blocking("aborts", || {
            if id() > 0 {
                abort()
            }
        }),
        blocking("signals itself", |name: String| -> Outcome {
            let signal = if name == "SIGSEGV" { Signal::SEGV } else { Signal::KILL };
            loop {
                // Rust's handler takes the first SIGSEGV for a stack overflow that may be one, and waits for the second.
                kill_process(getpid(), signal).expect("a process may signal itself");
            }
        }),
        blocking("exits", |code: i32| {
            if id() > 0 {
                exit(code)
            }
        }),
        blocking("overflows", || deep(u64::from(id()))),
        blocking("allocates", |bytes: usize| vec![1_u8; bytes].iter().map(|byte| u64::from(*byte)).sum::<u64>()),
        blocking("leaks", |bytes: usize| {
            let leak: &'static mut [u8] = Box::leak(vec![1_u8; bytes].into_boxed_slice());
            json!([id(), leak.len()])
        }),
    ]
}

/// Never ends, as far as the stack goes.
fn deep(n: u64) -> u64 {
    let numbers = std::hint::black_box([n; 64]);
    if n == 0 { 0 } else { deep(n + 1) + numbers[3] }
}

fn long() -> Vec<Task> {
    vec![
        task("endless", |started: PathBuf| async move {
            touch(&started);
            pending::<()>().await;
        }),
        task("tidy", |context: RunContext, started: PathBuf| async move {
            touch(&started);
            context.cancellation.cancelled().await;
            "swept"
        }),
        blocking("heeds", |context: RunContext, started: PathBuf| {
            touch(&started);
            futures_lite::future::block_on(context.cancellation.cancelled());
            Outcome::Cancelled
        }),
        blocking("stubborn", |started: PathBuf| {
            touch(&started);
            forever()
        }),
        blocking("waits for a program", |started: PathBuf| {
            let mut program = Command::new("sleep").arg("1000").spawn().map_err(|error| error.to_string())?;
            std::fs::write(&started, program.id().to_string()).map_err(|error| error.to_string())?;
            program.wait().map_err(|error| error.to_string())?;
            Ok::<_, String>(())
        }),
        blocking("meets", |(mine, other): (PathBuf, PathBuf)| {
            touch(&mine);
            crate::stage::eventually("the other one runs at the same time", || other.exists());
        }),
    ]
}

fn forever() {
    loop {
        thread::park_timeout(Duration::from_secs(60));
    }
}

/// Writes into each socket of the process what is no frame.
#[cfg(target_os = "linux")]
fn babble() -> Result<(), std::io::Error> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    use std::io::Write;

    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let is_socket = std::fs::read_link(&path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        let fd = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let Some(fd) = fd.filter(|_| is_socket) {
            let mut socket = std::fs::File::from(pidfd_getfd(&process, fd, PidfdGetfdFlags::empty())?);
            socket.write_all(&[0xFF; 64])?;
        }
    }
    // Until the pool has read it.
    loop {
        thread::park();
    }
}
