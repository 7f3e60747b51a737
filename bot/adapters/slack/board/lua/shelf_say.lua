#!lua
-- shelf_say: keep a line until it is said, once per message id. Called by RedisShelf.say.
--
-- KEYS[1] known  zset    ids of lines kept before, by the time (ms) they were kept
-- KEYS[2] lines  stream  lines that wait; field `e` = sealed line
--
-- ARGV[1] message id
-- ARGV[2] now (ms)
-- ARGV[3] ids kept before this time (ms) are forgotten
-- ARGV[4] how many lines may wait; past it the oldest go
-- ARGV[5] the sealed line
--
-- Returns 0 when it was kept before, else 1 and one more for each line that had to go. Checks everything before the first write.

local function demand(key, kind)
  local found = redis.call('TYPE', key)['ok']
  if found ~= kind and found ~= 'none' then
    error({err = 'WRONGTYPE shelf_say: ' .. key .. ' is a ' .. found .. ', not a ' .. kind})
  end
end
demand(KEYS[1], 'zset')
demand(KEYS[2], 'stream')

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
if redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'e', ARGV[5])
return 1 + redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[4])
