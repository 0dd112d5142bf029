-- Finds the jobs due by now, and since another time or `-inf`, that a claim can take, in the order of (due, uid): each with its kind, the node that has claimed it,
-- if one has, and the time at which it is found. The body of the last one may be left out; it stays for another claim.

-- How many entries of a kind are read at once, and the most claims of one node that are looked through.
local PAGE, CLAIMS = 128, 1000

local since, now, owner, lapsed_by, limit = word(), word(), word(), word(), tonumber(word())
local can_run, row = reads_kinds(), reads_rows()

local function is_before(a, b)
    return a.due < b.due or a.due == b.due and a.uid < b.uid
end

-- Entries in their order: one line for each kind, and one for the claims that can be taken.
local lines = {}
for _, kind in ipairs(db("ZRANGEBYSCORE", prefix .. "due", "-inf", now)) do
    if can_run(kind) then
        lines[#lines + 1] = { kind = kind, offset = 0, at = 1 }
    end
end
local held = { at = 1 }
for _, node in ipairs(db("SMEMBERS", prefix .. "claimers")) do
    local till = node == owner and "+inf" or lapsed_by
    local claims = till ~= "" and db("ZRANGEBYSCORE", prefix .. "claims:" .. node, "-inf", till, "LIMIT", 0, CLAIMS)
    for _, member in ipairs(claims or {}) do
        local uid, kind = string.match(member, "^(.-)\n(.*)$")
        if uid and can_run(kind) then
            local due = tonumber(db("HGET", prefix .. "job:" .. uid, "due") or now) or 0
            if due <= tonumber(now) and (since == "-inf" or due >= tonumber(since)) then
                held[#held + 1] = { uid = uid, kind = kind, node = node, due = due }
            end
        end
    end
end
table.sort(held, is_before)
lines[#lines + 1] = held

-- The next entry of a line, which is read page by page.
local function head(line)
    if not line[line.at] and line.offset then
        local key = prefix .. "due:" .. line.kind
        local page = db("ZRANGEBYSCORE", key, since, now, "WITHSCORES", "LIMIT", line.offset, PAGE)
        for n = 1, #page, 2 do
            line[n / 2 + 0.5] = { uid = page[n], kind = line.kind, due = tonumber(page[n + 1]) }
        end
        for n = #page / 2 + 1, #line do
            line[n] = nil
        end
        line.offset = #page == 2 * PAGE and line.offset + PAGE or nil
        line.at = 1
    end
    return line[line.at]
end

local rows, is_full = {}, false
while #rows < limit and not is_full do
    local first
    for _, line in ipairs(lines) do
        if head(line) and (not first or is_before(head(line), head(first))) then
            first = line
        end
    end
    if not first then
        break
    end
    local entry, loaded = head(first)
    first.at = first.at + 1
    is_full, loaded = row(entry.uid)
    rows[#rows + 1] = { entry.kind, entry.node or false, string.format("%.0f", entry.due), loaded }
end
return cmsgpack.pack(rows)
