#!lua flags=allow-oom
-- tombstone_write: says that an object, or all of an owner, was deleted now.
--
-- KEYS[1]  tombstone  str  {ns}:tombstone:<object key or owner prefix>  Redis ms of the deletion
-- ARGV[1]  ttl_ms
--
-- Returns  Redis ms of the deletion
-- Repeat   moves the deletion to now
local tombstone, ttl_ms = KEYS[1], tonumber(ARGV[1])
if not ttl_ms then
    return redis.error_reply('tombstone_write: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', tombstone, string.format('%.0f', now), 'PX', ttl_ms)
return now
