#!lua flags=allow-oom
-- queues_tick: the upkeep of all queues, once a second in every process and harmless in any number of them: promotes
-- what is due, returns what nobody renews, forgets what is old.
--
-- KEYS     for each queue nine:
--          scheduled  zset  <q>:scheduled  job -> due, unix s
--          active     list  <q>:active     ready jobs
--          leases     zset  <q>:leases     job -> end of its lease, unix ms
--          reaped     str   <q>:reaped     Redis ms of the last reap; in the future, with ` grace`, after an outage
--          data       hash  <q>:data
--          done       zset  <q>:done
--          dead       zset  <q>:dead
--          stats      hash  <q>:stats      field `dead_bytes`
--          meta       hash  <q>:meta:      prefix of every job's hash
-- ARGV[1]  batch      most jobs per queue and kind of work, at most 500
-- ARGV[2]  lease_ms   the grace after an outage
-- ARGV[3]  reap_ms    pause between two reaps
-- ARGV[4]  outage_ms  a longer pause was an outage
-- ARGV[5]  horizon_s  a job that is due later than this was given a wrong time
-- ARGV[6]  done_s     seconds that settled jobs are remembered
-- ARGV[7]  done_max   how many of them
-- ARGV[8]  dead_s     the same for dead jobs
-- ARGV[9]  dead_max
-- ARGV[10] dead_bytes most bytes of dead jobs
-- ARGV[11] crashes    that make a job poison
-- ARGV[12] within_ms  time in which they are counted
--
-- Returns  {Redis ms, then for each queue: ready jobs, whether a batch was full (call again), promoted, returned}
-- Repeat   safe
local batch, lease_ms, reap_ms, outage_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local horizon_s, done_s, done_max = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local dead_s, dead_max, dead_bytes = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local crashes, within_ms = tonumber(ARGV[11]), tonumber(ARGV[12])
if not (batch and lease_ms and reap_ms and outage_ms and horizon_s and done_s and done_max and dead_s and dead_max
    and dead_bytes and crashes and within_ms) or batch < 1 or batch > 500 or #KEYS % 9 ~= 0 then
    return redis.error_reply('queues_tick: wrong arguments')
end
local time = redis.call('TIME')
local now_s = tonumber(time[1]) + time[2] / 1000000
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = { now }
-- No lease is longer (DARKROOM_LEASE_MS).
local FAR_MS = 3600000

-- Says whether there was a hash or nothing.
local function must_be_hash(meta)
    local kind = redis.call('TYPE', meta).ok
    if kind ~= 'hash' then
        redis.call('DEL', meta)
    end
    return kind == 'hash' or kind == 'none'
end

-- Marks a job that comes from a stranger as seen now; what its metadata put under our names says nothing.
local function see(meta, id)
    local was_hash_or_none = must_be_hash(meta)
    if redis.call('HGET', meta, 'dr_seen') ~= id then
        redis.call('HDEL', meta, 'result', 'dr_last', 'dr_note', 'dr_reason', 'dr_crashed_at', 'dr_first_at',
            'dr_deferred_at', 'dr_ready_at', 'dr_settled', 'dr_bytes', 'dr_token', 'dr_leased_at',
            'dr_deleted_at', 'dr_forgot')
        redis.call('HSET', meta, 'dr_seen', id, 'dr_enqueued_at', now, 'dr_deliveries', 0, 'dr_crashes', 0, 'attempts', 0)
        if not was_hash_or_none then
            -- It may have been seen before, and what was known of it is gone: `owner_bury` asks the tombstone.
            redis.call('HSET', meta, 'dr_forgot', '1')
        end
    end
end

local function promote(q)
    local ids = redis.call('ZRANGEBYSCORE', q.scheduled, '-inf', string.format('%.3f', now_s), 'LIMIT', 0, batch)
    local lost = redis.call('ZRANGEBYSCORE', q.scheduled, string.format('(%.3f', now_s + horizon_s), '+inf', 'LIMIT', 0, batch)
    for _, moved in ipairs({ ids, lost }) do
        for _, id in ipairs(moved) do
            see(q.meta .. id, id)
        end
        if #moved > 0 then
            redis.call('ZREM', q.scheduled, unpack(moved))
            redis.call('RPUSH', q.active, unpack(moved))
        end
    end
    for _, id in ipairs(lost) do
        redis.call('HSET', q.meta .. id, 'dr_reason', 'run_at')
    end
    return #ids + #lost, #ids == batch or #lost == batch
end

