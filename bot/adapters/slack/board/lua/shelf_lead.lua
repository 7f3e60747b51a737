#!lua
-- shelf_lead: take, keep or give back the lease of the board. Called by RedisShelf.lead and resign.
--
-- KEYS[1] leader  string  the replica that leads, with the time its lease ends
--
-- ARGV[1] replica
-- ARGV[2] for how long, in ms; 0 gives it back
--
-- Returns 1 when the lease is this replica's now, else 0. What is no lease is taken over: one that never ends, or later
-- than any of ours, or that is no string. No board wrote it, and nobody would say anything in Slack for as long.

local holder = redis.call('TYPE', KEYS[1])['ok'] == 'string' and redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  local left = redis.call('PTTL', KEYS[1])
  if ARGV[2] == '0' or (left >= 0 and left <= tonumber(ARGV[2])) then
    return 0
  end
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
