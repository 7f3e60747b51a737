#!lua
-- append: entries into a shard's inbox, in order. Called by RedisStore.append.
--
-- KEYS[1] inbox         stream
-- KEYS[2] sequence      string  number of commits and appends
-- KEYS[3] acknowledged  hash    how many of them each replica asked for
-- ARGV[1] replica; then sealed entries
--
-- Returns both counts after this. All or nothing: everything is checked before the first write.

local kinds = {'stream', 'string', 'hash'}
for i = 1, 3 do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= kinds[i] and found ~= 'none' then
    return redis.error_reply('WRONGTYPE append: ' .. KEYS[i] .. ' is a ' .. found .. ', not a ' .. kinds[i])
  end
end
-- What INCR takes: `tonumber` also takes 0x10, 1.5 and a thousand nines, and INCR would then fail after the writes.
local function is_count(text)
  return string.match(text, '^%d+$') and #text < 19
end
if not is_count(redis.call('GET', KEYS[2]) or '0') or not is_count(redis.call('HGET', KEYS[3], ARGV[1]) or '0') then
  return redis.error_reply('WRONGTYPE append: a count of ' .. KEYS[2] .. ' is not a number')
end

for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], '*', 'e', ARGV[i])
end
return {redis.call('INCR', KEYS[2]), redis.call('HINCRBY', KEYS[3], ARGV[1], 1)}
