#!lua flags=allow-oom
-- leases_extend: renews the leases of one process.
--
-- KEYS     for each queue two: leases  zset  <q>:leases  job -> end of its lease, unix ms
--                              meta    hash  <q>:meta:   prefix of every job's hash; field `dr_token`
-- ARGV[1]  lease_ms
-- ARGV[2…] three for each job, at most 500 jobs: number of its queue, from 1 · job · token
--
-- Returns  the numbers, from 1, of the jobs whose lease is lost
-- Repeat   safe
local lease_ms = tonumber(ARGV[1])
local jobs = (#ARGV - 1) / 3
if not lease_ms or jobs ~= math.floor(jobs) or jobs > 500 then
    return redis.error_reply('leases_extend: wrong arguments')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost = {}
for i = 1, jobs do
    local queue, id, token = tonumber(ARGV[3 * i - 1]), ARGV[3 * i], ARGV[3 * i + 1]
    local leases, meta = KEYS[2 * queue - 1], KEYS[2 * queue] .. id
    -- A hash that is none is that job's affair: the others are renewed.
    if redis.pcall('HGET', meta, 'dr_token') == token and redis.call('ZSCORE', leases, id) then
        redis.call('ZADD', leases, 'XX', now + lease_ms, id)
    else
        lost[#lost + 1] = i
    end
end
return lost
