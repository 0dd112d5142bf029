-- Writes a node and jobs, each only if it is as it was read. Who calls it has decided everything, so that a write is a list
-- of commands; only what depends on other jobs too is found here.

local SCHEMA = tonumber(word())

-- Lays out the keys, if that has not been done. Those of an earlier schema are brought up to date by who opens them.
local schema = db("HGET", KEYS[1], "schema")
if schema and tonumber(schema) ~= SCHEMA then
    local is_earlier = schema == "1" or schema == "2"
    return redis.error_reply((is_earlier and "OUTDATED " or "SCHEMA ") .. schema .. " " .. SCHEMA)
elseif not schema then
    db("HSET", KEYS[1], "schema", SCHEMA)
end

-- The node, the mark with which it was read, what it is to be (`=` if it is to stay), and what it says of itself when it is new.
local node, mark, value, info = word(), word(), word(), word()
if node ~= "" then
    local is = db("HGET", prefix .. "nodes", node)
    if (is and (string.match(is, "^%S+ %d+ (%d+)$") or "1") or "0") ~= mark then
        return false
    end
    if value == "" then
        db("HDEL", prefix .. "nodes", node)
        db("HDEL", prefix .. "infos", node)
    elseif value ~= "=" then
        db("HSET", prefix .. "nodes", node, value)
    end
    if info ~= "" then
        db("HSET", prefix .. "infos", node, info)
    end
end

-- The version of a job: -1 if it is not there, 0 if it has none that is a number.
local function version_of(uid)
    local version = db("HGET", prefix .. "job:" .. uid, "version")
    if not version then
        return db("EXISTS", prefix .. "job:" .. uid) - 1
    end
    return #version <= 15 and string.find(version, "^%d+$") and tonumber(version) or 0
end

-- The commands that are none of the server.
local own = {
    FIND = find,
    -- Deletes a job with all of its runs.
    FORGET = function(uid)
        each_runs(uid, db("ZCARD", prefix .. "ended:" .. uid) - 1, function(runs)
            places_of_runs(uid, runs)("ZREM")
        end)
        places_of_runs(uid, db("HVALS", prefix .. "open:" .. uid))("ZREM")
        db("UNLINK", prefix .. "job:" .. uid, prefix .. "open:" .. uid, prefix .. "ended:" .. uid)
    end,
    -- Deletes the ended runs of a job but for the newest ones.
    PRUNE = function(uid, history)
        local last = db("ZCARD", prefix .. "ended:" .. uid) - tonumber(history) - 1
        if last >= 0 then
            each_runs(uid, last, function(runs)
                places_of_runs(uid, runs)("ZREM")
            end)
            db("ZREMRANGEBYRANK", prefix .. "ended:" .. uid, 0, last)
        end
    end,
}

-- The jobs: of each the uid, the version, the id that has to be free, how many words its commands have, and each of those behind its
-- length. What becomes of one is a letter: it is written, or has been changed, or its id is taken.
local args, outcomes, are_all_written = ARGV, {}, true
for job = 1, tonumber(word()) do
    local uid, version, id, words_of_job = args[at + 1], args[at + 2], args[at + 3], args[at + 4]
    local outcome = "w"
    if version_of(uid) ~= tonumber(version) then
        outcome = "c"
    elseif id ~= "" and db("ZRANGEBYLEX", prefix .. "ids", "[" .. id .. "\0", "(" .. id .. "\1", "LIMIT", 0, 1)[1] then
        outcome = "t"
    end
    local from = at + 5
    at = at + 4 + words_of_job
    if outcome == "w" then
        while from <= at do
            local last = from + args[from]
            local command = own[args[from + 1]]
            if command then
                command(unpack(args, from + 2, last))
            else
                db(unpack(args, from + 1, last))
            end
            from = last + 1
        end
    else
        are_all_written = false
    end
    outcomes[job] = outcome
end

-- The arguments that belong to jobs that were written, of those in a place. `jobs` has the number of the job for each one or two.
local function of_written(from, jobs, width)
    local kept = {}
    for job in string.gmatch(jobs, "%d+") do
        if outcomes[tonumber(job)] == "w" then
            for n = from, from + width - 1 do
                kept[#kept + 1] = args[n]
            end
        end
        from = from + width
    end
    return kept
end

-- The sorted sets that change: of each the command, the key, to which job each of its members belongs, and the arguments.
for _ = 1, tonumber(word()) do
    local command, key, jobs, count = word(), word(), word(), word()
    local members, from, last = args, at + 1, at + count
    at = last
    if not are_all_written then
        members = of_written(from, jobs, command == "ZADD" and 2 or 1)
        from, last = 1, #members
    end
    for part = from, last, 1000 do
        db(command, key, unpack(members, part, math.min(part + 999, last)))
    end
end

-- The kinds by their first due jobs, and the nodes that hold something.
for _, kind in ipairs(words()) do
    local first = db("ZRANGE", prefix .. "due:" .. kind, 0, 0, "WITHSCORES")
    if first[2] then
        db("ZADD", prefix .. "due", first[2], kind)
    else
        db("ZREM", prefix .. "due", kind)
    end
end
for _, set in ipairs({ "claimers", "runners" }) do
    for _, holder in ipairs(words()) do
        local index = set == "claimers" and "claims:" or "running:"
        local is_one = db("EXISTS", prefix .. index .. holder) == 1
        db(is_one and "SADD" or "SREM", prefix .. set, holder)
    end
end
return table.concat(outcomes)
