#!lua flags=allow-oom
-- jobs_stamp: says of waiting jobs that nobody has seen yet that they were there now: a stock producer's jobs count from then.
--
-- KEYS[1]  data  hash  <q>:data   job -> payload
-- KEYS[2]  meta  hash  <q>:meta:  prefix of every job's hash
-- ARGV[1]  cursor  of the scan; 0 begins
-- ARGV[2]  count   some jobs a call, at most 500
--
-- Returns  {cursor of the next call, 0 after the last; jobs stamped}
-- Repeat   safe: a job that was seen keeps its time
local data, meta_prefix, cursor, count = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if not cursor or not count or count < 1 or count > 500 then
    return redis.error_reply('jobs_stamp: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local page = redis.call('HSCAN', data, cursor, 'COUNT', count)
local stamped = 0
for i = 1, #page[2], 2 do
    local id = page[2][i]
    local meta = meta_prefix .. id
    if redis.call('TYPE', meta).ok ~= 'hash' then
        redis.call('DEL', meta)
    end
    if redis.call('HGET', meta, 'dr_seen') ~= id then
        -- What a stranger's metadata put under our names says nothing.
        redis.call('HDEL', meta, 'result', 'dr_last', 'dr_note', 'dr_reason', 'dr_crashed_at', 'dr_first_at',
            'dr_deferred_at', 'dr_ready_at', 'dr_settled', 'dr_bytes', 'dr_token', 'dr_leased_at',
            'dr_deleted_at', 'dr_forgot')
        redis.call('HSET', meta, 'dr_seen', id, 'dr_enqueued_at', now, 'dr_deliveries', 0, 'dr_crashes', 0, 'attempts', 0)
        stamped = stamped + 1
    end
end
return { page[1], stamped }
