#!lua
-- dead_letter: a poison entry is set aside and acknowledged. Called by RedisStore.dead_letter.
--
-- KEYS[1] queue  stream  the inbox or the outbox it came from
-- KEYS[2] dead   stream  where it is kept for people
-- ARGV[1] consumer group; ARGV[2] entry id, or '' for what was refused at the door and never queued;
-- ARGV[3] "inbox" or "outbox"; ARGV[4] reason; ARGV[5] the raw bytes; ARGV[6] how many dead letters are kept
--
-- Returns 1, or 0 when the entry was acknowledged before (then nothing is written, so repeating it is harmless).

local queue_type = redis.call('TYPE', KEYS[1])['ok']
local refused = ARGV[2] == ''
local dead_type = redis.call('TYPE', KEYS[2])['ok']
if queue_type ~= 'stream' and not refused then
  return 0
end
if dead_type ~= 'none' and dead_type ~= 'stream' then
  return redis.error_reply('WRONGTYPE dead_letter: ' .. KEYS[2] .. ' is a ' .. dead_type .. ', not a stream')
end
if not (refused or string.match(ARGV[2], '^%d+%-%d+$')) or not tonumber(ARGV[6]) then
  return redis.error_reply('ERR dead_letter: arguments do not fit')
end

if not refused and redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'queue', ARGV[3], 'delivery', ARGV[2], 'reason', ARGV[4], 'raw', ARGV[5])
if not refused then
  redis.call('XDEL', KEYS[1], ARGV[2])
end
return 1
