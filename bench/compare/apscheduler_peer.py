"""APScheduler 3 under the workloads of `scheduler-bench`: one JSON line each, with the same names of figures.

    apscheduler_peer.py add|fire|burst|idle [--n 1000] [--secs 10] [--lead 3]
    apscheduler_peer.py store [--n 500] [--dir /tmp]

Needs: pip install 'APScheduler==3.11.*' 'SQLAlchemy>=2,<3'
"""

import argparse
import json
import logging
import math
import os
import resource
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

logging.disable(logging.CRITICAL)

UTC = timezone.utc
LATE = []  # (how late, when it ran)
WINDOW = [math.inf, math.inf]
RAN = [0, threading.Event(), 0]  # how many, all of them, how many there are


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_nvcsw + usage.ru_nivcsw


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def emit(work, **fields):
    row = {"work": work, "peer": "APScheduler"}
    row.update((key, round(value, 4) if isinstance(value, float) else value) for key, value in fields.items())
    print(json.dumps(row), flush=True)


def fired(due, period):
    now = time.time()
    if WINDOW[0] <= now < WINDOW[1]:
        LATE.append(((now - due) % period if period else now - due, now))


def nothing():
    pass


def stored():
    RAN[0] += 1
    if RAN[0] == RAN[2]:
        RAN[1].set()


def quantiles(late):
    def of(share):
        return late[max(math.ceil(len(late) * share) - 1, 0)] * 1e6 if late else None

    return {"late_p50_us": of(0.5), "late_p99_us": of(0.99), "late_max_us": of(1.0)}


def memory(args):
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.start()
    time.sleep(0.2)
    n, before, began = args.n, resident_bytes(), time.time()
    whole = math.floor(began) + 1
    first = whole + args.lead

    def at(seconds):
        return datetime.fromtimestamp(seconds, UTC)

    if args.work == "burst":
        WINDOW[:] = [0, math.inf]
    for i in range(n):
        if args.work == "fire":
            due = first + i / n
            scheduler.add_job(fired, IntervalTrigger(seconds=1, start_date=at(due), timezone=UTC), args=(due, 1))
        elif args.work == "burst":
            scheduler.add_job(fired, DateTrigger(at(first), timezone=UTC), args=(first, 0), misfire_grace_time=None)
        elif args.work == "idle":
            due = whole + 3600 + i / n
            scheduler.add_job(nothing, IntervalTrigger(hours=1, start_date=at(due), timezone=UTC))
        else:
            due = whole + 86_400 + (i * 0x9E3779B97F4A7C15 >> 20) % 86_400_000 / 1000
            scheduler.add_job(nothing, IntervalTrigger(days=1, start_date=at(due), timezone=UTC))
    added = time.time()
    row = {
        "n": n,
        "adds_per_s": n / (added - began),
        "bytes_per_schedule": (resident_bytes() - before) / n,
    }
    if args.work == "fire":
        start = max(first, math.floor(added) + 1) + 1
        WINDOW[:] = [start, start + args.secs]
        time.sleep(start - time.time())
        cpu, switches = used()
        time.sleep(max(start + args.secs - time.time(), 0))
        cpu, switches = used()[0] - cpu, used()[1] - switches
        time.sleep(0.1)
        late = sorted(late for late, _ in LATE)
        row.update(
            phases="distinct", runs=len(late), expected=n * args.secs, ran_share=len(late) / (n * args.secs),
            cpu_s=cpu, cpu_us_per_run=cpu * 1e6 / max(len(late), 1), ctx_switches=switches, **quantiles(late),
        )
    elif args.work == "burst":
        cpu, seen, since = used()[0], -1, time.time()
        while len(LATE) < n and time.time() - since < 10:
            time.sleep(0.05)
            if len(LATE) != seen or time.time() < first:
                seen, since = len(LATE), time.time()
        late = sorted(late for late, _ in LATE)
        last = max(when for _, when in LATE) - first
        row.update(
            runs=len(late), ran_share=len(late) / n, last_ms=last * 1e3, runs_per_s=len(late) / last,
            cpu_s=used()[0] - cpu, late_setup="yes" if added > first else "no", **quantiles(late),
        )
    elif args.work == "idle":
        time.sleep(1)
        cpu, switches = used()
        time.sleep(args.secs)
        row.update(cpu_s=used()[0] - cpu, ctx_switches=max(used()[1] - switches - 1, 0))
    emit(args.work, **row)


def store(args):
    path = Path(args.dir) / f"compare-apscheduler-{os.getpid()}.db"
    RAN[2] = args.n
    stores = {"default": SQLAlchemyJobStore(url=f"sqlite:///{path}")}
    scheduler = BackgroundScheduler(timezone=UTC, jobstores=stores)
    scheduler.start(paused=True)
    cpu, began = used()[0], time.perf_counter()
    due = datetime.now(UTC)
    for _ in range(args.n):
        scheduler.add_job(
            "__main__:stored",
            IntervalTrigger(days=1, start_date=due + timedelta(hours=2), timezone=UTC),
            next_run_time=due, misfire_grace_time=None, max_instances=10,
        )
    added = time.perf_counter()
    scheduler.resume()
    RAN[1].wait(120)
    # The last job may run before the last row is written.
    while scheduler._jobstores["default"].get_due_jobs(datetime.now(UTC)):
        time.sleep(0.005)
    done = time.perf_counter()
    emit(
        "store", sync="full", n=args.n, runs=RAN[0], adds_per_s=args.n / (added - began),
        fires_per_s=RAN[0] / (done - added), cpu_s=used()[0] - cpu,
    )
    path.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["add", "fire", "burst", "idle", "store"])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--secs", type=int, default=10)
    parser.add_argument("--lead", type=int, default=3)
    parser.add_argument("--dir", default="/tmp")
    args = parser.parse_args()
    store(args) if args.work == "store" else memory(args)
    # Its threads would wait for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
