-- How a job and its runs are kept: read, found again, written.

-- The columns of a head, as in `codec::HEAD`.
local HEAD = {
    "state", "reason", "next_fire_time", "due", "last_end", "blocked", "nudged", "revision", "fence", "settled_fence",
    "last_seq", "owner", "claim_until", "totals",
}
-- The largest definition that is read, as `codec::READ_LIMIT`.
local READ_LIMIT = 16777216
-- Where they begin in a row, and where one of them is.
local BEFORE_HEAD, FENCE = 4, 13
-- Those of a row that are numbers, and those of them that count.
local NUMBERS = { 2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 21 }
local COUNTS = { 2, 12, 13, 14, 15 }
local STATES = { active = true, paused = true, ending = true, removed = true, kept = true, quarantined = true }
-- What a row is made of, in the order in which `reply.rs` reads it; there is no field without a name.
local HEAD_ROW = { "", "history", "", "id", unpack(HEAD) }
local JOB_ROW = { unpack(HEAD_ROW) }
for _, field in ipairs({ "", "task", "v" }) do HEAD_ROW[#HEAD_ROW + 1] = field end
for _, field in ipairs({ "body", "task", "v" }) do JOB_ROW[#JOB_ROW + 1] = field end

-- The columns of a run, as in `codec::RUN`, without its job.
local RUN = {
    "seq", "fire_time", "first", "count", "state", "wait", "verdict", "attempt", "takeovers", "due", "owner", "fence",
    "cancel_requested", "started", "ended", "duration", "error",
}

-- The job without its definition, or none.
function Job.load(uid)
    return Job.of(uid, db("HMGET", Key.job(uid), unpack(HEAD_ROW)))
end

-- Reads the cells of a row. Of a definition that is too large only so much is read, as `codec::READ_LIMIT` says.
function Job.cells(uid)
    local row = db("HMGET", Key.job(uid), unpack(JOB_ROW))
    if row[19] and #row[19] > READ_LIMIT then row[19] = string.sub(row[19], 1, READ_LIMIT + 1) end
    return row
end

-- The job with its definition, or none.
function Job.load_all(uid)
    return Job.of(uid, Job.cells(uid))
end

function Job.of(uid, row)
    if not row[4] and not row[20] then
        return nil
    end
    row[3] = uid
    local head = setmetatable({
        state = row[5] or "active",
        reason = row[6] or nil,
        next_fire_time = time(row[7]),
        due = time(row[8]),
        last_end = time(row[9]),
        blocked = (whole(row[10]) or 0) ~= 0,
        nudged = (whole(row[11]) or 0) ~= 0,
        revision = whole(row[12]) or 0,
        fence = whole(row[FENCE]) or 0,
        settled_fence = whole(row[14]) or 0,
        last_seq = whole(row[15]) or 0,
        totals = row[18] or nil,
    }, Head)
    if row[16] and whole(row[17]) then
        head.owner, head.claim_until = row[16], row[17]
    end
    local job = setmetatable({
        uid = uid,
        id = row[4] or "",
        kind = (row[21] or "") .. ":" .. (row[20] or ""),
        row = row,
        head = head,
        book = Book.of(uid),
    }, Job)
    job.was = job:place()
    return job
end

-- Whether the numbers and words in the row can be read. What else is wrong with it is seen by who decodes it.
function Job:is_sound()
    for _, at in ipairs(NUMBERS) do
        if self.row[at] and not whole(self.row[at]) then
            return false
        end
    end
    for _, at in ipairs(COUNTS) do
        if self.row[at] and whole(self.row[at]) < 0 then
            return false
        end
    end
    return STATES[self.head.state] ~= nil
end

-- What the job is found by. A claimed job is not among the due ones, so that claims of other nodes need not pass it.
function Job:place()
    local head = self.head
    local is_free = not head.owner and head.state ~= "quarantined"
    return {
        kind = self.kind,
        due = is_free and head.due or nil,
        owner = head.owner,
        claim_until = head.claim_until,
        is_live = is_live(head.state),
    }
end

-- Writes what has changed.
function Job:save()
    local head = self.head
    local columns = {
        head.state, head.reason, head.next_fire_time, head.due, head.last_end, head.blocked and "1",
        head.nudged and "1", head.revision, head.fence, head.settled_fence, head.last_seq, head.owner, head.claim_until,
        head.totals,
    }
    local set, unset = {}, {}
    for at, name in ipairs(HEAD) do
        local is, was = columns[at], self.row[BEFORE_HEAD + at]
        if type(is) == "number" then
            is = is > 0 and text(is)
        end
        if is and is ~= was then
            set[#set + 1], set[#set + 2] = name, is
        elseif was and not is then
            unset[#unset + 1] = name
        end
    end
    for name, value in pairs(self.definition or {}) do
        set[#set + 1], set[#set + 2] = name, value
    end
    if #set > 0 then
        db("HSET", Key.job(self.uid), unpack(set))
    end
    if #unset > 0 then
        db("HDEL", Key.job(self.uid), unpack(unset))
    end
    self:index(self:place())
    self.book:save(whole(self.row[2]) or 100)
end

-- Deletes the job and its runs, none of which is open.
function Job:delete()
    self:index({})
    self.book:index()
    db("UNLINK", Key.job(self.uid), Key.open(self.uid), Key.ended(self.uid))
end

-- Keeps what the job is found by in step with it.
function Job:index(is)
    local was, uid = self.was, self.uid
    if was.due and (not is.due or is.kind ~= was.kind) then
        db("ZREM", Key.due(was.kind), uid)
        Index.touched_kinds[was.kind] = true
    end
    if is.due and (is.due ~= was.due or is.kind ~= was.kind) then
        db("ZADD", Key.due(is.kind), is.due, uid)
        Index.touched_kinds[is.kind] = true
    end
    if was.owner and (was.owner ~= is.owner or was.kind ~= is.kind) then
        db("ZREM", Key.claims(was.owner), Index.claim(uid, was.kind))
        Index.touched_claimers[was.owner] = true
    end
    if is.owner and (is.owner ~= was.owner or is.claim_until ~= was.claim_until) then
        db("ZADD", Key.claims(is.owner), is.claim_until, Index.claim(uid, is.kind))
        Index.touched_claimers[is.owner] = true
    end
    if was.is_live and not is.is_live then
        db("ZREM", Key.ids, Index.id(self.id, uid))
    end
end

-- The runs of a job, as far as they are loaded.
function Book.of(uid)
    return setmetatable({ uid = uid, runs = {}, was = {}, touched = {} }, Book)
end

-- The run with this number.
function Book:run(seq)
    if self.runs[seq] == nil then
        local json = db("HGET", Key.open(self.uid), text(seq))
            or db("ZRANGEBYSCORE", Key.ended(self.uid), text(seq), text(seq), "LIMIT", 0, 1)[1]
        self:take_in(seq, json)
    end
    return self.runs[seq] or nil
end

-- The runs that have not ended, by number.
function Book:all_open()
    if not self.is_loaded then
        local flat = db("HGETALL", Key.open(self.uid))
        for at = 1, #flat, 2 do
            local seq = whole(flat[at])
            if seq and self.runs[seq] == nil then
                self:take_in(seq, flat[at + 1])
            end
        end
        self.is_loaded = true
    end
    local open = {}
    for _, run in pairs(self.runs) do
        if run and run.state ~= "ended" then
            open[#open + 1] = run
        end
    end
    table.sort(open, function(a, b) return a.seq < b.seq end)
    return open
end

-- Whether there is a run that has not ended, be it one that nobody can read.
function Book:has_open()
    local closed = 0
    for seq in pairs(self.touched) do
        local was = self.was[seq]
        if self.runs[seq].state ~= "ended" then
            return true
        elseif was and was.state ~= "ended" then
            closed = closed + 1
        end
    end
    return db("HLEN", Key.open(self.uid)) > closed
end

-- Adds a run, or puts it in the place of the one with its number.
function Book:put(run)
    self.runs[run.seq] = run
    self.touched[run.seq] = true
    if run.state == "ended" and run.seq % 16 == 0 then
        self.is_full = true
    end
end

function Book:take_in(seq, json)
    local is_json, run = pcall(cjson.decode, json)
    if not is_json or type(run) ~= "table" or type(run.state) ~= "string" then
        self.runs[seq] = false
        return
    end
    run.seq = seq
    self.runs[seq] = run
    self.was[seq] = { state = run.state, owner = run.owner, cancel_requested = run.cancel_requested }
end

function Book:save(history)
    for seq in pairs(self.touched) do
        local run, was = self.runs[seq], self.was[seq]
        if run.state ~= "ended" then
            db("HSET", Key.open(self.uid), text(seq), Book.encode(run))
        else
            if was then
                db("HDEL", Key.open(self.uid), text(seq))
            end
            db("ZADD", Key.ended(self.uid), text(seq), Book.encode(run))
        end
    end
    if self.is_full then
        db("ZREMRANGEBYRANK", Key.ended(self.uid), 0, text(-history - 1))
    end
    self:index()
end

-- Keeps what the running runs are found by in step with them.
function Book:index()
    for seq in pairs(self.touched) do
        local was, is = self.was[seq] or {}, self.runs[seq]
        local run = Index.run(self.uid, seq)
        local left = was.state == "running" and was.owner
        local entered = is.state == "running" and is.owner
        if left and left ~= entered then
            db("ZREM", Key.running(left), run)
            if was.cancel_requested == 1 then
                db("ZREM", Key.asked(left), run)
            end
        end
        if entered and entered ~= left then
            db("ZADD", Key.running(entered), 0, run)
        end
        if entered and is.cancel_requested == 1 then
            db("ZADD", Key.asked(entered), 0, run)
        end
    end
end

function Book.encode(run)
    local fields = {}
    for _, name in ipairs(RUN) do
        local value = run[name]
        if value ~= nil then
            fields[#fields + 1] = '"' .. name .. '":' .. (type(value) == "number" and text(value) or cjson.encode(value))
        end
    end
    return "{" .. table.concat(fields, ",") .. "}"
end
