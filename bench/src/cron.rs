//! Next fire times and parsing of cron expressions: ours, and the yardstick.
//!
//! Both start at 2026-01-01T00:00:00Z and stop after n fire times or at the end of 2099, whichever is first. Ours goes the
//! whole way of a user: a [`Trigger`], a `DateTime<Utc>` in and out.

use crate::limit;
use apscheduler::{Trigger, trigger::Cron};
use chrono::{DateTime, Utc};
use figures::{Flags, Line, geomean, median};
use std::hint::black_box;
use std::time::Instant;

const START: i64 = 1_767_225_600;
const END: i64 = 4_102_444_800;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Next,
    Parse,
}

struct Expression {
    name: &'static str,
    text: &'static str,
    /// The five-field subset that every dialect of the peers can say.
    common: bool,
    /// False if the yardstick cannot say it.
    limit: bool,
}

fn table() -> Vec<Expression> {
    let lines = include_str!("../exprs.tsv").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut columns = line.split('\t');
            let (name, text) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
            let overrides = columns.next().unwrap_or_default();
            let common = overrides.is_empty() && text.starts_with("0 ");
            Expression { name, text, common, limit: !overrides.split(';').any(|one| one == "limit=-") }
        })
        .collect()
}

pub(crate) fn run(mode: Mode, flags: &Flags) {
    match flags.text("peer", "both") {
        "both" => {
            measure(mode, "limit", flags);
            measure(mode, "ours", flags);
        }
        peer => measure(mode, peer, flags),
    }
}

fn measure(mode: Mode, peer: &str, flags: &Flags) {
    let (zone, set, only) = (flags.text("zone", "utc"), flags.text("set", "all"), flags.text("only", ""));
    let (n, reps) = (flags.number("n", if mode == Mode::Next { 1000 } else { 300 }), flags.number("reps", 5));
    let list = flags.number("list", 0) == 1;
    let (mut per_expression, mut names) = (Vec::new(), Vec::new());
    let (mut total_ns, mut calls, mut allocations) = (0.0, 0usize, 0u64);
    for expression in table() {
        let left_out = set == "common" && !expression.common || !only.is_empty() && expression.name != only;
        if left_out || peer == "limit" && !expression.limit {
            continue;
        }
        let (mut times, mut walked) = (Vec::new(), Walked::default());
        for _ in 0..reps {
            walked = match mode {
                Mode::Parse => parse(peer, expression.text, n),
                Mode::Next => walk(peer, zone, expression.text, n),
            };
            times.push(walked.ns);
        }
        let ns = median(&mut times);
        if list {
            println!("{}\t{}\t{}\t{:.1}", expression.name, walked.count, walked.sum, ns / walked.count as f64);
        }
        per_expression.push(ns / walked.count as f64);
        names.push(expression.name);
        total_ns += ns;
        calls += walked.count;
        allocations += walked.allocations;
    }
    if list || names.is_empty() {
        return;
    }
    let worst = (0..names.len()).max_by(|&a, &b| per_expression[a].total_cmp(&per_expression[b])).unwrap_or(0);
    Line::new(if mode == Mode::Next { "cron-next" } else { "cron-parse" }, peer)
        .text("zone", zone)
        .text("set", set)
        .int("exprs", names.len())
        .int("calls", calls)
        .num("ns_mean", total_ns / calls as f64)
        .num("ns_geomean", geomean(&per_expression))
        .num("ns_median", median(&mut per_expression.clone()))
        .num("ns_worst", per_expression[worst])
        .text("worst", names[worst])
        .num("allocations_per_call", allocations as f64 / calls as f64)
        .print();
}

#[derive(Default)]
struct Walked {
    ns: f64,
    count: usize,
    /// Of the seconds of all fire times: equal sums are equal calendars.
    sum: i64,
    allocations: u64,
}

fn walk(peer: &str, zone: &str, text: &str, n: usize) -> Walked {
    let new_york = zone == "ny";
    if peer == "limit" {
        let masks = limit::Masks::parse(text).expect("the yardstick can say it");
        let zone = if new_york { limit::Zone::NewYork } else { limit::Zone::Utc };
        return timed(|| measured_next(START, n, |at| masks.next(*at, &zone), |at| *at));
    }
    let mut cron = Cron::quartz(text).expect("ours can say them all");
    if new_york {
        cron = cron.timezone(chrono_tz::America::New_York);
    }
    let trigger = Trigger::from(cron);
    let start = DateTime::from_timestamp(START, 0).expect("2026");
    // The first use of a zone in a process makes its table.
    black_box(trigger.next(Some(start), start).expect("a cron trigger has no errors"));
    timed(|| measured_next(start, n, |at| next(&trigger, *at), DateTime::timestamp))
}

#[inline]
fn next(trigger: &Trigger, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    trigger.next(Some(at), at).expect("a cron trigger has no errors")
}

fn parse(peer: &str, text: &str, n: usize) -> Walked {
    let mut walked = match peer {
        "limit" => timed(|| measured_parse(text, n, limit::Masks::parse)),
        _ => timed(|| measured_parse(text, n, Cron::quartz)),
    };
    walked.count = n;
    walked
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed(work: impl FnOnce() -> (usize, i64)) -> Walked {
    let mut walked = Walked::default();
    let counted = allocation_counter::measure(|| {
        let begin = Instant::now();
        (walked.count, walked.sum) = work();
        walked.ns = begin.elapsed().as_nanos() as f64;
    });
    walked.allocations = counted.count_total;
    walked
}

/// Walks up to `n` fire times; returns how many and the sum of their seconds. The name is what an instruction counter is
/// told to count in.
#[inline(never)]
fn measured_next<T: Clone>(
    start: T,
    n: usize,
    next: impl Fn(&T) -> Option<T>,
    seconds: impl Fn(&T) -> i64,
) -> (usize, i64) {
    let (mut at, mut count, mut sum) = (start, 0, 0i64);
    while count < n {
        let Some(next) = next(&at) else { break };
        let second = seconds(&next);
        if second >= END {
            break;
        }
        (at, sum, count) = (next, sum.wrapping_add(second), count + 1);
    }
    (count, sum)
}

#[inline(never)]
fn measured_parse<C>(text: &str, n: usize, parse: impl Fn(&str) -> C) -> (usize, i64) {
    for _ in 0..n {
        black_box(parse(black_box(text)));
    }
    (n, 0)
}
