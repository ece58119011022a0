#!lua flags=allow-oom
-- pace_take: gives out the next turn at a host, one after another for all workers.
--
-- KEYS[1]  pace        str  {ns}:pace:<host>  Redis ms of the host's next free start, with a fraction; expires after it
-- ARGV[1]  gap_ms      between two starts, with a fraction
-- ARGV[2]  horizon_ms  how far ahead turns are given out
--
-- Returns  {ms until the turn, 1} · {horizon_ms, 0} when all turns that far ahead are given out: to be asked again then
-- Repeat   takes another turn; one that nobody uses is lost
local pace, gap_ms, horizon_ms = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
if not gap_ms or gap_ms < 0 or not horizon_ms then
    return redis.error_reply('pace_take: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local next = tonumber(redis.call('GET', pace) or '') or now
-- One that is further ahead than any that was given out is of a clock that was put back.
if next < now or next > now + horizon_ms + gap_ms then
    next = now
end
local wait = next - now
if wait > horizon_ms then
    return {horizon_ms, 0}
end

redis.call('SET', pace, string.format('%.3f', next + gap_ms), 'PX', math.ceil(wait + gap_ms) + 1000)
return {math.ceil(wait), 1}
