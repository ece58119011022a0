#!lua flags=allow-oom
-- jobs_settle: ends deliveries of one queue: of each the job's status, its receipt, its event and what follows it, or none.
--
-- KEYS[1]  leases     zset    <q>:leases      job -> end of its lease, unix ms
-- KEYS[2]  data       hash    <q>:data        job -> payload
-- KEYS[3]  meta       hash    <q>:meta:       prefix of every job's hash
-- KEYS[4]  scheduled  zset    <q>:scheduled   job -> due, unix s
-- KEYS[5]  done       zset    <q>:done
-- KEYS[6]  dead       zset    <q>:dead
-- KEYS[7]  stats      hash    <q>:stats       totals by outcome, `dead_bytes`
-- KEYS[8]  events     stream  {ns}:events
-- KEYS[9]  settled    chan    {ns}:settled    told the id of a job that is final
-- ARGV[1…] nine for each of at most 100 deliveries:
--          job
--          token
--          outcome    done · dead · again
--          status     word of the receipt, counted in stats
--          receipt    JSON; a final one as `{"Ok":…}`
--          event      JSON, or empty
--          attempts   counted so far
--          more       JSON, or empty: `after_ms`, `note`, `deferred` (ours to wait: starts or goes on with the time that
--                     deferrals may take in all) of `again`; `excerpt` of `dead` (bytes of the payload that are kept);
--                     `next` of `done`, the job that follows with the same payload: `id`, `after_ms`, `note`; without a
--                     note `again` leaves the one that there is
--          owner      of `done` and `dead`: prefix of the owner's objects, or empty
--
-- Returns  for each 1 settled · 0 this delivery holds the job no longer
-- Repeat   safe: answers 1 and changes nothing
local leases, data, meta_prefix, scheduled, done, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local stats, events, settled = KEYS[7], KEYS[8], KEYS[9]
local TOKEN, OUTCOME, WORD, RECEIPT, EVENT, ATTEMPTS, MORE, OWNER = 1, 2, 3, 4, 5, 6, 7, 8
local WIDTH, MOST = 9, 100
local STATUS = { again = 'Queued', done = 'Done', dead = 'Failed' }

-- A delivery that says nothing more.
local NONE = {}

local ids, metas, mores = {}, {}, {}
for at = 1, #ARGV, WIDTH do
    local outcome, attempts, more, owner = ARGV[at + OUTCOME], ARGV[at + ATTEMPTS], ARGV[at + MORE], ARGV[at + OWNER]
    local is_json, parts = true, NONE
    if more and more ~= '' then
        is_json, parts = pcall(cjson.decode, more)
    end
    if not owner or not STATUS[outcome] or not tonumber(attempts) or not is_json
        or (outcome == 'again' and not tonumber(parts.after_ms)) then
        return redis.error_reply('jobs_settle: wrong arguments')
    end
    local i = #ids + 1
    ids[i], metas[i], mores[i] = ARGV[at], meta_prefix .. ARGV[at], parts
end
if #ids < 1 or #ids > MOST then
    return redis.error_reply('jobs_settle: wrong arguments')
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- What is written once for all of them.
local ended, emptied, finished, counts, has_event = {}, {}, {}, {}, false

local function schedule(id, after_ms)
    redis.call('ZADD', scheduled, string.format('%.3f', (now + after_ms) / 1000), id)
    return string.format('%.0f', now + after_ms)
end

local function again(at, id, meta, more)
    local due = schedule(id, more.after_ms)
    redis.call('HSET', meta, 'dr_token', '', 'dr_settled', ARGV[at + TOKEN], 'attempts', ARGV[at + ATTEMPTS],
        'status', STATUS.again, 'dr_last', ARGV[at + RECEIPT], 'dr_ready_at', due)
    if more.note then
        redis.call('HSET', meta, 'dr_note', more.note)
    end
    -- Deferrals have their time in all, whatever comes between them.
    if more.deferred then
        redis.call('HSETNX', meta, 'dr_deferred_at', string.format('%.0f', now))
    end
