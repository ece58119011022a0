#!lua flags=allow-oom
-- job_discard: forgets a dead job, and with it the idempotency key that led to it.
--
-- KEYS[1]  dead    zset  <q>:dead               dead jobs
-- KEYS[2]  data    hash  <q>:data               job -> payload
-- KEYS[3]  meta    hash  <q>:meta:<job>         field `dr_bytes`
-- KEYS[4]  stats   hash  <q>:stats              field `dead_bytes`
-- KEYS[5]  holder  str   <q>:idempotency:<key>  job that holds the key
-- ARGV[1]  job
--
-- Returns  1 forgotten · 0 it is not dead
-- Repeat   safe: answers 0 and changes nothing
local dead, data, meta, stats, holder = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id = ARGV[1]
if not id then
    return redis.error_reply('job_discard: wrong arguments')
end
if redis.call('ZREM', dead, id) == 0 then
    return 0
end
local known = redis.pcall('HMGET', meta, 'dr_bytes')
local bytes = tonumber(known[1] or '')
if bytes then
    redis.call('HINCRBY', stats, 'dead_bytes', -bytes)
end
redis.call('HDEL', data, id)
redis.call('DEL', meta)
if redis.call('GET', holder) == id then
    redis.call('DEL', holder)
end
return 1
