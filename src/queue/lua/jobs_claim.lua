#!lua flags=allow-oom
-- jobs_claim: takes up to n ready jobs of one queue and leases each to the caller.
--
-- KEYS[1]  active   list  <q>:active     ready jobs
-- KEYS[2]  leases   zset  <q>:leases     job -> end of its lease, unix ms
-- KEYS[3]  data     hash  <q>:data       job -> payload
-- KEYS[4]  done     zset  <q>:done       settled jobs: an id of theirs in `active` is a husk
-- KEYS[5]  dead     zset  <q>:dead       likewise
-- KEYS[6]  paused   str   <q>:paused     present while the queue is paused
-- KEYS[7]  meta     hash  <q>:meta:      prefix of every job's hash
-- KEYS[8]  scheduled zset <q>:scheduled  jobs that are due later: an id of theirs in `active` is a husk too
-- ARGV[1]  lease_ms        length of a lease
-- ARGV[2]  payload_limit   bytes of the largest payload that is handed out whole; more than that in all ends the answer
-- ARGV[3]  excerpt         bytes of a larger one that are handed out
-- ARGV[4…] tokens          one for each job wanted, at most 100; fresh for every delivery
--
-- Returns  {Redis ms, 1 when more jobs may be ready else 0, {id, token, payload, payload bytes, attempts, max_attempts,
--          deliveries, crashes, enqueued ms, ready ms; of a job that was delivered or put off before also: first delivery
--          ms, first deferral ms, note, reason}…}
-- Repeat   takes other jobs: a lost answer leaves leases that nobody renews, and the reaper returns those
local active, leases, data, done, dead, paused, meta_prefix, scheduled =
    KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local lease_ms, payload_limit, excerpt = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted = #ARGV - 3
if not lease_ms or not payload_limit or not excerpt or wanted < 1 or wanted > 100 then
    return redis.error_reply('jobs_claim: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', paused) == 1 then
    return { now, 0 }
end
-- Redis takes twenty times as long to write a number as to take a text.
local now_text, end_text = string.format('%.0f', now), string.format('%.0f', now + lease_ms)

-- A job that was seen and waits is none, unless it was put off and an earlier life of its id left a husk; of any other the
-- places tell where it could be.
local function is_husk(id, seen, status, ready_at)
    if seen and (status == 'Queued' or status == 'Pending') then
        return ready_at and redis.call('ZSCORE', scheduled, id)
    end
    return redis.call('ZSCORE', done, id) or redis.call('ZSCORE', dead, id) or redis.call('ZSCORE', leases, id)
        or redis.call('ZSCORE', scheduled, id)
        -- A cancelled job may be forgotten before its husk is met.
        or (redis.call('HEXISTS', data, id) == 0 and redis.call('EXISTS', meta_prefix .. id) == 0)
end

-- A stranger's job: what its metadata put under our names says nothing.
local function see(id, meta, known)
    if known.err then
        redis.call('DEL', meta)
    end
    redis.call('HDEL', meta, 'result', 'dr_last', 'dr_note', 'dr_reason', 'dr_crashed_at', 'dr_first_at',
        'dr_deferred_at', 'dr_ready_at', 'dr_settled', 'dr_bytes', 'dr_token', 'dr_leased_at',
        'dr_deleted_at', 'dr_forgot')
    redis.call('HSET', meta, 'dr_seen', id, 'dr_enqueued_at', now_text, 'attempts', '0', 'dr_crashes', '0')
    if known.err then
        -- It may have been seen before, and what was known of it is gone: `owner_bury` asks the tombstone.
        redis.call('HSET', meta, 'dr_forgot', '1')
    end
    return { id, 'Pending', '0', known[4], now_text }
end

local ids = redis.call('LRANGE', active, 0, wanted - 1)
local taken, bytes, ends, rows, mine = 0, 0, {}, {}, {}
for i, id in ipairs(ids) do
    if bytes > payload_limit then
        break
    end
    taken = i
    local meta, token = meta_prefix .. id, ARGV[3 + i]
    local known = redis.pcall('HMGET', meta, 'dr_seen', 'status', 'attempts', 'max_attempts', 'dr_enqueued_at',
        'dr_ready_at', 'dr_deliveries')
    local seen, ready_at = known[1] == id, known[6]
    -- One that this call has leased is in no place yet.
    if not mine[id] and not is_husk(id, seen, known[2], ready_at) then
        mine[id] = true
        local past
        if not seen then
            known, ready_at = see(id, meta, known), false
        elseif ready_at or known[7] then
            past = redis.call('HMGET', meta, 'dr_first_at', 'dr_leased_at', 'dr_deferred_at', 'dr_note', 'dr_reason',
                'dr_crashes')
        end
        local payload = redis.call('HGET', data, id) or ''
        local size = #payload
        if size > payload_limit then
            payload = string.sub(payload, 1, excerpt)
        end
        bytes = bytes + #payload
        local deliveries, enqueued = (tonumber(known[7]) or 0) + 1, tonumber(known[5]) or now
        redis.call('HSET', meta, 'dr_token', token, 'dr_leased_at', now_text, 'dr_deliveries',
            string.format('%d', deliveries), 'status', 'Running')
        local attempts, max_attempts = tonumber(known[3]) or 0, tonumber(known[4]) or -1
        if past then
            -- The first delivery began when its lease did: only a later one has to keep that.
            local first_at = past[1] or past[2]
            if first_at and not past[1] then
                redis.call('HSET', meta, 'dr_first_at', first_at)
            end
            rows[#rows + 1] = { id, token, payload, size, attempts, max_attempts, deliveries, tonumber(past[6]) or 0,
                enqueued, tonumber(ready_at) or enqueued, tonumber(first_at) or now, tonumber(past[3]) or -1,
                past[4] or '', past[5] or '' }
        else
            rows[#rows + 1] = { id, token, payload, size, attempts, max_attempts, deliveries, 0, enqueued, enqueued }
        end
        ends[#ends + 1] = end_text
        ends[#ends + 1] = id
    end
end
if taken > 0 then
    redis.call('LTRIM', active, taken, -1)
end
if #ends > 0 then
    redis.call('ZADD', leases, unpack(ends))
end
return { now, (#ids == wanted or taken < #ids) and 1 or 0, unpack(rows) }
