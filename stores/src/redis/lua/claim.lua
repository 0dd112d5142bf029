-- The verb `claim`.

-- The bodies that one claim carries, in bytes: what does not fit is left to the next one, as by the limit.
local CLAIM_BYTES = 8 * 1024 * 1024
-- How many due jobs of a kind are looked up at once.
local PAGE = 128
-- The most claims of one node that a claim looks through; none has as many but one that has lost its replies.
local CLAIMS = 1000
local DECLINED_LIMIT = 16

function Verb.claim(call)
    local now = now_of(call)
    Claim.prepare(call, now)
    local node = Node.load(call.owner)
    if node and call.seq <= node.last_claim_seq then
        -- Not the caller's latest claim: it takes nothing, but must not let its caller sleep either.
        local selection = Claim.select(call, now)
        local first = selection.take[1] and selection.take[1].head.due
        return { now, {}, {}, {}, Claim.time(earlier(first, Claim.next_due(call, selection, now))), 0 }
    end
    local are_runs_left = call.lapsed_by and Claim.adopt(call, now)
    local selection = Claim.select(call, now)
    Claim.mend(selection.stale)
    local jobs, broken = {}, {}
    for _, job in ipairs(selection.take) do
        if job:is_sound() then
            job.head:claim(call.owner, now + call.lease)
            jobs[#jobs + 1] = { job.row, job.head.last_seq > 0 and db("HVALS", Key.open(job.uid)) or {} }
            job:save()
            job.row[FENCE] = text(job.head.fence)
        else
            broken[#broken + 1] = job.row
        end
    end
    Index.refresh()
    if Node.holds(call.owner) then
        local till = Node.later(node and node.lease_until, now + call.lease)
        Node.save(call.owner, { lease_until = till, last_claim_seq = call.seq })
    end
    local more = are_runs_left or selection.left_out
    local next_due
    if more then
        next_due = earlier(now, selection.left_out)
    else
        next_due = Claim.next_due(call, selection, now)
    end
    return { now, jobs, broken, Claim.declined(call, now), Claim.time(next_due), more and 1 or 0 }
end

function Claim.prepare(call, now)
    -- What lapsed after the claim was sent is left alone.
    call.lapsed_by = call.lapsed_by and math.min(call.lapsed_by, now)
    call.able, call.known = {}, {}
    for _, task in ipairs(call.tasks) do
        call.known[task] = true
    end
end

-- Whether the claiming node can run jobs of a kind. A version that is no number is quarantined by whoever knows the task.
function Claim.can_run(call, kind)
    local able = call.able[kind]
    if able == nil then
        local v, task = string.match(kind, "^(.-):(.*)$")
        able = call.known[task] and (whole(v) or 0) <= call.max_v or false
        call.able[kind] = able
    end
    return able
end

-- A time in a reply; a score has an exponent if it is large.
function Claim.time(time)
    return time and text(whole(time)) or false
end

-- Takes over the runs of nodes whose lease has passed, up to a limit, and says whether some are left.
function Claim.adopt(call, now)
    local free = call.limit
    for _, node in ipairs(Node.all()) do
        if node.id ~= call.owner and (not node.lease_until or node.lease_until <= call.lapsed_by) then
            local taken = Node.take_runs(node.id, "orphan", free, now)
            free = free - taken
            if not Node.has_runs(node.id) then
                Node.delete(node.id)
            else
                if taken > 0 then
                    node.lease_until = nil
                    Node.save(node.id, node)
                end
                return true
            end
        end
    end
    return false
end

-- The jobs to take, in the order of (due, uid), and the due of the first one that the limit leaves out.
function Claim.select(call, now)
    local selection = { take = {}, stale = {} }
    local lines, bytes = Claim.lines(call, selection, now), 0
    while true do
        local line = Claim.first(lines)
        if not line then
            return selection
        end
        local entry = Claim.pop(line)
        local job = Job.load_all(entry.uid)
        if not Claim.is_as_indexed(job, entry) then
            selection.stale[#selection.stale + 1] = { entry = entry, job = job }
        elseif #selection.take == call.limit or bytes > CLAIM_BYTES then
            selection.left_out = entry.due
            return selection
        else
            selection.take[#selection.take + 1] = job
            bytes = bytes + #(job.row[19] or "")
        end
    end
end

-- What there is to take, as lines that are in order each: one for each kind, and one for claims that can be taken.
function Claim.lines(call, selection, now)
    local lines = {}
    for _, kind in ipairs(db("ZRANGEBYSCORE", Key.kinds, "-inf", text(now))) do
        if Claim.can_run(call, kind) then
            lines[#lines + 1] = { kind = kind, till = text(now), offset = 0, entries = {}, at = 1 }
        end
    end
    local held = {}
    for _, node in ipairs(db("SMEMBERS", Key.claimers)) do
        if node == call.owner then
            Claim.add_held(call, selection, held, node, "+inf", now)
        elseif call.lapsed_by then
            Claim.add_held(call, selection, held, node, text(call.lapsed_by), now)
        end
    end
    if #held > 0 then
        table.sort(held, Claim.is_before)
        lines[#lines + 1] = { entries = held, at = 1 }
    end
    return lines
end

-- Adds the jobs that a node has claimed until a time, and notes when the first of them is due after now.
function Claim.add_held(call, selection, held, node, till, now)
    for _, member in ipairs(db("ZRANGEBYSCORE", Key.claims(node), "-inf", till, "LIMIT", 0, CLAIMS)) do
        local uid, kind = Index.of_claim(member)
        if Claim.can_run(call, kind) then
            local job = Job.load(uid)
            local due = job and job.head.due
            if due and whole(due) > now then
                selection.later = node == call.owner and earlier(selection.later, due) or selection.later
            elseif due or not job or job.head.owner ~= node then
                held[#held + 1] = { uid = uid, kind = kind, due = due or now, node = node, member = member }
            end
        end
    end
end

function Claim.is_before(a, b)
    local due_a, due_b = whole(a.due), whole(b.due)
    return due_a < due_b or due_a == due_b and a.uid < b.uid
end

-- The line whose first entry is due first.
function Claim.first(lines)
    local first
    for _, line in ipairs(lines) do
        Claim.fill(line)
        if line.entries[line.at] and (not first or Claim.is_before(line.entries[line.at], first.entries[first.at])) then
            first = line
        end
    end
    return first
end

function Claim.pop(line)
    line.at = line.at + 1
    return line.entries[line.at - 1]
end

function Claim.fill(line)
    if line.entries[line.at] or not line.kind then
        return
    end
    local page = db("ZRANGEBYSCORE", Key.due(line.kind), "-inf", line.till, "WITHSCORES", "LIMIT", line.offset, PAGE)
    line.offset = line.offset + #page / 2
    line.entries, line.at = {}, 1
    for at = 1, #page, 2 do
        line.entries[#line.entries + 1] = { uid = page[at], kind = line.kind, due = page[at + 1] }
    end
    if #line.entries < PAGE then
        line.kind = nil
    end
end

-- Whether a job is what the index says of it. Other programs may have written one without the other.
function Claim.is_as_indexed(job, entry)
    if not job or job.kind ~= entry.kind or job.head.state == "quarantined" then
        return false
    end
    if entry.node then
        return job.head.owner == entry.node
    end
    return not job:is_sound() or not job.head.owner and job.head.due and whole(job.head.due) == whole(entry.due)
end

-- Puts entries of the index right that do not agree with their jobs.
function Claim.mend(stale)
    for _, it in ipairs(stale) do
        if it.entry.node then
            db("ZREM", Key.claims(it.entry.node), it.entry.member)
            Index.touched_claimers[it.entry.node] = true
        else
            db("ZREM", Key.due(it.entry.kind), it.entry.uid)
            Index.touched_kinds[it.entry.kind] = true
        end
        local place = it.job and it.job:place()
        if place and place.due then
            db("ZADD", Key.due(place.kind), place.due, it.entry.uid)
            Index.touched_kinds[place.kind] = true
        end
    end
end

-- The due jobs that nobody holds and this node cannot run, if it asks.
function Claim.declined(call, now)
    if not call.declined then
        return {}
    end
    local entries = {}
    for _, kind in ipairs(db("ZRANGEBYSCORE", Key.kinds, "-inf", text(now))) do
        if not Claim.can_run(call, kind) then
            local line = db("ZRANGEBYSCORE", Key.due(kind), "-inf", text(now), "WITHSCORES", "LIMIT", 0, DECLINED_LIMIT)
            for at = 1, #line, 2 do
                entries[#entries + 1] = { uid = line[at], due = line[at + 1] }
            end
        end
    end
    table.sort(entries, Claim.is_before)
    local declined = {}
    for at = 1, math.min(#entries, DECLINED_LIMIT) do
        declined[at] = db("HMGET", Key.job(entries[at].uid), "id", "task", "v")
    end
    return declined
end

-- When the node should claim again, if it has taken all that is due.
function Claim.next_due(call, selection, now)
    local next = selection.later
    local kinds = db("ZRANGE", Key.kinds, 0, -1, "WITHSCORES")
    for at = 1, #kinds, 2 do
        if Claim.can_run(call, kinds[at]) then
            local first = kinds[at + 1]
            if whole(first) > now then
                next = earlier(next, first)
                break -- those of the other kinds are later
            end
            local after = db("ZRANGEBYSCORE", Key.due(kinds[at]), "(" .. text(now), "+inf", "WITHSCORES", "LIMIT", 0, 1)
            next = earlier(next, after[2])
        end
    end
    for _, node in ipairs(db("SMEMBERS", Key.claimers)) do
        if node ~= call.owner then
            next = earlier(next, Claim.claim_end(call, node))
        end
    end
    for _, node in ipairs(Node.all()) do
        if node.id ~= call.owner and Node.has_runs(node.id) then
            next = earlier(next, node.lease_until or now)
        end
    end
    return next
end

-- When the first claim of a node ends of a job that this node could take.
function Claim.claim_end(call, node)
    for from = 0, CLAIMS - 1, PAGE do
        local page = db("ZRANGE", Key.claims(node), from, from + PAGE - 1, "WITHSCORES")
        for at = 1, #page, 2 do
            local _, kind = Index.of_claim(page[at])
            if Claim.can_run(call, kind) then
                return page[at + 1]
            end
        end
        if #page < 2 * PAGE then
            return nil
        end
    end
end
