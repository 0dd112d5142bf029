-- The moving part of a job, and what each verb does to it and to the job's open runs: `stores/src/head.rs` in Lua, with the
-- same names in the same order.
--
-- A head has the columns of a job's row: texts for `state`, `reason`, times, `owner` and `totals`, flags for `blocked` and
-- `nudged`, numbers for the rest. `owner` and `claim_until` are both there or both not.

-- Claims the job.
function Head:claim(owner, till)
    self.fence = self.fence + 1
    self.nudged = false
    self.owner, self.claim_until = owner, text(till)
end

-- Changes the job as its user wants it, if nothing has touched it since.
--
-- `same_body` says whether the definition in the store is the one that the update carries, or it carries none.
function Head:update(runs, update, same_body, now)
    if self.revision == update.revision + 1 and same_body and self:has_taken(runs, update) then
        return "repeated"
    end
    if self.revision ~= update.revision or self.fence ~= update.fence then
        return "conflict"
    end
    if update.gives_way == 1 and self.owner and whole(self.claim_until) > now then
        return "conflict"
    end
    self.revision = self.revision + 1
    self:give_up()
    self.state, self.reason = update.state, update.reason
    self.next_fire_time = update.next_fire_time
    local was_due = self.due
    self.due = update.due
    for _, run in ipairs(update.runs) do
        if run.state ~= "ended" and whole(run.due) > now then
            -- By the store's clock, since the caller's may be fast.
            run.due = now
        end
        self:insert_run(runs, run, now)
    end
    if self.nudged then
        -- Not later than before: changes without a pause would put the job off for as long as they last.
        self.due = was_due
        self:make_due(now)
    end
    -- What somebody asks of a waiting run is done even if the job is paused.
    for _, run in ipairs(runs:all_open()) do
        if run.state == "waiting" and run.cancel_requested == 1 then
            self:make_due(now)
        elseif run.state == "waiting" and run.wait == "requested" then
            self:make_due(whole(run.due) or 0)
        end
    end
    self:skip_if_quarantined()
    return "written"
end

-- Whether the job and its runs are as the update, applied before, has left them.
function Head:has_taken(runs, update)
    local last = update.runs[#update.runs]
    if not last or last.state == "ended" then
        return self.state == update.state
            and (self.reason or "") == (update.reason or "")
            and self.next_fire_time == update.next_fire_time
            and (not last or last.seq == self.last_seq)
    end
    -- A claim may have moved the job on since, but the run is there. Another request has another fire time.
    local run = runs:run(last.seq)
    return run ~= nil and run.fire_time == last.fire_time
end

-- Asks an open run to stop, and returns what became of it and what the other nodes are to know.
function Head:cancel(runs, seq, now)
    local run = runs:run(seq)
    if not run then
        return "gone"
    elseif run.state == "ended" then
        return "ended"
    elseif run.cancel_requested == 1 then
        return "asked"
    end
    run.cancel_requested = 1
    runs:put(run)
    if run.state == "running" then
        return "asked", run.owner and "cancel " .. run.owner
    end
    -- Whoever has claimed the job has seen a run that may start.
    self.revision = self.revision + 1
    self:give_up()
    self:make_due(now)
    return "asked", self.due and Hint.of_due(self.due)
end

-- Removes the job: its waiting runs end and are returned, its running ones stay and are counted.
function Head:remove(runs, now)
    local running, cancelled = 0, {}
    for _, run in ipairs(runs:all_open()) do
        if run.state == "running" then
            running = running + 1
        else
            self:end_run(runs, run, "cancelled", nil, now)
            cancelled[#cancelled + 1] = run
        end
    end
    self.state, self.reason = "removed", nil
    self.revision = self.revision + 1
    self:give_up()
    self.next_fire_time = nil
    self.due = nil
    self.blocked = false
    return running, cancelled
end

-- Takes a running run from its node: it waits for another one, at once.
function Head:take_from_node(runs, run, wait, now)
    run.state, run.wait = "waiting", wait
    if wait == "orphan" then
        run.takeovers = (whole(run.takeovers) or 0) + 1
        run.due = now
    end
    runs:put(run)
    self.nudged = true
    self:make_due(now)
end

-- The job has had its last fire time. While it has an open run it is listed, and its id is taken, so that it stays active.
function Head:exhaust(now)
    self.state, self.reason = "active", nil
    self.next_fire_time = nil
    -- A node of an earlier version asks the trigger for the fire time after this one: there is none.
    if not self.last_end or whole(self.last_end) < now then
        self.last_end = text(now)
    end
end

-- Ends a job that has had its last fire time and waits for nothing, once it has no open run.
function Head:end_with_last_run(runs)
    local is_exhausted = self.state == "active" and not self.next_fire_time
    if is_exhausted and not self.due and not self.blocked and not runs:has_open() then
        self.state = "ending"
    end
end

-- Whether the job is over and has no open run, so that it is to be deleted.
function Head:fate(runs)
    if is_live(self.state) or runs:has_open() then
        return "stays"
    end
    return "deleted"
end

-- Makes the job due at this time at the latest. One that is quarantined is left alone.
function Head:make_due(at)
    if not self.due or whole(self.due) > at then
        self.due = text(at)
    end
    self:skip_if_quarantined()
end

function Head:skip_if_quarantined()
    if self.state == "quarantined" then
        self.due = nil
    end
end

function Head:give_up()
    self.owner, self.claim_until = nil, nil
end

function Head:insert_run(runs, run, now)
    if run.state == "ended" then
        run.ended = run.ended or now
    end
    self:add_to_totals(run)
    self.last_seq = run.seq
    runs:put(run)
end

function Head:end_run(runs, run, verdict, error, now)
    run.state, run.wait, run.verdict = "ended", nil, verdict
    run.ended = now
    if error then
        run.error = error
    end
    self:add_to_totals(run)
    self.last_end = text(now)
    runs:put(run)
end

local VERDICTS = { "ok", "error", "timeout", "lost", "cancelled", "coalesced", "missed", "skipped" }

-- Counts an ended run; an open one changes nothing.
function Head:add_to_totals(run)
    if run.state ~= "ended" then
        return
    end
    local is_json, totals = pcall(cjson.decode, self.totals or "{}")
    if not is_json or type(totals) ~= "table" then
        totals = {}
    end
    totals[run.verdict] = (whole(totals[run.verdict]) or 0) + (whole(run.count) or 1)
    local counts = {}
    for _, verdict in ipairs(VERDICTS) do
        local count = whole(totals[verdict])
        if count and count > 0 then
            counts[#counts + 1] = '"' .. verdict .. '":' .. text(count)
        end
    end
    self.totals = "{" .. table.concat(counts, ",") .. "}"
end
