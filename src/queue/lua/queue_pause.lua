#!lua flags=allow-oom
-- queue_pause: lets no worker claim from one queue. Jobs are taken, promoted and settled as ever.
--
-- KEYS[1]  paused  str  <q>:paused  Redis ms since when; present while the queue is paused
--
-- Returns  1 paused · 0 it was paused already
-- Repeat   safe: answers 0, and the pause has the beginning that it had
local paused = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('SETNX', paused, string.format('%.0f', now))
