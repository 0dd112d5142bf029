#!/usr/bin/env python3
"""Jobs of an apscheduler in Rust, from Python: a client of the dashboard's API, of the standard library alone.

    cargo run -p dashboard -- --token secret
    APSCHEDULER_TOKEN=secret python3 examples/dashboard/client.py http://127.0.0.1:PORT

What the API has besides is in `api/v1/openapi.json` below the address of the dashboard.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class Problem(Exception):
    """What was asked is not done: `kind` is a word for programs, `status` that of HTTP."""

    def __init__(self, problem):
        super().__init__(problem["detail"])
        self.kind, self.status = problem["kind"], problem["status"]


class Client:
    """The jobs behind the dashboard at an address."""

    def __init__(self, url, token=None, timeout=30):
        self.url, self.token, self.timeout = url.rstrip("/") + "/api/v1", token, timeout

    def add(self, task, **fields):
        """Adds a job of a task that the service has registered. `fields` are id, args, trigger, name, executor, tags, paused and
        store; a job without a trigger runs once, now."""
        return self._ask("POST", "/jobs", body={"task": task, **fields})

    def job(self, id):
        """A job with its next fire times."""
        return self._ask("GET", f"/jobs/{_part(id)}")

    def jobs(self, **filter):
        """All jobs that a filter means, page by page: text, id_prefix, task, tag, state, executor, store, order."""
        return self._pages("/jobs", "jobs", filter)

    def runs(self, **filter):
        """All runs that a filter means, the newest first: id (of the job), task, node, state, verdict, since, until, store."""
        return self._pages("/runs", "runs", filter)

    def pause(self, id, note=None, until=None):
        """Keeps a job from firing, until it is resumed or until a time as in `2027-01-01T09:00:00Z`."""
        body = {"note": note, "until": until}
        return self._ask("POST", f"/jobs/{_part(id)}/pause", body={k: v for k, v in body.items() if v is not None})

    def resume(self, id):
        """Lets a job fire again."""
        return self._ask("POST", f"/jobs/{_part(id)}/resume")

    def reschedule(self, id, trigger):
        """Gives a job another trigger."""
        return self._ask("POST", f"/jobs/{_part(id)}/reschedule", body={"trigger": trigger})

    def run_now(self, id):
        """Runs a job once, now, beside its schedule. Gives the id of the run."""
        return self._ask("POST", f"/jobs/{_part(id)}/run")["run"]

    def wait(self, id, run, timeout=60, pause=0.1):
        """Waits for the end of a run of a job, and gives the run with its `verdict`, `error` and `output`."""
        end = time.monotonic() + timeout
        while True:
            for found in self._pages(f"/jobs/{_part(id)}/runs", "runs", {}):
                if found["run"] == run and found["state"] == "ended":
                    return found
            if time.monotonic() > end:
                raise TimeoutError(f"run {run} of job {id} has not ended within {timeout} s")
            time.sleep(pause)

    def remove(self, id):
        """Removes a job."""
        self._ask("DELETE", f"/jobs/{_part(id)}")

    def _pages(self, path, name, filter):
        cursor = None
        while True:
            page = self._ask("GET", path, query={**filter, "cursor": cursor})
            yield from page[name]
            cursor = page["next"]
            if cursor is None:
                return

    def _ask(self, method, path, query=None, body=None):
        query = {name: value for name, value in (query or {}).items() if value is not None}
        url = self.url + path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else "")
        headers = {"accept": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            headers["content-type"], data = "application/json", json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.headers.get_content_type() != "application/problem+json":
                raise
            raise Problem(json.load(error)) from None
        return json.loads(text) if text else None


def _part(id):
    return urllib.parse.quote(id, safe="")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    client = Client(sys.argv[1], os.environ.get("APSCHEDULER_TOKEN"))
    job = client.add("check_printers", id="from python/1", trigger="every 1h", tags=["python"])
    print(f"added {job['id']!r}, which runs {job['trigger_in_words']}")
    print("its jobs:", [job["id"] for job in client.jobs(tag="python")])
    paused = client.pause(job["id"], note="until the script is through")
    print(f"{paused['state']}: {paused['pause']['note']}")
    # One that is paused runs if it is asked to.
    run = client.wait(job["id"], client.run_now(job["id"]))
    print("it ended:", run["verdict"])
    client.remove(job["id"])
    try:
        client.job(job["id"])
    except Problem as problem:
        print(f"{problem.status}: {problem}")


if __name__ == "__main__":
    main()
