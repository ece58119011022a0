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
-- ARGV[1]  lease_ms        length of a lease
-- ARGV[2]  payload_limit   bytes of the largest payload that is handed out whole
-- ARGV[3]  excerpt         bytes of a larger one that are handed out
-- ARGV[4…] tokens          one for each job wanted, at most 100; fresh for every delivery
--
-- Returns  {Redis ms, taken from active, {id, token, payload, payload bytes, attempts, max_attempts, deliveries,
--          crashes, enqueued ms, ready ms, first delivery ms, first deferral ms, note, reason}…}
-- Repeat   takes other jobs: a lost answer leaves leases that nobody renews, and the reaper returns those
local active, leases, data, done, dead, paused, meta_prefix =
    KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local lease_ms, payload_limit, excerpt = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted = #ARGV - 3
if not lease_ms or not payload_limit or not excerpt or wanted < 1 or wanted > 100 then
    return redis.error_reply('jobs_claim: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = { now, 0 }
if redis.call('EXISTS', paused) == 1 then
    return answer
end

local ids = redis.call('LRANGE', active, 0, wanted - 1)
if #ids == 0 then
    return answer
end
answer[2] = #ids
redis.call('LPOP', active, #ids)

for i, id in ipairs(ids) do
    local husk = redis.call('ZSCORE', done, id) or redis.call('ZSCORE', dead, id) or redis.call('ZSCORE', leases, id)
    -- A cancelled job may be forgotten before its husk is met.
    husk = husk or (redis.call('HEXISTS', data, id) == 0 and redis.call('EXISTS', meta_prefix .. id) == 0)
    if not husk then
        local meta, token = meta_prefix .. id, ARGV[3 + i]
        if redis.call('TYPE', meta).ok ~= 'hash' then
            redis.call('DEL', meta)
        end
        local known = redis.call('HMGET', meta, 'dr_seen', 'attempts', 'max_attempts', 'dr_deliveries', 'dr_crashes',
            'dr_enqueued_at', 'dr_ready_at', 'dr_first_at', 'dr_deferred_at', 'dr_note', 'dr_reason')
        if known[1] ~= id then
            -- A stranger's job: what its metadata put under our names says nothing.
            redis.call('HDEL', meta, 'result', 'dr_last', 'dr_note', 'dr_reason', 'dr_crashed_at', 'dr_first_at',
                'dr_deferred_at', 'dr_ready_at', 'dr_settled', 'dr_bytes', 'dr_token')
            redis.call('HSET', meta, 'dr_seen', id, 'dr_enqueued_at', now, 'dr_deliveries', 0, 'dr_crashes', 0, 'attempts', 0)
            known = { id, '0', known[3], '0', '0', tostring(now), false, false, false, false, false }
        end
        local payload = redis.call('HGET', data, id) or ''
        local size = #payload
        if size > payload_limit then
            payload = string.sub(payload, 1, excerpt)
        end
        local first = known[8] or tostring(now)
        local deliveries = (tonumber(known[4]) or 0) + 1
        redis.call('ZADD', leases, now + lease_ms, id)
        redis.call('HSET', meta, 'dr_token', token, 'dr_leased_at', now, 'dr_deliveries', deliveries, 'dr_first_at', first,
            'status', 'Running')
        answer[#answer + 1] = { id, token, payload, size, tonumber(known[2]) or 0, tonumber(known[3]) or -1, deliveries,
            tonumber(known[5]) or 0, tonumber(known[6]) or now, tonumber(known[7]) or tonumber(known[6]) or now,
            tonumber(first) or now, tonumber(known[9]) or -1, known[10] or '', known[11] or '' }
    end
end
return answer
