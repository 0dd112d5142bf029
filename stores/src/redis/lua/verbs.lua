-- The verbs but for `claim`, as functions of a call that give a reply, and the choice among them.

-- The bodies that a page of a listing carries, in bytes.
local PAGE_BYTES = 8 * 1024 * 1024
-- The most running runs that a reply names as to be stopped; the next life sign names others.
local ASKED = 1000
local ADDED = {
    "id", "task", "v", "max_instances", "history", "state", "reason", "next_fire_time", "due", "last_end", "blocked", "totals",
}

function Verb.insert(call)
    -- Somebody may have emptied the server.
    Verb.prepare()
    local outcomes = {}
    for at, job in ipairs(call.jobs) do
        outcomes[at] = Verb.insert_one(job, ARGV[2 + at])
    end
    Index.refresh()
    return { now_of(call), outcomes }
end

function Verb.insert_one(job, body)
    if db("EXISTS", Key.job(job.uid)) == 1 then
        return "added"
    end
    local other = Index.uid_of(job.id)
    if other then
        return Verb.row(job.id, other)
    end
    local fields = { "body", body }
    for _, name in ipairs(ADDED) do
        if job[name] then
            fields[#fields + 1], fields[#fields + 2] = name, job[name]
        end
    end
    db("HSET", Key.job(job.uid), unpack(fields))
    if is_live(job.state) then
        db("ZADD", Key.ids, 0, Index.id(job.id, job.uid))
    end
    if job.due then
        local kind = job.v .. ":" .. job.task
        db("ZADD", Key.due(kind), job.due, job.uid)
        Index.touched_kinds[kind] = true
    end
    Hint.note(Hint.of_due(job.due))
    return "added"
end

function Verb.update(call)
    local now = now_of(call)
    local job = Job.load_all(call.uid)
    if not job or not is_live(job.head.state) then
        return { now, "gone" }
    end
    local body = ARGV[3]
    local step = job.head:update(job.book, call, not body or body == job.row[19], now)
    if step == "written" then
        if body then
            job.definition = {
                body = body, task = call.task, v = call.v, max_instances = call.max_instances, history = call.history,
            }
            job.kind = call.v .. ":" .. call.task
        end
        job:save()
        Index.refresh()
        Hint.note(Hint.of_due(job.head.due))
    end
    return { now, step, Verb.row(job.id, call.uid) }
end

-- Asks a run to stop; none of a job with another id.
function Verb.cancel(call)
    local now = now_of(call)
    local job = Job.load(call.uid)
    if not job or job.id ~= call.id then
        return { now, "gone" }
    end
    local outcome, hint = job.head:cancel(job.book, call.seq, now)
    job:save()
    Index.refresh()
    if hint then
        Hint.note(hint)
    end
    return { now, outcome }
end

function Verb.remove(call)
    local now, outcomes = now_of(call), {}
    for at, id in ipairs(call.ids) do
        local uid = Index.uid_of(id)
        outcomes[at] = uid and Verb.remove_one(id, uid, now) or false
    end
    Index.refresh()
    return { now, outcomes }
end

function Verb.remove_all(call)
    local now = now_of(call)
    local page, outcomes = Index.page(call.after, call.limit), {}
    for at, it in ipairs(page) do
        outcomes[at] = Verb.remove_one(it.id, it.uid, now)
    end
    Index.refresh()
    return { now, outcomes, page[#page] and page[#page].id or false }
end

function Verb.remove_one(id, uid, now)
    Hint.note("resync")
    local job = Job.load(uid)
    if not job then
        db("ZREM", Key.ids, Index.id(id, uid))
        return { uid, 0, id, "", {} }
    end
    job.id = id
    local running, cancelled = job.head:remove(job.book, now)
    if running == 0 then
        job:delete()
    else
        job:save()
    end
    for at, run in ipairs(cancelled) do
        cancelled[at] = Book.encode(run)
    end
    return { uid, running, id, job.row[20] or "", cancelled }
end

function Verb.job(call)
    local uid = Index.uid_of(call.id)
    return uid and Verb.row(call.id, uid) or false
end

-- The job that an update is about; none if it is not there.
function Verb.job_by_uid(call)
    local job = Job.load_all(call.uid)
    return job and is_live(job.head.state) and job.row or false
end

-- A page of rows, and whether its bytes have cut it short.
function Verb.jobs(call)
    local rows, bytes = {}, 0
    for _, it in ipairs(Index.page(call.after, call.limit)) do
        if bytes > PAGE_BYTES then
            return { rows, 1 }
        end
        local row = Verb.row(it.id, it.uid)
        bytes = bytes + #(row[19] or "")
        rows[#rows + 1] = row
    end
    return { rows, 0 }
end

-- The row of a live job under the id by which it was found.
function Verb.row(id, uid)
    local row = Job.cells(uid)
    row[3], row[4] = uid, id
    return row
end

-- A page of a job's ended runs with their numbers, newest first, and its open ones.
function Verb.runs(call)
    local before = call.before and "(" .. text(call.before) or "+inf"
    return {
        db("ZREVRANGEBYSCORE", Key.ended(call.uid), before, "-inf", "WITHSCORES", "LIMIT", 0, call.limit),
        db("HVALS", Key.open(call.uid)),
    }
end

function Verb.settle(call)
    local now, outcomes, next_due = now_of(call), {}, nil
    for at, to in ipairs(call.moves) do
        local job = Job.load(to.uid)
        if not job then
            outcomes[at] = "gone"
        else
            local outcome, fate, asked = job.head:settle(job.book, to, call.owner, now)
            for _, node in ipairs(asked) do
                Hint.note("cancel " .. node)
            end
            if fate == "deleted" then
                job:delete()
            elseif fate == "stays" then
                job:save()
                next_due = earlier(next_due, job.head.due)
            end
            outcomes[at] = fate or outcome
        end
    end
    Index.refresh()
    Node.renew(call.owner, now + call.lease)
    return { now, outcomes, next_due or false }
end

function Verb.record(call)
    local now, outcomes, deleted, next_due = now_of(call), {}, {}, nil
    for at, entry in ipairs(call.entries) do
        local job = Job.load(entry.uid)
        if not job then
            outcomes[at] = "gone"
        else
            outcomes[at] = job.head:record(job.book, entry, call.owner, now)
            if outcomes[at] == "done" or outcomes[at] == "ended" then
                if job.head:fate(job.book) == "deleted" then
                    job:delete()
                    deleted[#deleted + 1] = { job.uid, job.id }
                else
                    job:save()
                    next_due = earlier(next_due, job.head.due)
                end
            end
        end
    end
    Index.refresh()
    local hold = Node.hold(call.owner, now + call.lease)
    local cancel = db("ZRANGE", Key.asked(call.owner), 0, ASKED - 1)
    for at, member in ipairs(cancel) do
        local uid, seq = Index.of_run(member)
        cancel[at] = { uid, seq }
    end
    return { now, outcomes, cancel, hold, deleted, next_due or false }
end

-- Gives up what a node holds, up to a limit, and says whether there is more.
function Verb.release(call)
    local now = now_of(call)
    local claims = db("ZRANGE", Key.claims(call.owner), 0, call.limit - 1)
    for _, member in ipairs(claims) do
        local uid, kind = Index.of_claim(member)
        local job = Job.load(uid)
        if job and job.kind == kind and job.head.owner == call.owner then
            job.head:give_up()
            job:save()
        else
            db("ZREM", Key.claims(call.owner), member)
            Index.touched_claimers[call.owner] = true
        end
    end
    Index.refresh()
    local runs = Node.take_runs(call.owner, "released", call.limit, now)
    if #claims > 0 or runs > 0 then
        Hint.note("resync")
    end
    local is_more = Node.holds(call.owner)
    if not is_more then
        Node.delete(call.owner)
    end
    return is_more and 1 or 0
end

-- Quarantines jobs that nobody could read, if they are as they were read. What is over stays so, since its id may belong
-- to another job by now.
function Verb.quarantine(call)
    for _, broken in ipairs(call.jobs) do
        local job = Job.load(broken.uid)
        if job and (job.row[FENCE] or nil) == broken.fence then
            local head = job.head
            head.state = is_live(head.state) and "quarantined" or head.state
            head:give_up()
            head.due = nil
            -- Not saved as other jobs are, since what is unreadable stays as it is.
            db("HSET", Key.job(job.uid), "state", head.state, "reason", broken.reason)
            db("HDEL", Key.job(job.uid), "due", "owner", "claim_until")
            db("ZREM", Key.due(job.kind), job.uid)
            Index.touched_kinds[job.kind] = true
            job:index(job:place())
        end
    end
    Index.refresh()
    return 0
end

-- Records, then settles, then claims.
function Verb.turn(call)
    return {
        call.record and Verb.record(call.record) or false,
        call.settle and Verb.settle(call.settle) or false,
        call.claim and Verb.claim(call.claim) or false,
    }
end

-- Lays out the keys, if nobody has.
function Verb.prepare()
    if not db("HGET", Key.meta, "schema") then
        db("HSET", Key.meta, "schema", SCHEMA)
    end
    return 0
end

local schema = db("HGET", Key.meta, "schema")
if schema and whole(schema) ~= SCHEMA then
    return redis.error_reply("SCHEMA " .. schema .. " " .. SCHEMA)
end
local reply = Verb[ARGV[1]](cjson.decode(ARGV[2]))
Hint.publish()
return reply
