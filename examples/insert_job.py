#!/usr/bin/env python3
"""Adds a job from Python, with plain SQL, for a scheduler that runs elsewhere.

    python3 examples/insert_job.py sqlite:jobs.db                            report '{"to": "ann"}'
    python3 examples/insert_job.py postgres://user:password@host/database    report '{"to": "ann"}'
    python3 examples/insert_job.py mysql://user:password@host/database       report '{"to": "ann"}'

The job runs the task `report` once, now; or as a trigger says:

    --trigger '{"type": "cron", "dialect": "crontab", "expression": "0 9 * * mon-fri", "timezone": "Europe/Berlin"}'

SQLite needs nothing but Python, PostgreSQL `pip install psycopg[binary]`,
MySQL and MariaDB `pip install pymysql`. The scheduler has made the tables before.
"""

import argparse
import datetime
import json
import urllib.parse
import uuid


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url")
    options.add_argument("task")
    options.add_argument("args", nargs="?", default="null", type=json.loads, help="the arguments, in JSON")
    options.add_argument("--id", default=None, help="the job's id; by default one of its own")
    options.add_argument("--trigger", type=json.loads, help="when it runs, in JSON; by default once, now")
    options.add_argument("--prefix", default="scheduler_", help="what the names of the tables begin with")
    given = options.parse_args()

    now = datetime.datetime.now(datetime.timezone.utc)
    uid = uuid.uuid4().hex  # the primary key: 32 hexadecimal digits
    body = {  # the definition; what is left out has its default
        "v": 1,
        "task": given.task,
        "args": given.args,
        "trigger": given.trigger or {"type": "date", "at": now.isoformat()},
    }
    # A scheduler looks at the job when it is due, and computes the fire time from its trigger if there is none yet.
    due = int(now.timestamp() * 1_000_000)  # all times are whole microseconds since 1970, UTC
    row = (uid, given.id or f"{given.task}-{uid}", json.dumps(body), given.task, 1, due)

    connection, parameter, wake = connect(given.url, given.prefix)
    insert = (
        f"INSERT INTO {given.prefix}jobs (uid, id, body, task, v, due) "
        f"VALUES ({', '.join([parameter] * 6)})"
    )
    try:
        cursor = connection.cursor()
        cursor.execute(insert, row)
        cursor.execute(wake)  # the schedulers look at once, not when they would have looked anyway
        connection.commit()
    finally:
        connection.close()
    print(row[1])


def connect(url, prefix):
    """A connection, how it writes a parameter, and what wakes the schedulers."""
    count = f"UPDATE {prefix}meta SET value = value + 1 WHERE key = 'changes'"
    if url.startswith("sqlite:"):
        import sqlite3

        path = url.removeprefix("sqlite:").removeprefix("//")
        return sqlite3.connect(path, timeout=10), "?", count
    if url.startswith("postgres"):
        import psycopg

        return psycopg.connect(url), "%s", f"NOTIFY {prefix}changes"
    if url.startswith("mysql:"):
        import pymysql

        parts = urllib.parse.urlsplit(url)
        connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=urllib.parse.unquote(parts.password or ""),
            database=parts.path.lstrip("/"),
        )
        return connection, "%s", count.replace("key", "`key`")
    raise SystemExit(f"{url}: it begins with sqlite:, postgres: or mysql:")


if __name__ == "__main__":
    main()
