#!lua
-- commit: one transition of a shard, all or nothing. Called by RedisStore.commit.
--
-- KEYS[1] inbox       stream  finished entries are acknowledged and deleted
-- KEYS[2] outbox      stream  effects are appended; finished ones acknowledged and deleted
-- KEYS[3] timers      zset    due time by <aggregate>|<name>|<token>
-- KEYS[4] keys        hash    incident key -> sealed incident id
-- KEYS[5] aggregates  set     ids of all aggregates
-- KEYS[6] incidents   zset    incident ids by opening time
-- KEYS[7] open        zset    the same, only those not closed
-- KEYS[8] sequence    string  number of commits and appends
-- KEYS[9] acknowledged  hash  how many of them each replica asked for
-- KEYS[10], KEYS[11]  hash, list   record and audit chain of the first change; then of the second, …
-- then                hash    the record of each aggregate that was only seen
--
-- ARGV[1] consumer group; ARGV[2] replica; ARGV[3] how many of its writes were acknowledged to it; ARGV[4..12] how many of each of the following there are, in this order:
--   change       id, expected version, expected audit head, new version, audit head, sealed record, audit link, index,
--                opening time
--                (index: "-" nothing to list, "o" newly open, "c" closed, "b" nothing to list and a bounded chain)
--   claim        incident key, sealed id it must point at now ("" = at nothing), sealed id it points at afterwards
--   timer away   member
--   timer set    due, member
--   effect       sealed effect
--   inbox ack    entry id
--   outbox ack   entry id
--   seen         id, version it was read at (0: not there), audit head it was read with
--   pointer      incident key, sealed id it was seen to point at ("" = at nothing)
--
-- Returns both counts and 1 if anything was written (0: not, and nothing was counted; -1: refused, for this store has
-- forgotten writes of this replica, so its entry ids may stand for other entries by now), or a list of the aggregate ids
-- and incident keys that have changed meanwhile.
-- Reads and checks everything before the first write: a script that fails midway keeps what it wrote.

