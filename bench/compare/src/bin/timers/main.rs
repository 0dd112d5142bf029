//! Bare timers and other schedulers in memory, one of them and one workload a process. The flags and the figures are those of
//! `scheduler-bench`.
//!
//! ```text
//! timers add|fire|burst|idle --peer tokio-sleep|heap-spawn|heap-inline|tokio-cron-scheduler|apalis
//!        [--n 10000] [--secs 10] [--lead 3] [--phases distinct|same]
//! ```
//!
//! The first three are yardsticks. They do less than a scheduler: no ids, no options, no events, nothing that could be removed,
//! paused or asked for. They say what a machine can do.

mod peers;

use std::{
    error::Error,
    process::ExitCode,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use figures::{Flags, Lateness, Line, context_switches, cpu_seconds, pause, resident_bytes, seconds, sleep_until};
use peers::{Peer, Plan};
use tokio::runtime::Runtime;

/// A measurement in which nothing has run for so long is over.
const GIVE_UP: TimeDelta = TimeDelta::seconds(3);

/// How late runs were: room for the largest measurement.
static LATE: LazyLock<Lateness> = LazyLock::new(|| Lateness::new(2_000_000));

/// How many schedules a peer has taken in.
static ARMED: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    match Flags::parse(args).map_err(Into::into).and_then(|flags| run(&name, &flags)) {
        // Some peers own threads that end with the process only.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, flags: &Flags) -> Result<(), Box<dyn Error>> {
    let work = Work {
        name: name.to_owned(),
        peer: flags.text("peer", "tokio-sleep").to_owned(),
        n: flags.number("n", 10_000).max(1),
        secs: flags.number("secs", 10),
        lead: flags.number("lead", 3),
        is_spread: flags.text("phases", "distinct") != "same",
    };
    LazyLock::force(&LATE);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(flags.number("threads", 2)).enable_all().build()?;
    match work.peer.as_str() {
        "tokio-sleep" => work.measure(&runtime, peers::Sleep),
        "heap-spawn" => work.measure(&runtime, peers::Heap::start(Some(runtime.handle().clone()))),
        "heap-inline" => work.measure(&runtime, peers::Heap::start(None)),
        "tokio-cron-scheduler" => {
            // With its usual channels of 200 places it loses jobs that are added quickly.
            let room = (2 * work.n).clamp(200, 1 << 20);
            let peer = runtime.block_on(peers::TokioCron::start(room))?;
            work.measure(&runtime, peer)
        }
        "apalis" => work.measure(&runtime, peers::Apalis),
        other => {
            Err(format!("--peer {other}: there are tokio-sleep, heap-spawn, heap-inline, tokio-cron-scheduler, apalis")
                .into())
        }
    }
}

struct Work {
    name: String,
    peer: String,
    n: usize,
    secs: usize,
    lead: usize,
    is_spread: bool,
}

impl Work {
    fn measure<P: Peer>(&self, runtime: &Runtime, peer: P) -> Result<(), Box<dyn Error>> {
        pause(Duration::from_millis(200));
        let whole = Utc::now().duration_trunc(TimeDelta::seconds(1))? + TimeDelta::seconds(1);
        let first = whole + TimeDelta::seconds(self.lead as i64);
        if self.name == "burst" {
            LATE.watch(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        }
        let (before, began) = (resident_bytes()?, Utc::now());
        let is_spread = self.is_spread && !P::WHOLE_SECONDS;
        runtime.block_on(async {
            for at in 0..self.n {
                peer.add(at, self.plan(at, whole, first, is_spread)).await?;
            }
            Ok::<_, Box<dyn Error>>(())
        })?;
        let added = self.taken_in(P::TELLS_ARMED);
        let bytes = resident_bytes()?.saturating_sub(before);
        let line = Line::new(&self.name, &self.peer)
            .int("n", self.n)
            .num("adds_per_s", self.n as f64 / seconds(added - began))
            .num("bytes_per_schedule", bytes as f64 / self.n as f64);
        match self.name.as_str() {
            "fire" => self.fire(line, first.max(added.duration_trunc(TimeDelta::seconds(1))?), is_spread),
            "burst" => self.burst(line, first, added),
            "idle" => self.idle(line),
            "add" => line.print(),
            other => return Err(format!("{other}: there are add, fire, burst, idle").into()),
        }
        Ok(())
    }

    fn plan(&self, at: usize, whole: DateTime<Utc>, first: DateTime<Utc>, is_spread: bool) -> Plan {
        let of_second = TimeDelta::microseconds(at as i64 * 1_000_000 / self.n as i64);
        match self.name.as_str() {
            "fire" if is_spread => Plan::every(first + of_second, TimeDelta::seconds(1)),
            "fire" => Plan::every(first, TimeDelta::seconds(1)),
            "burst" => Plan::once(first),
            "idle" => Plan::every(whole + TimeDelta::hours(1) + of_second, TimeDelta::hours(1)),
            _ => {
                let scatter = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
                let of_day = TimeDelta::microseconds((scatter % 86_400_000_000) as i64);
                Plan::every(whole + TimeDelta::days(1) + of_day, TimeDelta::days(1))
            }
        }
    }

    /// When the peer had taken in all schedules: it says so, or the process goes quiet.
    fn taken_in(&self, tells_armed: bool) -> DateTime<Utc> {
        if tells_armed {
            while ARMED.load(Relaxed) < self.n {
                pause(Duration::from_micros(100));
            }
            return Utc::now();
        }
        if self.name == "fire" || self.name == "burst" {
            return Utc::now();
        }
        let (mut last_busy, mut cpu, mut at) = (Utc::now(), cpu_seconds(), Utc::now());
        loop {
            pause(Duration::from_millis(5));
            let (used, now) = (cpu_seconds(), Utc::now());
            if used - cpu > 0.1 * seconds(now - at) {
                last_busy = now;
            } else if now - last_busy > TimeDelta::milliseconds(40) {
                return last_busy;
            }
            (cpu, at) = (used, now);
        }
    }

    fn fire(&self, line: Line, begin: DateTime<Utc>, is_spread: bool) {
        let from = begin + TimeDelta::seconds(2);
        let to = from + TimeDelta::seconds(self.secs as i64);
        LATE.watch(from, to);
        sleep_until(from);
        let (cpu, switches) = (cpu_seconds(), context_switches());
        sleep_until(to);
        let (cpu, switches) = (cpu_seconds() - cpu, context_switches() - switches);
        sleep_until(to + TimeDelta::milliseconds(100));
        let (runs, expected) = (LATE.count(), self.n * self.secs);
        line.text("phases", if is_spread { "distinct" } else { "same" })
            .int("runs", runs)
            .int("expected", expected)
            .num("ran_share", runs as f64 / expected as f64)
            .quantiles(&mut LATE.micros())
            .num("cpu_s", cpu)
            .num("cpu_us_per_run", cpu * 1e6 / runs as f64)
            .int("ctx_switches", switches)
            .print();
    }

    fn burst(&self, line: Line, first: DateTime<Utc>, added: DateTime<Utc>) {
        sleep_until(first - TimeDelta::milliseconds(1));
        let cpu = cpu_seconds();
        while LATE.count() < self.n && Utc::now() < LATE.last().unwrap_or(first).max(first) + GIVE_UP {
            pause(Duration::from_millis(20));
        }
        let (cpu, runs) = (cpu_seconds() - cpu, LATE.count());
        let took = seconds(LATE.last().unwrap_or(first) - first);
        line.text("late_setup", if added > first { "yes" } else { "no" })
            .int("runs", runs)
            .num("ran_share", runs as f64 / self.n as f64)
            .num("last_ms", took * 1e3)
            .num("runs_per_s", runs as f64 / took)
            .quantiles(&mut LATE.micros())
            .num("cpu_s", cpu)
            .print();
    }

    fn idle(&self, line: Line) {
        pause(Duration::from_secs(1));
        let (cpu, switches) = (cpu_seconds(), context_switches());
        pause(Duration::from_secs(self.secs as u64));
        let switches = (context_switches() - switches).saturating_sub(1);
        line.num("cpu_s", cpu_seconds() - cpu).int("ctx_switches", switches).print();
    }
}
