#!lua flags=allow-oom
-- job_settle: ends one delivery: the job's status, its receipt, its event and what follows it, or none of them.
--
-- KEYS[1]  leases     zset    <q>:leases      job -> end of its lease, unix ms
-- KEYS[2]  data       hash    <q>:data        job -> payload
-- KEYS[3]  meta       hash    <q>:meta:<job>
-- KEYS[4]  scheduled  zset    <q>:scheduled   job -> due, unix s
-- KEYS[5]  done       zset    <q>:done
-- KEYS[6]  dead       zset    <q>:dead
-- KEYS[7]  stats      hash    <q>:stats       totals by outcome, `dead_bytes`
-- KEYS[8]  events     stream  {ns}:events
-- KEYS[9]  settled    chan    {ns}:settled    told the id of a job that is final
-- KEYS[10] follower   hash    <q>:meta:<next> the job that follows; the same as KEYS[3] when none does
-- ARGV[1]  job
-- ARGV[2]  token
-- ARGV[3]  outcome    done · dead · again
-- ARGV[4]  status     word of the receipt, counted in stats
-- ARGV[5]  receipt    JSON
-- ARGV[6]  event      JSON, or empty
-- ARGV[7]  attempts   counted so far
-- ARGV[8]  after_ms   again: when; else 0
-- ARGV[9]  note       again: for the next delivery, or empty
-- ARGV[10] deferred   again: 1 when ours to wait (starts or goes on with the time that deferrals may take in all)
-- ARGV[11] excerpt    dead: bytes of the payload that are kept; 0 keeps all
-- ARGV[12] next       id of the job that follows with the same payload, or empty
-- ARGV[13] next_ms    when it is due
-- ARGV[14] next_note  its note
--
-- Returns  1 settled · 0 this delivery holds the job no longer
-- Repeat   safe: answers 1 and changes nothing
local leases, data, meta, scheduled, done, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local stats, events, settled, follower = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local id, token, outcome, status, receipt, event = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local attempts, after_ms, note, deferred = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], ARGV[10]
local excerpt, next_id, next_ms, next_note = tonumber(ARGV[11]), ARGV[12], tonumber(ARGV[13]), ARGV[14]
if not attempts or not after_ms or not excerpt or not next_ms
    or (outcome ~= 'done' and outcome ~= 'dead' and outcome ~= 'again') then
    return redis.error_reply('job_settle: wrong arguments')
end
local known = redis.call('HMGET', meta, 'dr_token', 'dr_settled', 'dr_deferred_at')
if known[2] == token then
    return 1
end
if known[1] ~= token or not redis.call('ZSCORE', leases, id) then
    return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREM', leases, id)
redis.call('HINCRBY', stats, status, 1)

if outcome == 'again' then
    redis.call('ZADD', scheduled, string.format('%.3f', (now + after_ms) / 1000), id)
    redis.call('HDEL', meta, 'dr_token', 'dr_note')
    redis.call('HSET', meta, 'dr_settled', token, 'attempts', attempts, 'status', 'Queued', 'dr_last', receipt,
        'dr_ready_at', now + after_ms)
    if note ~= '' then
        redis.call('HSET', meta, 'dr_note', note)
    end
    if deferred ~= '1' then
        redis.call('HDEL', meta, 'dr_deferred_at')
    elseif not known[3] then
        redis.call('HSET', meta, 'dr_deferred_at', now)
    end
    return 1
end

if next_id ~= '' then
    redis.call('HSET', data, next_id, redis.call('HGET', data, id) or '')
    redis.call('HSET', follower, 'attempts', 0, 'status', 'Queued', 'dr_seen', next_id, 'dr_enqueued_at', now,
        'dr_ready_at', now + next_ms, 'dr_note', next_note)
    redis.call('ZADD', scheduled, string.format('%.3f', (now + next_ms) / 1000), next_id)
end
redis.call('HDEL', meta, 'dr_token', 'dr_note', 'dr_last', 'dr_reason', 'dr_deferred_at', 'dr_ready_at')
redis.call('HSET', meta, 'dr_settled', token, 'attempts', attempts, 'result', '{"Ok":' .. receipt .. '}',
    'status', outcome == 'done' and 'Done' or 'Failed')
if outcome == 'done' then
    redis.call('HSET', data, id, '')
    redis.call('ZADD', done, time[1], id)
else
    if excerpt > 0 then
        redis.call('HSET', data, id, string.sub(redis.call('HGET', data, id) or '', 1, excerpt))
    end
    local bytes = redis.call('HSTRLEN', data, id) + #receipt
    redis.call('HSET', meta, 'dr_bytes', bytes)
    redis.call('HINCRBY', stats, 'dead_bytes', bytes)
    redis.call('ZADD', dead, time[1], id)
end
if event ~= '' then
    redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', event)
end
redis.call('PUBLISH', settled, id)
return 1
