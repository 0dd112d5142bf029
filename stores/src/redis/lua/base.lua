-- What the other files of this folder use: names of keys, numbers, the time, hints.
--
-- The files are one script, which the server keeps under its digest. KEYS[1] is `{prefix}:meta`, and all other keys begin
-- as that one does, so that they are in one slot of a cluster. ARGV[1] names a verb of `verbs.lua`, ARGV[2] is what it is
-- called with, in JSON, and definitions of jobs follow it as they are.
--
-- A verb reads, lets the steps of `head.lua`, `settle.lua` and `record.lua` change what it has read, and writes: a step
-- never fails, and what it has not written yet is not there. Numbers are whole and below 2^53, which a double has
-- exactly. Only `due` and `next_fire_time` may be beyond, some centuries ahead, and so they stay the texts that they are.

local db = redis.call

-- The newest layout of the keys that this script knows.
local SCHEMA = 1

local Key, Hint, Head, Book, Job, Node, Index, Claim, Verb = {}, {}, {}, {}, {}, {}, {}, {}, {}
Head.__index, Book.__index, Job.__index = Head, Book, Job

local prefix = string.sub(KEYS[1], 1, -5)
Key.meta = KEYS[1]
Key.changes = prefix .. "changes"
Key.ids = prefix .. "ids"
Key.kinds = prefix .. "due"
Key.nodes = prefix .. "nodes"
Key.claimers = prefix .. "claimers"
function Key.job(uid) return prefix .. "job:" .. uid end
function Key.open(uid) return prefix .. "open:" .. uid end
function Key.ended(uid) return prefix .. "ended:" .. uid end
function Key.due(kind) return prefix .. "due:" .. kind end
function Key.claims(node) return prefix .. "claims:" .. node end
function Key.running(node) return prefix .. "running:" .. node end
function Key.asked(node) return prefix .. "asked:" .. node end

-- The number that a text is, if it is a whole one.
local function whole(value)
    local number = tonumber(value)
    if number and number % 1 == 0 then
        return number
    end
end

-- The digits of a number, never with an exponent.
local function text(number)
    return string.format("%.0f", number)
end

-- A time as it is kept in a job, if it is one.
local function time(value)
    return whole(value) and value or nil
end

-- The earlier of two texts or numbers that may be none.
local function earlier(a, b)
    if not a or not b then
        return a or b
    end
    return whole(a) <= whole(b) and a or b
end

local server_time

-- The server's time in microseconds, or the caller's if it has sent one.
local function now_of(call)
    if call.at then
        return call.at
    end
    if not server_time then
        local parts = db("TIME")
        server_time = parts[1] * 1000000 + parts[2]
    end
    return server_time
end

local function is_live(state)
    return state ~= "ending" and state ~= "removed"
end

-- Notes what the other nodes are to know: `due TIME`, `cancel NODE`, or `resync`, which is anything.
function Hint.note(hint)
    local noted = Hint.noted
    if not noted or noted == hint then
        Hint.noted = hint
        return
    end
    local a, b = string.match(noted, "^due (.+)$"), string.match(hint, "^due (.+)$")
    Hint.noted = a and b and "due " .. earlier(a, b) or "resync"
end

function Hint.of_due(due)
    return due and "due " .. due or "resync"
end

function Hint.publish()
    if Hint.noted then
        db("PUBLISH", Key.changes, Hint.noted)
    end
end
