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
    return #version <= 15 and string.match(version, "^%d+$") and tonumber(version) or 0
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

-- The sorted sets that change: of each the command, the key, and the arguments that the written jobs have for it.
local indexes = words()
local changes = {}
for n = 1, #indexes / 2 do
    changes[n] = {}
end

local outcomes = {}
for job = 1, tonumber(word()) do
    local uid, version, id = word(), tonumber(word()), word()
    local outcome = "written"
    if version_of(uid) ~= version then
        outcome = "changed"
    elseif id ~= "" and db("ZRANGEBYLEX", prefix .. "ids", "[" .. id .. "\0", "(" .. id .. "\1", "LIMIT", 0, 1)[1] then
        outcome = "taken"
    end
    outcomes[job] = outcome
    local length = tonumber(word())
    while length > 0 do
        if outcome == "written" then
            local command = own[ARGV[at + 1]]
            if command then
                command(unpack(ARGV, at + 2, at + length))
            else
                db(unpack(ARGV, at + 1, at + length))
            end
        end
        at = at + length
        length = tonumber(word())
    end
    local index = tonumber(word())
    while index > 0 do
        local members = outcome == "written" and changes[index] or {}
        if indexes[2 * index - 1] == "ZADD" then
            members[#members + 1] = word() -- the score
        end
        members[#members + 1] = word()
        index = tonumber(word())
    end
end
for n, members in ipairs(changes) do
    for from = 1, #members, 1000 do
        db(indexes[2 * n - 1], indexes[2 * n], unpack(members, from, math.min(from + 999, #members)))
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
return outcomes
