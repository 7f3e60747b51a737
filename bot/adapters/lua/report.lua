#!lua
-- report: an effect is done; its outcome goes into the inbox in the same breath. Called by RedisStore.report.
--
-- KEYS[1] inbox   stream  the outcome is appended
-- KEYS[2] outbox  stream  the effect is acknowledged and deleted
-- ARGV[1] consumer group; ARGV[2] the effect's entry id; ARGV[3] sealed outcome, or "" for none
--
-- The outcome is appended even when the effect was acknowledged before (a repeated report, or a second replica that
-- took the effect over): a truth is never dropped, and event ids make its repetition a no-op.
-- Returns how many deliveries this acknowledged: 1, or 0 when it was acknowledged before.

for i = 1, 2 do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= 'none' and found ~= 'stream' then
    return redis.error_reply('WRONGTYPE report: ' .. KEYS[i] .. ' is a ' .. found .. ', not a stream')
  end
end
if not string.match(ARGV[2], '^%d+%-%d+$') then
  return redis.error_reply('ERR report: not an entry id')
end

if ARGV[3] ~= '' then
  redis.call('XADD', KEYS[1], '*', 'e', ARGV[3])
end
local acknowledged = redis.call('XACK', KEYS[2], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[2], ARGV[2])
return acknowledged
