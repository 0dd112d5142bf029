-- What the scripts of this folder begin with: the arguments, and which jobs a node can run.
--
-- KEYS[1] is `{prefix}:meta`. All other keys begin as that one does, so that they are in one slot of a cluster. The
-- arguments are texts, read from the first one on; a list is preceded by its length.

local db = redis.call
local prefix = string.sub(KEYS[1], 1, -5)
local at = 0

local function word()
    at = at + 1
    return ARGV[at]
end

local function words()
    local from = at + 2
    at = from - 1 + tonumber(ARGV[at + 1])
    return { unpack(ARGV, from, at) }
end

-- Reads what a node can run, as a function of a kind. A version that is no number is put aside by a node that knows the
-- task.
local function reads_kinds()
    local max_v, tasks, known = tonumber(word()), {}, {}
    for _, task in ipairs(words()) do
        tasks[task] = true
    end
    return function(kind)
        if known[kind] == nil then
            local v, task = string.match(kind, "^(.-):(.*)$")
            known[kind] = tasks[task] and (tonumber(v) or 0) <= max_v or false
        end
        return known[kind]
    end
end

-- Reads which fields of jobs to load, the body last if it is one of them, and how much of one is read, as a function that loads a
-- job: whether the body is left out because the reply is full, the fields, and the open runs.
local function reads_rows()
    local read_limit, room, fields = tonumber(word()), tonumber(word()), words()
    local has_body = fields[#fields] == "body"
    return function(uid)
        local is_full = has_body and room < 0
        local cells = db("HMGET", prefix .. "job:" .. uid, unpack(fields, 1, is_full and #fields - 1 or #fields))
        local body = cells[#fields]
        if has_body and body then
            room = room - #body
            cells[#fields] = #body > read_limit and string.sub(body, 1, read_limit + 1) or body
        end
        return is_full, { uid, cells, db("HVALS", prefix .. "open:" .. uid) }
    end
end
