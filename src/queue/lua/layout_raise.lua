#!lua flags=allow-oom
-- layout_raise: says which layout the keys have, and raises the number to that of a newer release.
--
-- KEYS[1]  layout  str  {ns}:layout  version of the layout
-- ARGV[1]  known   newest layout that the caller understands
--
-- Returns  the layout now; above `known` the caller must leave the keys alone
-- Repeat   safe: a number is never lowered
local layout, known = KEYS[1], tonumber(ARGV[1])
if not known then
    return redis.error_reply('layout_raise: wrong arguments')
end
local found = tonumber(redis.call('GET', layout) or '') or 0
if found < known then
    redis.call('SET', layout, string.format('%d', known))
end
return math.max(found, known)
