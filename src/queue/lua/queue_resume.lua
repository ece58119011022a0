#!lua flags=allow-oom
-- queue_resume: lets workers claim from one queue again, and wakes them.
--
-- KEYS[1]  paused  str   <q>:paused  present while the queue is paused
-- KEYS[2]  wake    chan  {ns}:wake   told the kind of the queue
-- ARGV[1]  kind
--
-- Returns  1 resumed · 0 it was not paused
-- Repeat   safe: answers 0 and changes nothing
local paused, wake, kind = KEYS[1], KEYS[2], ARGV[1]
if not kind then
    return redis.error_reply('queue_resume: wrong arguments')
end
local resumed = redis.call('DEL', paused)
if resumed == 1 then
    redis.call('PUBLISH', wake, kind)
end
return resumed
