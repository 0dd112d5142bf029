-- How searches find a job and its runs, for the scripts that write.

-- A text of a time, such that the order of texts is that of the times; as `sortable` in `names.rs`. Only with the digits, since a
-- number of Lua does not keep all of them.
local function sortable(micros)
    local sign, digits = string.match(micros, "^(%-?)(%d+)$")
    if not digits or #digits > 19 then
        return nil
    end
    digits = string.rep("0", 19 - #digits) .. digits
    if sign == "" then
        return "1" .. digits
    end
    return "0" .. string.gsub(digits, "%d", function(digit)
        return 9 - digit
    end)
end

-- Where runs, as they are kept, are found: a function that takes a command, and sends it for each set of which there are members.
local function places_of_runs(uid, runs)
    local places = {}
    local function place(set, member)
        places[set] = places[set] or {}
        table.insert(places[set], member)
    end
    for _, run in ipairs(runs) do
        local seq, time = string.match(run, '"seq":%s*(%d+)'), string.match(run, '"fire_time":%s*(%-?%d+)')
        time = time and sortable(time)
        if seq and time and #seq <= 16 then
            local member = time .. uid .. ":" .. string.rep("0", 16 - #seq) .. seq
            local verdict, state = string.match(run, '"verdict":%s*"(%l+)"'), string.match(run, '"state":%s*"(%l+)"')
            place("runs", member)
            if verdict and verdict ~= "ok" then
                place("verdict:" .. verdict, member)
            elseif state == "waiting" then
                place("waiting", member)
            end
        end
    end
    return function(command)
        for set, members in pairs(places) do
            local words = {}
            for _, member in ipairs(members) do
                if command == "ZADD" then
                    words[#words + 1] = 0
                end
                words[#words + 1] = member
            end
            for from = 1, #words, 1000 do
                db(command, prefix .. set, unpack(words, from, math.min(from + 999, #words)))
            end
        end
    end
end

-- Calls a function with the runs of a job, some of them at a time.
local function each_runs(uid, last, call)
    local PAGE = 200
    for from = 0, last, PAGE do
        local runs = db("ZRANGE", prefix .. "ended:" .. uid, from, math.min(from + PAGE - 1, last))
        if #runs == 0 then
            break
        end
        call(runs)
    end
end

-- The tags of a definition, as a list in JSON; none if it has none or cannot be read.
local function tags_of(body)
    local is_read, definition = pcall(cjson.decode, body)
    local tags, found = is_read and type(definition) == "table" and definition.tags, {}
    for _, tag in ipairs(type(tags) == "table" and tags or {}) do
        if type(tag) == "string" then
            found[#found + 1] = tag
        end
    end
    return found[1] and cjson.encode(found)
end

-- Lets a job be found as it is now, whoever has written it.
local function find(uid)
    local key = prefix .. "job:" .. uid
    local id, task, state, time, until_, tags = unpack(db(
        "HMGET", key, "id", "task", "state", "next_fire_time", "retained_until", "tags"
    ))
    if not id then
        return
    end
    local member = id .. "\0" .. uid
    if state == "ending" or state == "removed" then
        if until_ then
            db("ZADD", prefix .. "over", 0, member)
        end
        return
    end
    db("ZADD", prefix .. "next", 0, (time and sortable(time) or "2") .. member)
    db("ZADD", prefix .. "task:" .. (task or ""), 0, member)
    if state == "paused" or state == "kept" or state == "quarantined" then
        db("ZADD", prefix .. "state:" .. state, 0, member)
    end
    if not tags then
        tags = tags_of(db("HGET", key, "body") or "")
        if tags then
            db("HSET", key, "tags", tags)
        end
    end
    local is_read, list = pcall(cjson.decode, tags or "[]")
    for _, tag in ipairs(is_read and type(list) == "table" and list or {}) do
        db("ZADD", prefix .. "tag:" .. tag, 0, member)
    end
end
