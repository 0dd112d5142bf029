-- Nodes that hold a claim or a running run, and their leases.
--
-- A node is kept as `LEASE SEQ`: until when its lease lasts, or `-` once other nodes have begun to take over, and the
-- number of its last claim.

function Node.of(value)
    local lease, seq = string.match(value or "", "^(%S+) (%d+)$")
    return seq and { lease_until = whole(lease), last_claim_seq = whole(seq) }
end

function Node.load(id)
    return Node.of(db("HGET", Key.nodes, id))
end

-- All nodes by their ids; there are as many as there are schedulers.
function Node.all()
    local flat, nodes = db("HGETALL", Key.nodes), {}
    for at = 1, #flat, 2 do
        local node = Node.of(flat[at + 1])
        if node then
            node.id = flat[at]
            nodes[#nodes + 1] = node
        end
    end
    table.sort(nodes, function(a, b) return a.id < b.id end)
    return nodes
end

function Node.save(id, node)
    local lease = node.lease_until and text(node.lease_until) or "-"
    db("HSET", Key.nodes, id, lease .. " " .. text(node.last_claim_seq))
end

function Node.delete(id)
    db("HDEL", Key.nodes, id)
end

function Node.has_runs(id)
    return db("EXISTS", Key.running(id)) == 1
end

function Node.holds(id)
    return db("EXISTS", Key.claims(id), Key.running(id)) > 0
end

-- A call that was delayed must not take back what a later one has been told.
function Node.later(lease_until, till)
    return lease_until and lease_until > till and lease_until or till
end

-- Renews the lease of a node that holds something.
function Node.renew(id, till)
    local node = Node.load(id)
    if node then
        node.lease_until = Node.later(node.lease_until, till)
        Node.save(id, node)
    elseif Node.has_runs(id) then
        Node.save(id, { lease_until = till, last_claim_seq = 0 })
    end
end

-- Whether a node's runs are still its own; if they are, its lease is renewed.
function Node.hold(id, till)
    local node = Node.load(id)
    local is_lost
    if node then
        is_lost = not node.lease_until
    else
        is_lost = not Node.has_runs(id)
    end
    if is_lost then
        return "lost"
    end
    Node.renew(id, till)
    return "kept"
end

-- Lets the running runs of a node wait for another one, up to a limit, and says how many those were.
function Node.take_runs(id, wait, limit, now)
    if limit < 1 then
        return 0
    end
    local members = db("ZRANGE", Key.running(id), 0, limit - 1)
    for _, member in ipairs(members) do
        local uid, seq = Index.of_run(member)
        local job = Job.load(uid)
        local run = job and job.book:run(seq)
        if run and run.state == "running" and run.owner == id then
            job.head:take_from_node(job.book, run, wait, now)
            job:save()
        else
            -- Somebody has deleted the run or the job behind the store's back.
            db("ZREM", Key.running(id), member)
            db("ZREM", Key.asked(id), member)
        end
    end
    Index.refresh()
    return #members
end
