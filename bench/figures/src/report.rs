//! Flags in, JSON lines out.

use std::{collections::HashMap, fmt::Write as _, fs, io, thread, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

/// `--name value` pairs from the command line.
#[derive(Debug)]
pub struct Flags(HashMap<String, String>);

impl Flags {
    /// Reads the arguments.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut map = HashMap::new();
        while let Some(key) = args.next() {
            let name = key.strip_prefix("--").ok_or_else(|| format!("expected --name value, got `{key}`"))?;
            map.insert(name.to_owned(), args.next().unwrap_or_default());
        }
        Ok(Self(map))
    }

    /// The value of a flag, or this.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    /// The number of a flag, or this.
    pub fn number(&self, name: &str, default: usize) -> usize {
        self.0.get(name).and_then(|value| value.replace('_', "").parse().ok()).unwrap_or(default)
    }
}

/// One flat JSON object, in the order in which the fields were given.
#[derive(Debug)]
pub struct Line(String);

impl Line {
    /// The line of a program that did this work.
    pub fn new(work: &str, peer: &str) -> Self {
        Self(String::new()).text("work", work).text("peer", peer)
    }

    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        write!(self.0, "\"{key}\":").expect("writing to a string");
    }

    /// The line with a text, which has no quotes in it.
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        write!(self.0, "\"{value}\"").expect("writing to a string");
        self
    }

    /// The line with a count.
    pub fn int(mut self, key: &str, value: usize) -> Self {
        self.key(key);
        write!(self.0, "{value}").expect("writing to a string");
        self
    }

    /// The line with a figure; one that is no number is null.
    pub fn num(mut self, key: &str, value: f64) -> Self {
        self.key(key);
        let text = if value.is_finite() { format!("{value:.4}") } else { "null".to_owned() };
        self.0.push_str(&text);
        self
    }

    /// How late runs were, from microseconds.
    pub fn quantiles(self, late: &mut [f64]) -> Self {
        self.num("late_p50_us", quantile(late, 0.5))
            .num("late_p99_us", quantile(late, 0.99))
            .num("late_max_us", quantile(late, 1.0))
    }

    /// Prints the line.
    pub fn print(self) {
        println!("{}}}", self.0);
    }
}

/// The value in the middle.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The geometric mean.
pub fn geomean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// The value below which this share of them lies.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The processor seconds that this process has used.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The bytes of memory that the process has.
pub fn resident_bytes() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kilobytes = number_of(&status, "VmRSS:").ok_or_else(|| io::Error::other("the system does not tell"))?;
    Ok(kilobytes * 1_024)
}

/// How often the threads that the process has now have given up or lost their processor so far.
pub fn context_switches() -> usize {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_thread = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        Some(number_of(&status, "voluntary_ctxt_switches:")? + number_of(&status, "nonvoluntary_ctxt_switches:")?)
    };
    threads.filter_map(of_thread).sum()
}

/// The number in the line of `/proc/../status` that begins so.
fn number_of(status: &str, name: &str) -> Option<usize> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// A time in seconds.
pub fn seconds(time: TimeDelta) -> f64 {
    time.num_microseconds().map_or(f64::NAN, |micros| micros as f64 / 1e6)
}

/// Blocks until then the thread that measures, which drives nothing else.
pub fn sleep_until(at: DateTime<Utc>) {
    pause((at - Utc::now()).to_std().unwrap_or(Duration::ZERO));
}

/// Blocks for so long the thread that measures, which drives nothing else.
#[expect(clippy::disallowed_methods, reason = "what is measured goes on meanwhile")]
pub fn pause(time: Duration) {
    thread::sleep(time);
}