end

local function follow(id, follower)
    local due, meta = schedule(follower.id, follower.after_ms), meta_prefix .. follower.id
    redis.call('HSET', data, follower.id, redis.call('HGET', data, id) or '')
    redis.call('HSET', meta, 'attempts', '0', 'status', 'Queued', 'dr_seen', follower.id,
        'dr_enqueued_at', string.format('%.0f', now), 'dr_ready_at', due, 'dr_note', follower.note)
end

local function bury(at, id, meta, more)
    if more.excerpt then
        redis.call('HSET', data, id, string.sub(redis.call('HGET', data, id) or '', 1, more.excerpt))
    end
    local bytes = redis.call('HSTRLEN', data, id) + #ARGV[at + RECEIPT] - #'{"Ok":}'
    redis.call('HSET', meta, 'dr_bytes', bytes)
    redis.call('HINCRBY', stats, 'dead_bytes', bytes)
    redis.call('ZADD', dead, time[1], id)
end

-- `retried`: whether this delivery or an earlier one may have left something.
local function finish(at, id, meta, more, retried)
    if more.next then
        follow(id, more.next)
    end
    if retried then
        redis.call('HDEL', meta, 'dr_note', 'dr_last', 'dr_reason', 'dr_deferred_at', 'dr_ready_at')
    end
    local outcome, event = ARGV[at + OUTCOME], ARGV[at + EVENT]
    -- A token that is empty is nobody's; to take the field away costs a call more.
    redis.call('HSET', meta, 'dr_token', '', 'dr_settled', ARGV[at + TOKEN], 'attempts', ARGV[at + ATTEMPTS],
        'result', ARGV[at + RECEIPT], 'status', STATUS[outcome], 'dr_owner', ARGV[at + OWNER])
    if outcome == 'done' then
        emptied[#emptied + 1], emptied[#emptied + 2] = id, ''
        finished[#finished + 1], finished[#finished + 2] = time[1], id
    else
        bury(at, id, meta, more)
    end
    if event ~= '' then
        redis.call('XADD', events, '*', 'event', event)
        has_event = true
    end
    redis.call('PUBLISH', settled, id)
end

-- All are looked at before the first is written: a hash that is none must not leave the others half settled.
local held, known, answer, mine = redis.call('ZMSCORE', leases, unpack(ids)), {}, {}, {}
for i, id in ipairs(ids) do
    local at = (i - 1) * WIDTH + 1
    local token, status = ARGV[at + TOKEN], ARGV[at + WORD]
    known[i] = redis.pcall('HMGET', metas[i], 'dr_token', 'dr_ready_at', 'dr_note')
    local is_mine = known[i][1] == token and held[i]
    answer[i] = (is_mine or redis.pcall('HGET', metas[i], 'dr_settled') == token) and 1 or 0
    if is_mine and not mine[id] then
        mine[id] = i
        ended[#ended + 1] = id
        counts[status] = (counts[status] or 0) + 1
    end
end

for i, id in ipairs(ids) do
    local at = (i - 1) * WIDTH + 1
    if mine[id] == i then
        if ARGV[at + OUTCOME] == 'again' then
            again(at, id, metas[i], mores[i])
        else
            -- Whoever was put off has a time at which it was ready.
            finish(at, id, metas[i], mores[i], known[i][2] or known[i][3])
        end
    end
end

if #ended > 0 then
    redis.call('ZREM', leases, unpack(ended))
end
if #emptied > 0 then
    redis.call('HSET', data, unpack(emptied))
    redis.call('ZADD', done, unpack(finished))
end
if has_event then
    redis.call('XTRIM', events, 'MAXLEN', '~', '10000')
end
for status, count in pairs(counts) do
    redis.call('HINCRBY', stats, status, count)
end
return answer
