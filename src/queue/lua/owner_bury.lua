#!lua flags=allow-oom
-- owner_bury: says that everything of an owner was deleted, at a moment that stays the same for all deliveries of the job.
--
-- KEYS[1]  tombstone  str   {ns}:tombstone:<owner prefix>  Redis ms of the deletion
-- KEYS[2]  meta       hash  <q>:meta:<job>                 fields `dr_token`, `dr_deleted_at`, `dr_forgot`
-- ARGV[1]  token
-- ARGV[2]  ttl_ms
-- ARGV[3]  told_ms  the moment that an earlier delivery was told, or 0
--
-- A job whose hash was overwritten has no moment any more, and takes that of the tombstone, where there is one.
--
-- Returns  {Redis ms of the deletion, 1 when a tombstone of then or later was there before, Redis ms now}
--          {0, 0, 0} this delivery holds the job no longer
-- Repeat   safe: says the same moment, and that the tombstone was there
local tombstone, meta, token, ttl_ms, told_ms = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not token or not ttl_ms or not told_ms then
    return redis.error_reply('owner_bury: wrong arguments')
end
local known = redis.call('HMGET', meta, 'dr_token', 'dr_deleted_at', 'dr_forgot')
if known[1] ~= token then
    return { 0, 0, 0 }
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stands_ms = tonumber(redis.call('GET', tombstone) or '') or 0
local remembered_ms = known[3] and stands_ms > 0 and stands_ms
local deleted_at = tonumber(known[2] or '') or (told_ms > 0 and told_ms) or remembered_ms or now
local stood = stands_ms >= deleted_at

redis.call('HSET', meta, 'dr_deleted_at', string.format('%.0f', deleted_at))
if not stood then
    redis.call('SET', tombstone, string.format('%.0f', deleted_at), 'PX', ttl_ms)
end
return { deleted_at, stood and 1 or 0, now }
