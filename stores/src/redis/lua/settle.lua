-- The step of `settle`: one claimed job moves on. `stores/src/head/settle.rs` in Lua.

-- Applies a move if the claim behind it holds, or says why not. Returns the outcome, the job's fate if it is applied, and
-- the nodes whose running runs the move asks to stop.
function Head:settle(runs, to, owner, now)
    local asked = {}
    if self.settled_fence == to.fence and to.fence > 0 then
        return "applied", "stays", asked
    end
    if self.revision ~= to.revision then
        return "changed", nil, asked
    end
    if self.fence ~= to.fence or self.owner ~= owner then
        return "taken", nil, asked
    end
    if not self:can_take(runs, to.runs) then
        return "changed", nil, asked
    end
    self.settled_fence = to.fence
    -- An update that was decided before this move must not undo it.
    self.fence = self.fence + 1
    self:give_up()
    local next = to.next_fire_time
    if next and self.next_fire_time and whole(self.next_fire_time) > whole(next) then
        next = self.next_fire_time
    end
    self.next_fire_time = next
    if to.state == "ending" and is_live(self.state) then
        self:exhaust(now)
    elseif is_live(self.state) or not is_live(to.state) then
        -- Of one that is over, the id may belong to another job by now.
        self.state, self.reason = to.state, to.reason
    end
    self.due = to.due
    self.blocked = to.blocked
    for _, change in ipairs(to.runs) do
        asked[#asked + 1] = self:change_run(runs, change, to, owner, now)
    end
    self:make_up_for_nudge(runs, now)
    self:skip_if_quarantined()
    self:end_with_last_run(runs)
    return "applied", self:fate(runs), asked
end

-- Whether every change finds its run as the claim has shown it.
function Head:can_take(runs, changes)
    local seq = self.last_seq
    for _, change in ipairs(changes) do
        if change.kind == "insert" then
            seq = seq + 1
            if change.run.seq ~= seq then
                return false
            end
        elseif change.kind == "start" or change.kind == "end" then
            local run = runs:run(change.seq)
            if not run or run.state ~= "waiting" then
                return false
            end
        end
        -- A run to be cancelled may have ended in the meantime; then there is nothing to stop.
    end
    return true
end

-- Returns the node that is asked to stop the run, if one is.
function Head:change_run(runs, change, to, owner, now)
    if change.kind == "insert" then
        local run = change.run
        if run.state == "running" then
            Head.start(run, to.fence, owner, now)
        end
        self:insert_run(runs, run, now)
        return nil
    end
    local run = runs:run(change.seq)
    if not run then
        return nil
    end
    if change.kind == "start" then
        run.attempt = change.attempt
        Head.start(run, to.fence, owner, now)
        runs:put(run)
    elseif change.kind == "end" then
        self:end_run(runs, run, change.verdict, change.error, now)
    elseif run.state == "running" and run.cancel_requested ~= 1 then
        run.cancel_requested = 1
        runs:put(run)
        return run.owner
    end
    return nil
end

-- A run ended or was put off after the claim: the freed slot is used at once, a retry is not forgotten.
function Head:make_up_for_nudge(runs, now)
    if not self.nudged then
        return
    end
    if self.blocked then
        self.due = text(now)
        return
    end
    local first
    for _, run in ipairs(runs:all_open()) do
        if run.state ~= "running" then
            first = earlier(first, whole(run.due))
        end
    end
    if first then
        self:make_due(first)
    end
end

function Head.start(run, fence, owner, now)
    run.state, run.wait = "running", nil
    run.owner = owner
    run.fence = fence
    run.started = now
end
