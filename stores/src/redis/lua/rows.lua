-- Loads jobs, as many of them as the reply has room for. They are one text, which is read sooner than a list of lists.

local row = reads_rows()
local rows = {}
for _, uid in ipairs(words()) do
    local is_full, loaded = row(uid)
    if is_full then
        break
    end
    rows[#rows + 1] = loaded
end
return cmsgpack.pack(rows)
