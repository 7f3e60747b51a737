#!lua
-- shelf_put: keep where a message stands, provided nobody else did since it was read. Called by RedisShelf.put.
--
-- KEYS[1] places  hash  a message's name -> its revision, a space, and the sealed place
--
-- ARGV[1] the name
-- ARGV[2] the revision it had when it was read; 0: it was not there
-- ARGV[3] what is to stand there
--
-- Returns 1 when it is kept, 0 when somebody was faster. What has no readable revision counts as revision 0.

local kept = redis.call('HGET', KEYS[1], ARGV[1])
local revision = kept and string.match(kept, '^(%d+) ') or '0'
if revision ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
