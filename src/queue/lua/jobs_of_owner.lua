#!lua flags=allow-oom
-- jobs_of_owner: finds jobs of one queue that are, or may be, of an owner: by the payload, and once that is empty by what
-- the settlement noted. One whose hash was overwritten is left out: nobody knows when it came.
--
-- KEYS[1]  data  hash  <q>:data   job -> payload
-- KEYS[2]  meta  hash  <q>:meta:  prefix of every job's hash; field `dr_owner`
-- ARGV[1]  cursor  of the scan; 0 begins
-- ARGV[2]  count   some jobs a call, at most 500
-- ARGV[3]  field   of the payload that names the owner
-- ARGV[4]  id      of the owner
-- ARGV[5]  owner   prefix of the owner's objects
--
-- Returns  {cursor of the next call, 0 after the last; bytes of payloads that were looked through; jobs…}
-- Repeat   safe: changes nothing
local data, meta_prefix, cursor, count, field = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local owner_id, owner = ARGV[4], ARGV[5]
if not cursor or not count or count < 1 or count > 500 or not owner then
    return redis.error_reply('jobs_of_owner: wrong arguments')
end
local names = '"' .. field .. '"%s*:%s*"?' .. string.gsub(owner_id, '%-', '%%-') .. '"?%s*[,}]'
local page = redis.call('HSCAN', data, cursor, 'COUNT', count)
local answer, bytes = { page[1], 0 }, 0
for i = 1, #page[2], 2 do
    local id, payload = page[2][i], page[2][i + 1]
    bytes = bytes + #payload
    local is_of_owner
    if payload == '' then
        -- A stranger's hash may be no hash.
        is_of_owner = redis.pcall('HGET', meta_prefix .. id, 'dr_owner') == owner
    else
        is_of_owner = string.find(payload, names) and type(redis.pcall('HLEN', meta_prefix .. id)) == 'number'
    end
    if is_of_owner then
        answer[#answer + 1] = id
    end
end
answer[2] = string.format('%.0f', bytes)
return answer
