-- What jobs, claims, runs and nodes are found by.
--
-- A kind is a version and a task, as in `1:report`. Each has its own index of due jobs, so that a node finds those that it
-- can run without passing those that it cannot. The kinds themselves are kept by the earliest `due` of their jobs.

Index.touched_kinds, Index.touched_claimers = {}, {}

function Index.id(id, uid)
    return id .. "\0" .. uid
end

-- The uid of the live job with this id.
function Index.uid_of(id)
    local found = db("ZRANGEBYLEX", Key.ids, "[" .. id .. "\0", "(" .. id .. "\1", "LIMIT", 0, 1)
    return found[1] and string.sub(found[1], #id + 2)
end

-- A page of the live jobs as { id =, uid = }, by the bytes of the ids.
function Index.page(after, limit)
    local from = after and "[" .. after .. "\1" or "-"
    local page = db("ZRANGEBYLEX", Key.ids, from, "+", "LIMIT", 0, limit)
    for at, member in ipairs(page) do
        local cut = string.find(member, "\0", 1, true) or #member + 1
        page[at] = { id = string.sub(member, 1, cut - 1), uid = string.sub(member, cut + 1) }
    end
    return page
end

function Index.claim(uid, kind)
    return uid .. "\n" .. kind
end

function Index.of_claim(member)
    local cut = string.find(member, "\n", 1, true) or #member + 1
    return string.sub(member, 1, cut - 1), string.sub(member, cut + 1)
end

-- Such that the order of texts is that of (uid, number).
function Index.run(uid, seq)
    return uid .. ":" .. string.format("%016.0f", seq)
end

function Index.of_run(member)
    return string.sub(member, 1, -18), whole(string.sub(member, -16)) or 0
end

-- Brings the kinds and the claiming nodes up to date, after their jobs have been.
function Index.refresh()
    for kind in pairs(Index.touched_kinds) do
        local first = db("ZRANGE", Key.due(kind), 0, 0, "WITHSCORES")
        if first[2] then
            db("ZADD", Key.kinds, first[2], kind)
        else
            db("ZREM", Key.kinds, kind)
        end
    end
    for node in pairs(Index.touched_claimers) do
        if db("EXISTS", Key.claims(node)) == 1 then
            db("SADD", Key.claimers, node)
        else
            db("SREM", Key.claimers, node)
        end
    end
    Index.touched_kinds, Index.touched_claimers = {}, {}
end
