#!lua
-- append: entries into a shard's inbox, in order. Called by RedisStore.append.
--
-- KEYS[1] inbox  stream
-- ARGV    sealed entries
--
-- Returns how many were appended. All of them or none: a script runs as one transaction of the append-only file.

for i = 1, #ARGV do
  redis.call('XADD', KEYS[1], '*', 'e', ARGV[i])
end
return #ARGV
