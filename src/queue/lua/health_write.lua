#!lua flags=allow-oom
-- health_write: keeps the last health report of the bucket, and announces it when its status is another one.
--
-- KEYS[1]  health  hash    {ns}:health  fields `status`, `at` (Redis ms of the writing), `record`
-- KEYS[2]  events  stream  {ns}:events
-- ARGV[1]  status  word of the report
-- ARGV[2]  record  JSON
-- ARGV[3]  event   JSON, written on a change alone; the first report is a change unless it is `ok`
--
-- Returns  the status before, when it was another one; else an empty string
-- Repeat   safe: announces nothing again
local health, events = KEYS[1], KEYS[2]
local status, record, event = ARGV[1], ARGV[2], ARGV[3]
if not event or status == '' then
    return redis.error_reply('health_write: wrong arguments')
end
local before = redis.call('HGET', health, 'status') or 'ok'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', health, 'status', status, 'at', string.format('%.0f', now), 'record', record)
if before == status then
    return ''
end
redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', event)
return before
