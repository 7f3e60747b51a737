#!lua
-- claim_due: due timers become inbox entries. Called by RedisStore.claim_due, which has read the due members and
-- sealed an entry for each; a script cannot seal. A timer that another replica has claimed meanwhile, or that a commit
-- has taken away or put off, is left alone.
--
-- KEYS[1] inbox   stream  one TimerFired a timer
-- KEYS[2] timers  zset    claimed members are removed
-- ARGV[1] now (ms); then member, sealed entry for each timer
--
-- Returns how many were claimed.

local now = tonumber(ARGV[1])
local kinds = {'stream', 'zset'}
for i = 1, 2 do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= 'none' and found ~= kinds[i] then
    return redis.error_reply('WRONGTYPE claim_due: ' .. KEYS[i] .. ' is a ' .. found .. ', not a ' .. kinds[i])
  end
end
if not now or #ARGV % 2 ~= 1 then
  return redis.error_reply('ERR claim_due: arguments are now, then pairs of member and entry')
end

local claimed = 0
for i = 2, #ARGV, 2 do
  local due = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if due and tonumber(due) <= now then
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('XADD', KEYS[1], '*', 'e', ARGV[i + 1])
    claimed = claimed + 1
  end
end
return claimed
