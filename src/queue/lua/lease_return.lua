#!lua flags=allow-oom
-- lease_return: gives a job back to the head of its queue, attempt not counted, if this delivery still holds it.
--
-- KEYS[1]  leases  zset  <q>:leases      job -> end of its lease, unix ms
-- KEYS[2]  meta    hash  <q>:meta:<job>  field `dr_token`: the delivery that holds the job
-- KEYS[3]  active  list  <q>:active      ready jobs
-- KEYS[4]  wake    chan  {ns}:wake       told the kind of the queue
-- ARGV[1]  job
-- ARGV[2]  token   chosen by the worker, fresh for every delivery
-- ARGV[3]  kind
--
-- Returns  1 given back · 0 this delivery holds it no longer
-- Repeat   safe: answers 0 and changes nothing
local leases, meta, active, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, token, kind = ARGV[1], ARGV[2], ARGV[3]
if not id or not token or not kind then
    return redis.error_reply('lease_return: wrong arguments')
end
if redis.call('HGET', meta, 'dr_token') ~= token or not redis.call('ZSCORE', leases, id) then
    return 0
end
redis.call('ZREM', leases, id)
redis.call('HDEL', meta, 'dr_token')
redis.call('HSET', meta, 'status', 'Queued')
redis.call('LPUSH', active, id)
redis.call('PUBLISH', wake, kind)
return 1
