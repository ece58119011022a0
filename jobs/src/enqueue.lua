#!lua
-- enqueue: puts jobs into one queue, each at most once. Without allow-oom: a full Redis refuses new jobs, and only those.
--
-- KEYS[1]   data       hash    <q>:data             job -> payload
-- KEYS[2]   meta       prefix  <q>:meta:<job>       hash of what is known of a job
-- KEYS[3]   active     list    <q>:active           ready jobs, the head is next
-- KEYS[4]   scheduled  zset    <q>:scheduled        job -> due, unix s
-- KEYS[5]   wake       chan    {ns}:wake            told the name of the queue when it was empty
-- KEYS[6..] holder     string  <q>:idempotency:<k>  job that holds the key; one for each job that has one, in their order
-- ARGV[1]   queue      name of the queue
-- ARGV[2]   ttl_ms     life of an idempotency key
-- ARGV[3]   ahead_ms   how far ahead a job may be due
-- ARGV[4..] five for each of at most 100 jobs: job · payload · max_attempts · run_at_ms or '' · idempotency key or ''
--
-- Returns  for each job {answer, job}: 0 was there already · 1 pushed · 2 the key's holder has this payload (job: the holder)
--          3 the key's holder has another payload (job: the holder) · 4 due too far ahead
-- Repeat   safe: a job that is known, waiting or settled, is left as it is

local data, meta, active, scheduled, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local queue, ttl_ms, ahead_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST, WIDTH, MOST = 4, 5, 100

local jobs = (#ARGV - FIRST + 1) / WIDTH
if not ttl_ms or not ahead_ms or jobs ~= math.floor(jobs) or jobs > MOST then
  return redis.error_reply('ERR enqueue takes at most 100 jobs of five arguments')
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
-- Redis takes twenty times as long to write a number as to take a text.
local now_text = string.format('%.0f', now_ms)
local was_empty = redis.call('LLEN', active) == 0
local next_holder = 6
local answers = {}
-- What is written once for all of them.
local payloads, ready = {}, {}
-- Jobs that this call has pushed: their payloads are not there yet.
local pushed = {}

local ids, metas = {}, {}
for at = FIRST, #ARGV, WIDTH do
  ids[#ids + 1] = ARGV[at]
  metas[#metas + 1] = meta .. ARGV[at]
end
-- Most calls bring new jobs: two questions for all of them. A payload that is there without its hash came by hand.
local all_new = #ids > 0 and redis.call('EXISTS', unpack(metas)) == 0
for _, payload in ipairs(all_new and redis.call('HMGET', data, unpack(ids)) or {}) do
  all_new = all_new and not payload
end

local function known(job)
  return pushed[job] or redis.call('HEXISTS', data, job) == 1 or redis.call('EXISTS', meta .. job) == 1
end

local function same_payload(job, payload)
  local digest = redis.call('HGET', meta .. job, 'dr_payload_sha1')
  if digest then
    return digest == redis.sha1hex(payload)
  end
  local kept = redis.call('HGET', data, job)
  return not kept or kept == '' or kept == payload
end

local function push(job, hash, payload, max_attempts, run_at_ms, key, holder)
  pushed[job] = true
  payloads[#payloads + 1], payloads[#payloads + 2] = job, payload
  redis.call('HSET', hash, 'attempts', '0', 'max_attempts', max_attempts, 'status', 'Pending',
    'dr_seen', job, 'dr_enqueued_at', now_text)
  if holder then
    redis.call('HSET', hash, 'idempotency_key', key, 'dr_payload_sha1', redis.sha1hex(payload))
    redis.call('SET', holder, job, 'PX', ttl_ms)
  end
  if run_at_ms and run_at_ms > now_ms then
    redis.call('ZADD', scheduled, string.format('%.3f', run_at_ms / 1000), job)
    redis.call('HSET', hash, 'dr_ready_at', string.format('%.0f', run_at_ms))
  else
    ready[#ready + 1] = job
  end
end

for i, job in ipairs(ids) do
  local at = FIRST + (i - 1) * WIDTH
  local payload, max_attempts = ARGV[at + 1], ARGV[at + 2]
  local run_at_ms, key = tonumber(ARGV[at + 3]), ARGV[at + 4]
  local holder, held_by
  if key ~= '' then
    holder = KEYS[next_holder]
    next_holder = next_holder + 1
    held_by = redis.call('GET', holder)
    if held_by and not known(held_by) then
      -- The job was forgotten before its key: nobody could say what it was, and nobody will run it.
      held_by = nil
    end
  end

  local answer
  if held_by then
    answer = { same_payload(held_by, payload) and 2 or 3, held_by }
  elseif run_at_ms and run_at_ms > now_ms + ahead_ms then
    answer = { known(job) and 0 or 4, job }
  elseif pushed[job] or not all_new and known(job) then
    answer = { 0, job }
  else
    push(job, metas[i], payload, max_attempts, run_at_ms, key, holder)
    answer = { 1, job }
  end
  answers[#answers + 1] = answer
end

if #payloads > 0 then
  redis.call('HSET', data, unpack(payloads))
end
if #ready > 0 then
  redis.call('RPUSH', active, unpack(ready))
  if was_empty then
    redis.call('PUBLISH', wake, queue)
  end
end
return answers
