#!lua flags=allow-oom
-- jobs_retry: sends dead jobs of one queue round again; their attempts start anew, when they were first seen stays.
--
-- KEYS[1]  dead    zset  <q>:dead    dead jobs
-- KEYS[2]  active  list  <q>:active  ready jobs
-- KEYS[3]  stats   hash  <q>:stats   field `dead_bytes`
-- KEYS[4]  meta    hash  <q>:meta:   prefix of every job's hash
-- KEYS[5]  wake    chan  {ns}:wake   told the kind of the queue
-- ARGV[1]  kind
-- ARGV[2…] jobs, at most 500
--
-- Returns  how many of them were dead, and wait now
-- Repeat   safe: a job that is not dead is left as it is
local dead, active, stats, meta_prefix, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local kind = ARGV[1]
if not kind or #ARGV > 501 then
    return redis.error_reply('jobs_retry: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local retried = 0

for i = 2, #ARGV do
    local id = ARGV[i]
    local meta = meta_prefix .. id
    if redis.call('ZREM', dead, id) == 1 then
        local known = redis.pcall('HMGET', meta, 'dr_bytes', 'result', 'dr_note', 'dr_seen')
        if known.err then
            -- Somebody has overwritten the hash: the payload is still the job.
            redis.call('DEL', meta)
            known = {}
        end
        if known[4] ~= id then
            -- Nobody knows any more when what it deletes was deleted: `owner_bury` asks the tombstone.
            redis.call('HSET', meta, 'dr_forgot', '1')
        end
        if tonumber(known[1] or '') then
            redis.call('HINCRBY', stats, 'dead_bytes', -tonumber(known[1]))
        end
        redis.call('HDEL', meta, 'dr_bytes', 'result', 'dr_token', 'dr_settled', 'dr_reason', 'dr_crashed_at', 'dr_first_at',
            'dr_leased_at', 'dr_deferred_at')
        -- The second pass of a deletion stays one.
        if known[3] ~= 'second pass' then
            redis.call('HDEL', meta, 'dr_note')
        end
        redis.call('HSETNX', meta, 'dr_enqueued_at', now)
        redis.call('HSET', meta, 'dr_seen', id, 'attempts', 0, 'dr_crashes', 0, 'dr_ready_at', now, 'status', 'Queued')
        -- The receipt of its death, without its wrapping: until the next one it says why the job had failed.
        local receipt = string.match(known[2] or '', '^{"Ok":(.*)}$')
        if receipt then
            redis.call('HSET', meta, 'dr_last', receipt)
        end
        redis.call('RPUSH', active, id)
        retried = retried + 1
    end
end
if retried > 0 then
    redis.call('PUBLISH', wake, kind)
end
return retried
