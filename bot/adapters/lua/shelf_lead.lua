#!lua
-- shelf_lead: take, keep or give back the lease of the board. Called by RedisShelf.lead and resign.
--
-- KEYS[1] leader  string  the replica that leads, with the time its lease ends
--
-- ARGV[1] replica
-- ARGV[2] for how long, in ms; 0 gives it back
--
-- Returns 1 when the lease is this replica's now, else 0.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
