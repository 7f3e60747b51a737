#!lua
-- retire: one closed incident leaves the store, all or nothing. Called by RedisStore.retire once it is archived.
--
-- KEYS[1] record      hash    the incident's record
-- KEYS[2] audit       list    its audit chain
-- KEYS[3] incidents   zset    incident ids by opening time
-- KEYS[4] open        zset    the same, only those not closed; an incident listed here stays
-- KEYS[5] aggregates  set     ids of all aggregates
-- KEYS[6] retired     string  number of incidents that have left, for comparison with the archive
--
-- ARGV[1] incident id
-- ARGV[2] version that was archived; a record of any other stays
--
-- The incident's key goes on pointing at it: the same firing, told again, must not get the same incident id anew.
-- Returns 1 when it is gone because of this call, 0 when it stays or was gone before.
-- Checks everything before the first write: a script that fails midway keeps what it wrote.

local id = ARGV[1]

local function demand(key, kind)
  local found = redis.call('TYPE', key)['ok']
  if found ~= kind and found ~= 'none' then
    error({err = 'WRONGTYPE retire: ' .. key .. ' is a ' .. found .. ', not a ' .. kind})
  end
end
demand(KEYS[2], 'list')
demand(KEYS[5], 'set')
local version = redis.call('HGET', KEYS[1], 'ver')
local listed = redis.call('ZSCORE', KEYS[3], id)
local open = redis.call('ZSCORE', KEYS[4], id)
local retired = redis.call('GET', KEYS[6]) or '0'
if not string.match(retired, '^%d+$') or #retired > 18 then -- INCR would fail after the writes
  return redis.error_reply('WRONGTYPE retire: ' .. KEYS[6] .. ' is not a number')
end
if version ~= ARGV[2] or not listed or open then
  return 0
end

redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], id)
redis.call('SREM', KEYS[5], id)
redis.call('INCR', KEYS[6])
return 1