-- Notes a crash beside those of the time that counts, and says how many they are: `dr_crashed_at` has their times.
local function count_crash(meta)
    local times = {}
    for ms in string.gmatch(redis.call('HGET', meta, 'dr_crashed_at') or '', '%d+') do
        if now - tonumber(ms) < within_ms and #times < crashes then
            times[#times + 1] = ms
        end
    end
    times[#times + 1] = string.format('%.0f', now)
    redis.call('HSET', meta, 'dr_crashed_at', table.concat(times, ' '), 'dr_crashes', #times)
    return #times
end

-- The n-th crash: the first two go back at once, then after 1 min * 2^(n-3); the claim tells the last.
local function crashed(q, id, counts)
    local meta = q.meta .. id
    must_be_hash(meta)
    redis.call('HDEL', meta, 'dr_token')
    redis.call('HSET', meta, 'status', 'Queued')
    local n = counts and count_crash(meta) or 0
    if n > 2 and n < crashes then
        local due = now + 60000 * 2 ^ (n - 3)
        redis.call('HSET', meta, 'dr_ready_at', string.format('%.0f', due))
        redis.call('ZADD', q.scheduled, string.format('%.3f', due / 1000), id)
    else
        redis.call('LPUSH', q.active, id)
    end
end

local function reap(q)
    -- A clock that went back by a fail-over left ends of leases that would keep the dead alive for as long.
    local far = now + math.max(lease_ms, FAR_MS)
    local lasting = redis.call('ZRANGEBYSCORE', q.leases, string.format('(%.0f', far), '+inf', 'LIMIT', 0, batch)
    for _, id in ipairs(lasting) do
        redis.call('ZADD', q.leases, 'XX', far, id)
    end
    local last = redis.call('GET', q.reaped) or ''
    local last_ms, grace = tonumber(string.match(last, '^%d+')), string.find(last, 'grace', 1, true)
    if not last_ms then
        redis.call('SET', q.reaped, now)
        return 0, false
    end
    -- Without grace the last reap is in the past; the grace itself lasts no longer than the longest lease.
    local went_back = last_ms > (grace and far or now + reap_ms)
    if now < last_ms + reap_ms and not went_back then
        return 0, false
    end
    if went_back or now > last_ms + outage_ms then
        redis.call('SET', q.reaped, string.format('%.0f grace', now + lease_ms - reap_ms))
        return 0, false
    end
    local ids = redis.call('ZRANGEBYSCORE', q.leases, '-inf', now, 'LIMIT', 0, batch)
    for _, id in ipairs(ids) do
        redis.call('ZREM', q.leases, id)
        crashed(q, id, not grace)
    end
    if #ids < batch then
        redis.call('SET', q.reaped, now)
    end
    return #ids, #ids >= batch or #lasting >= batch
end

local function forget(q, settled, ids)
    for _, id in ipairs(ids) do
        local meta = q.meta .. id
        local bytes = tonumber(redis.pcall('HGET', meta, 'dr_bytes') or '')
        if settled == q.dead and bytes then
            redis.call('HINCRBY', q.stats, 'dead_bytes', -bytes)
        end
        redis.call('ZREM', settled, id)
        redis.call('HDEL', q.data, id)
        redis.call('DEL', meta)
    end
    return #ids >= batch
end

local function retain(q, settled, seconds, most)
    local old = redis.call('ZRANGEBYSCORE', settled, '-inf', string.format('%.0f', now_s - seconds), 'LIMIT', 0, batch)
    local full = forget(q, settled, old)
    local over = math.min(redis.call('ZCARD', settled) - most, batch)
    if over > 0 then
        full = forget(q, settled, redis.call('ZRANGE', settled, 0, over - 1)) or full
    end
    return full
end

local function shrink_dead(q)
    local full, left = false, batch
    while left > 0 and (tonumber(redis.call('HGET', q.stats, 'dead_bytes') or '') or 0) > dead_bytes do
        local oldest = redis.call('ZRANGE', q.dead, 0, 0)
        if #oldest == 0 then
            redis.call('HSET', q.stats, 'dead_bytes', 0)
            break
        end
        forget(q, q.dead, oldest)
        left = left - 1
        full = left == 0
    end
    return full
end

for k = 1, #KEYS, 9 do
    local q = { scheduled = KEYS[k], active = KEYS[k + 1], leases = KEYS[k + 2], reaped = KEYS[k + 3], data = KEYS[k + 4],
        done = KEYS[k + 5], dead = KEYS[k + 6], stats = KEYS[k + 7], meta = KEYS[k + 8] }
    local promoted, more = promote(q)
    local returned, more_leases = reap(q)
    local full = more or more_leases
    full = retain(q, q.done, done_s, done_max) or full
    full = retain(q, q.dead, dead_s, dead_max) or full
    full = shrink_dead(q) or full
    answer[#answer + 1] = redis.call('LLEN', q.active)
    answer[#answer + 1] = full and 1 or 0
    answer[#answer + 1] = promoted
    answer[#answer + 1] = returned
end
return answer
