-- Says that a replica is alive; answers how many are, and how many of them come before it by name.
-- KEYS: the replicas by when they were seen. ARGV: the replica, after how many microseconds one is dead.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2])))
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('PEXPIRE', KEYS[1], 3600000)
local before = 0
local all = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, name in ipairs(all) do
  if name < ARGV[1] then
    before = before + 1
  end
end
return { #all, before }
