-- Writes a node and jobs, each only if it is as it was read. Who calls it has decided everything, so that a write is a list
-- of commands; only what depends on other jobs too is found here.

local SCHEMA = tonumber(word())

-- Lays out the keys, if that has not been done, or brings them up to date.
local schema = db("HGET", KEYS[1], "schema")
if schema and tonumber(schema) ~= SCHEMA then
    if schema ~= "1" then
        return redis.error_reply("SCHEMA " .. schema .. " " .. SCHEMA)
    end
    for _, node in ipairs(db("HKEYS", prefix .. "nodes")) do
        if db("EXISTS", prefix .. "running:" .. node) == 1 then
            db("SADD", prefix .. "runners", node)
        end
    end
end
if schema ~= tostring(SCHEMA) then
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
            db(unpack(ARGV, at + 1, at + length))
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
