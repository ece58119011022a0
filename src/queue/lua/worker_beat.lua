#!lua flags=allow-oom
-- worker_beat: tells what a process does now, or that it ended, and forgets some that have fallen silent.
--
-- KEYS[1]  workers  hash  {ns}:workers  process -> JSON object, begins with `beat_at_ms`, Redis ms of the
--                                         last beat, and `silent_at_ms`, from when on the process counts as gone
-- ARGV[1]  process
-- ARGV[2]  record     JSON object with at least one field; empty when the process ends
-- ARGV[3]  silent_ms  after so long without a beat the process counts as gone
--
-- Returns  how many processes were forgotten, at most 10
-- Repeat   safe
local workers, process, record, silent_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if not silent_ms or not (record == '' or string.sub(record, 1, 2) == '{"') then
    return redis.error_reply('worker_beat: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if record == '' then
    redis.call('HDEL', workers, process)
else
    local times = string.format('{"beat_at_ms":%.0f,"silent_at_ms":%.0f,', now, now + silent_ms)
    redis.call('HSET', workers, process, times .. string.sub(record, 2))
end
-- Ten at random of however many there are: every beat of every process looks at others.
local some, forgotten = redis.call('HRANDFIELD', workers, 10, 'WITHVALUES'), 0
for at = 1, #some, 2 do
    local beat_at, silent_at = string.match(some[at + 1], '^{"beat_at_ms":(%d+),"silent_at_ms":(%d+),')
    -- One from the future was written before a clock went back.
    if not beat_at or now > tonumber(silent_at) or now < tonumber(beat_at) then
        redis.call('HDEL', workers, some[at])
        forgotten = forgotten + 1
    end
end
return forgotten
