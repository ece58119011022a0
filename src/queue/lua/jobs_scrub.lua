#!lua flags=allow-oom
-- jobs_scrub: puts new texts in the place of payloads and receipts, where these are still the ones that were read.
--
-- KEYS[1]  data   hash  <q>:data   job -> payload
-- KEYS[2]  stats  hash  <q>:stats  field `dead_bytes`
-- KEYS[3]  meta   hash  <q>:meta:  prefix of every job's hash; fields `result`, `dr_last`, `dr_bytes`
-- ARGV[1…] seven for each of at most 100 jobs: job · payload · result · dr_last, each of the last three as what was read,
--          empty to leave it, and what takes its place
--
-- Returns  how many jobs were changed
-- Repeat   safe: what was replaced is another text by then
local data, stats, meta_prefix = KEYS[1], KEYS[2], KEYS[3]
local WIDTH, MOST = 7, 100
if #ARGV == 0 or #ARGV % WIDTH ~= 0 or #ARGV > WIDTH * MOST then
    return redis.error_reply('jobs_scrub: wrong arguments')
end
local scrubbed = 0

-- Says by how many bytes the text grew; nil when it was left as it is. A hash that is none is that job's affair: the others
-- are scrubbed.
local function replace(key, field, old, text)
    if old == '' or redis.pcall('HGET', key, field) ~= old then
        return nil
    end
    redis.call('HSET', key, field, text)
    return #text - #old
end

for at = 1, #ARGV, WIDTH do
    local id = ARGV[at]
    local meta = meta_prefix .. id
    local payload = replace(data, id, ARGV[at + 1], ARGV[at + 2])
    local result = replace(meta, 'result', ARGV[at + 3], ARGV[at + 4])
    local last = replace(meta, 'dr_last', ARGV[at + 5], ARGV[at + 6])
    if payload or result or last then
        scrubbed = scrubbed + 1
        -- Of a dead job alone: what it weighs.
        local bytes = tonumber(redis.pcall('HGET', meta, 'dr_bytes') or '')
        if bytes then
            local grown = (payload or 0) + (result or 0)
            redis.call('HINCRBY', stats, 'dead_bytes', grown)
            redis.call('HSET', meta, 'dr_bytes', bytes + grown)
        end
    end
end
return scrubbed
