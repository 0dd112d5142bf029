-- The step of `record`: one report about a running run. `stores/src/head/record.rs` in Lua.

-- Takes a report if the run is the reporter's, or says whose it is.
function Head:record(runs, entry, owner, now)
    local run = runs:run(entry.seq)
    if not run then
        return "gone"
    end
    if run.owner ~= owner or run.fence ~= entry.fence then
        return "stale"
    end
    if run.state ~= "running" then
        if run.state == "ended" and run.verdict == "error" and entry.kind == "retry" then
            return "ended"
        end
        return Head.shows(run, entry) and "done" or "stale"
    end
    local outcome = "done"
    if entry.kind == "end" then
        run.duration = entry.duration
        run.error = nil
        self:end_run(runs, run, entry.verdict, entry.error, now)
    elseif entry.kind == "retry" and self.state == "removed" then
        self:end_run(runs, run, "error", entry.error, now)
        outcome = "ended"
    elseif entry.kind == "retry" then
        run.state, run.wait = "waiting", "retry"
        run.due = entry.due
        run.error = entry.error
        self.last_end = text(now)
        self:put_off(runs, run, now)
    else
        run.state, run.wait = "waiting", "released"
        run.started = nil
        self:put_off(runs, run, now)
    end
    self.nudged = true
    if self.blocked and not self.owner then
        self:make_due(now)
    end
    self:end_with_last_run(runs)
    return outcome
end

function Head:put_off(runs, run, now)
    runs:put(run)
    -- One that has been asked to stop ends with the next claim, whenever it would have gone on.
    self:make_due(run.cancel_requested == 1 and now or whole(run.due) or 0)
end

-- Whether a run that is not running shows that this report about it was taken before.
function Head.shows(run, entry)
    if run.state == "ended" then
        return entry.kind == "end" and run.verdict == entry.verdict
    end
    return entry.kind == "retry" and run.wait == "retry" and run.due == entry.due
        or entry.kind == "release" and run.wait == "released"
end
