#!lua flags=allow-oom
-- note_write: leaves a note for the job's next delivery while this one is still at work.
--
-- KEYS[1]  meta   hash  <q>:meta:<job>  fields `dr_token`, `dr_note`
-- ARGV[1]  token
-- ARGV[2]  note   at most 1 KiB
--
-- Returns  1 left · 0 this delivery holds the job no longer
-- Repeat   safe
local meta, token, note = KEYS[1], ARGV[1], ARGV[2]
if not token or not note or #note > 1024 then
    return redis.error_reply('note_write: wrong arguments')
end
if redis.call('HGET', meta, 'dr_token') ~= token then
    return 0
end
redis.call('HSET', meta, 'dr_note', note)
return 1
