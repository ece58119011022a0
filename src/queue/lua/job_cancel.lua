#!lua flags=allow-oom
-- job_cancel: settles a job that waits, before anybody runs it. One that is ready stays in `active` as a husk.
--
-- KEYS[1]  leases     zset    <q>:leases      job -> end of its lease, unix ms
-- KEYS[2]  data       hash    <q>:data        job -> payload
-- KEYS[3]  meta       hash    <q>:meta:<job>
-- KEYS[4]  scheduled  zset    <q>:scheduled   job -> due, unix s
-- KEYS[5]  done       zset    <q>:done        settled jobs that are not dead
-- KEYS[6]  dead       zset    <q>:dead        dead jobs
-- KEYS[7]  stats      hash    <q>:stats       totals by outcome
-- KEYS[8]  events     stream  {ns}:events
-- KEYS[9]  settled    chan    {ns}:settled    told the id of a job that is final
-- ARGV[1]  job
-- ARGV[2]  deliveries  that the receipt counts
-- ARGV[3]  receipt     JSON
-- ARGV[4]  event       JSON, or empty
-- ARGV[5]  owner       prefix of the owner's objects, or empty
--
-- Returns  1 cancelled · 0 unknown · 2 it is running · 3 it is settled · 4 it was delivered since the receipt was made
-- Repeat   safe: answers 3 and changes nothing
local leases, data, meta, scheduled, done, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local stats, events, settled = KEYS[7], KEYS[8], KEYS[9]
local id, deliveries, receipt, event, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
if not deliveries or not owner then
    return redis.error_reply('job_cancel: wrong arguments')
end
if redis.call('HEXISTS', data, id) == 0 and redis.call('EXISTS', meta) == 0 then
    return 0
end
if redis.call('ZSCORE', leases, id) then
    return 2
end
if redis.call('ZSCORE', done, id) or redis.call('ZSCORE', dead, id) then
    return 3
end
if (tonumber(redis.call('HGET', meta, 'dr_deliveries') or '') or 0) ~= deliveries then
    return 4
end
local time = redis.call('TIME')

redis.call('ZREM', scheduled, id)
redis.call('HDEL', meta, 'dr_token', 'dr_note', 'dr_last', 'dr_reason', 'dr_deferred_at', 'dr_ready_at')
redis.call('HSET', meta, 'dr_seen', id, 'status', 'Done', 'result', '{"Ok":' .. receipt .. '}',
    'dr_owner', owner)
redis.call('HSET', data, id, '')
redis.call('ZADD', done, time[1], id)
redis.call('HINCRBY', stats, 'cancelled', 1)
if event ~= '' then
    redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', event)
end
redis.call('PUBLISH', settled, id)
return 1
