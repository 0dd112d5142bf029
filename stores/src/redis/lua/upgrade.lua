-- Brings keys up to date, step by step. Any number of nodes may do it at once, and as often as they like: each step only lets be
-- found what is there.
--
-- `begin` says whether there is something to do. From then on nodes of an earlier version are refused, and those of this one keep up
-- what jobs are found by, so that the steps may take their time. A step is the name of a set with all jobs of a kind, and where to go
-- on in it; the answer is where the next step goes on, `0` at the end. `end` says that all is done.

local SCHEMA = tonumber(word())
local step = word()

if step == "begin" then
    local schema = db("HGET", KEYS[1], "schema")
    if schema and tonumber(schema) ~= SCHEMA then
        if schema ~= "1" and schema ~= "2" then
            return redis.error_reply("SCHEMA " .. schema .. " " .. SCHEMA)
        end
        for _, node in ipairs(db("HKEYS", prefix .. "nodes")) do
            if db("EXISTS", prefix .. "running:" .. node) == 1 then
                db("SADD", prefix .. "runners", node)
            end
        end
        db("HSET", KEYS[1], "upgrading", schema)
    end
    if schema ~= tostring(SCHEMA) then
        db("HSET", KEYS[1], "schema", SCHEMA)
    end
    return db("HEXISTS", KEYS[1], "upgrading")
end

if step == "end" then
    db("HDEL", KEYS[1], "upgrading")
    return 0
end

local from, count = word(), word()
local next_from, members = unpack(db("ZSCAN", prefix .. step, from, "COUNT", count))
for n = 1, #members, 2 do
    -- A member of `ids` has the id before the uid.
    local uid = string.match(members[n], "^.*%z(.*)$") or members[n]
    find(uid)
    each_runs(uid, db("ZCARD", prefix .. "ended:" .. uid) - 1, function(runs)
        places_of_runs(uid, runs)("ZADD")
    end)
    places_of_runs(uid, db("HVALS", prefix .. "open:" .. uid))("ZADD")
end
return next_from
