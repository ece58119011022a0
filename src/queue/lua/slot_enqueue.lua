#!lua flags=allow-oom
-- slot_enqueue: enqueues the one job of the current periodic slot, whichever process asks first.
--
-- KEYS[1]  slot       string  <q>:slot         Redis ms at which the last slot that was enqueued begins
-- KEYS[2]  data       hash    <q>:data         job -> payload
-- KEYS[3]  meta       hash    <q>:meta:<job>
-- KEYS[4]  active     list    <q>:active       ready jobs
-- KEYS[5]  scheduled  zset    <q>:scheduled    job -> due, unix s
-- KEYS[6]  leases     zset    <q>:leases       job -> end of its lease, unix ms
-- KEYS[7]  wake       chan    {ns}:wake        told the name of a queue that was empty
-- ARGV[1]  period_ms
-- ARGV[2]  job        fresh id
-- ARGV[3]  payload    JSON
-- ARGV[4]  kind       the message
-- ARGV[5]  attempts   that the job has
--
-- Returns  1 enqueued · 0 the slot has its job, or one waits or is leased
-- Repeat   safe: the slot has its job by then
local slot, data, meta, active, scheduled, leases, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local period_ms, id, payload, kind, attempts = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if not period_ms or period_ms < 1 or not attempts then
    return redis.error_reply('slot_enqueue: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Where the slot begins, not its number: it still grows when the period is set anew. One in the future is of a clock
-- that was put back.
local begins = now - now % period_ms
local last = tonumber(redis.call('GET', slot) or '') or 0
if begins <= last and last <= now then
    return 0
end
-- What a stranger scheduled for later does not keep the bucket from being looked at.
local waiting = redis.call('LLEN', active) + redis.call('ZCOUNT', scheduled, '-inf', time[1])
if waiting + redis.call('ZCARD', leases) > 0 then
    return 0
end

redis.call('SET', slot, string.format('%.0f', begins))
redis.call('HSET', data, id, payload)
redis.call('HSET', meta, 'attempts', 0, 'max_attempts', attempts, 'status', 'Pending', 'idempotency_key', '',
    'dr_seen', id, 'dr_deliveries', 0, 'dr_crashes', 0, 'dr_enqueued_at', now)
redis.call('RPUSH', active, id)
redis.call('PUBLISH', wake, kind)
return 1