local KEPT_LINKS = 2000 -- of a bounded chain; bot/core/audit.py
local CHUNK = 1000 -- values handed to one command; Lua's unpack takes about 7,000
local group, replica = ARGV[1], ARGV[2]
local n = {}
for i = 4, 12 do
  n[#n + 1] = tonumber(ARGV[i])
end
local changes_at = 13
local claims_at = changes_at + 9 * n[1]
local away_at = claims_at + 3 * n[2]
local set_at = away_at + n[3]
local effects_at = set_at + 2 * n[4]
local inbox_at = effects_at + n[5]
local outbox_at = inbox_at + n[6]
local seen_at = outbox_at + n[7]
local pointers_at = seen_at + 3 * n[8]
local seen_keys_at = 10 + 2 * n[1]
if #ARGV ~= pointers_at + 2 * n[9] - 1 or #KEYS ~= seen_keys_at + n[8] - 1 then
  return redis.error_reply('ERR commit: ' .. #KEYS .. ' keys and ' .. #ARGV .. ' arguments do not fit the counts')
end

-- Check ---------------------------------------------------------------------------------------------------------

-- A key of another type would make a write fail midway. Reading a hash, or the sequence, checks it by itself.
local function demand(key, kind)
  local found = redis.call('TYPE', key)['ok']
  if found ~= kind and found ~= 'none' then
    error({err = 'WRONGTYPE commit: ' .. key .. ' is a ' .. found .. ', not a ' .. kind})
  end
end
local lists_incidents, adds_aggregate = false, false
for i = 0, n[1] - 1 do
  local at = changes_at + 9 * i
  lists_incidents = lists_incidents or ARGV[at + 7] == 'o' or ARGV[at + 7] == 'c'
  adds_aggregate = adds_aggregate or ARGV[at + 1] == '0'
  demand(KEYS[11 + 2 * i], 'list')
end
if n[6] > 0 then demand(KEYS[1], 'stream') end
if n[5] + n[7] > 0 then demand(KEYS[2], 'stream') end
if n[3] + n[4] > 0 then demand(KEYS[3], 'zset') end
if adds_aggregate then demand(KEYS[5], 'set') end
if lists_incidents then
  demand(KEYS[6], 'zset')
  demand(KEYS[7], 'zset')
end

local sequence = redis.call('GET', KEYS[8]) or '0'
local own = redis.call('HGET', KEYS[9], replica) or '0'
-- What INCR takes: `tonumber` also takes 0x10, 1.5 and a thousand nines, and INCR would then fail after the writes.
local function is_count(text)
  return string.match(text, '^%d+$') and #text < 19
end
if not is_count(sequence) or not is_count(own) then
  return redis.error_reply('WRONGTYPE commit: a count of ' .. KEYS[8] .. ' is not a number')
end
if tonumber(own) < tonumber(ARGV[3]) then
  return {tonumber(sequence), tonumber(own), -1}
end

local stale = {}
for i = 0, n[1] - 1 do
  local at = changes_at + 9 * i
  -- The head too: after a failover that lost commits, another history may have reached the same version.
  local stored = redis.call('HMGET', KEYS[10 + 2 * i], 'ver', 'head')
  if (stored[1] or '0') ~= ARGV[at + 1] or (stored[2] or '') ~= ARGV[at + 2] then
    stale[#stale + 1] = ARGV[at]
  end
end
for i = 0, n[2] - 1 do
  local at = claims_at + 3 * i
  local points_at = redis.call('HGET', KEYS[4], ARGV[at]) or ''
  if points_at ~= ARGV[at + 1] then
    stale[#stale + 1] = ARGV[at]
  end
end
for i = 0, n[8] - 1 do
  local at = seen_at + 3 * i
  local stored = redis.call('HMGET', KEYS[seen_keys_at + i], 'ver', 'head')
  if (stored[1] or '0') ~= ARGV[at + 1] or (stored[2] or '') ~= ARGV[at + 2] then
    stale[#stale + 1] = ARGV[at]
  end
end
for i = 0, n[9] - 1 do
  local at = pointers_at + 2 * i
  if (redis.call('HGET', KEYS[4], ARGV[at]) or '') ~= ARGV[at + 1] then
    stale[#stale + 1] = ARGV[at]
  end
end
if #stale > 0 then
  return stale
end
for i = 0, n[4] - 1 do
  if not tonumber(ARGV[set_at + 2 * i]) then
    return redis.error_reply('ERR commit: a due time is not a number')
  end
end

if n[1] + n[2] + n[5] + n[6] + n[7] == 0 then
  return {tonumber(sequence), tonumber(own), 0}
end

-- Write ---------------------------------------------------------------------------------------------------------

local function in_chunks(first, count, write)
  local from, last = first, first + count - 1
  while from <= last do
    local to = math.min(from + CHUNK - 1, last)
    write(from, to)
    from = to + 1
  end
end

for i = 0, n[1] - 1 do
  local at = changes_at + 9 * i
  local id, index, opened = ARGV[at], ARGV[at + 7], ARGV[at + 8]
  redis.call('HSET', KEYS[10 + 2 * i], 'ver', ARGV[at + 3], 'head', ARGV[at + 4], 'rec', ARGV[at + 5])
  redis.call('RPUSH', KEYS[11 + 2 * i], ARGV[at + 6])
  if ARGV[at + 1] == '0' then
    redis.call('SADD', KEYS[5], id)
  end
  if index == 'b' then
    redis.call('LTRIM', KEYS[11 + 2 * i], -KEPT_LINKS, -1)
  elseif index ~= '-' then
    redis.call('ZADD', KEYS[6], opened, id)
    if index == 'o' then
      redis.call('ZADD', KEYS[7], opened, id)
    else
      redis.call('ZREM', KEYS[7], id)
    end
  end
end
for i = 0, n[2] - 1 do
  local at = claims_at + 3 * i
  redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 2])
end
in_chunks(away_at, n[3], function(from, to)
  redis.call('ZREM', KEYS[3], unpack(ARGV, from, to))
end)
in_chunks(set_at, 2 * n[4], function(from, to)
  redis.call('ZADD', KEYS[3], unpack(ARGV, from, to))
end)
for i = effects_at, effects_at + n[5] - 1 do
  redis.call('XADD', KEYS[2], '*', 'e', ARGV[i])
end
in_chunks(inbox_at, n[6], function(from, to)
  redis.call('XACK', KEYS[1], group, unpack(ARGV, from, to))
  redis.call('XDEL', KEYS[1], unpack(ARGV, from, to))
end)
in_chunks(outbox_at, n[7], function(from, to)
  redis.call('XACK', KEYS[2], group, unpack(ARGV, from, to))
  redis.call('XDEL', KEYS[2], unpack(ARGV, from, to))
end)
return {redis.call('INCR', KEYS[8]), redis.call('HINCRBY', KEYS[9], replica, 1), 1}
