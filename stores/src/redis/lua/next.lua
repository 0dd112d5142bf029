-- When a node that has taken all that is due should claim again.

local PAGE, CLAIMS = 128, 1000

local now, owner = word(), word()
local can_run, first = reads_kinds(), nil

local function note(time)
    time = tonumber(time)
    if time and (not first or time < first) then
        first = time
    end
end

local kinds = db("ZRANGE", prefix .. "due", 0, -1, "WITHSCORES")
for n = 1, #kinds, 2 do
    if can_run(kinds[n]) then
        if tonumber(kinds[n + 1]) > tonumber(now) then
            note(kinds[n + 1])
            break -- those of the other kinds are later
        end
        local key = prefix .. "due:" .. kinds[n]
        note(db("ZRANGEBYSCORE", key, "(" .. now, "+inf", "WITHSCORES", "LIMIT", 0, 1)[2])
    end
end

-- When the first claim of another node ends, and when the first of the own claimed jobs is due that is not due yet.
local function note_claims(node)
    for from = 0, CLAIMS - 1, PAGE do
        local page = db("ZRANGE", prefix .. "claims:" .. node, from, from + PAGE - 1, "WITHSCORES")
        for n = 1, #page, 2 do
            local uid, kind = string.match(page[n], "^(.-)\n(.*)$")
            if uid and can_run(kind) then
                if node ~= owner then
                    return note(page[n + 1])
                end
                local due = db("HGET", prefix .. "job:" .. uid, "due")
                note((tonumber(due or now) or 0) > tonumber(now) and due or nil)
            end
        end
        if #page < 2 * PAGE then
            return
        end
    end
end

for _, node in ipairs(db("SMEMBERS", prefix .. "claimers")) do
    note_claims(node)
end
return first and string.format("%.0f", first)
