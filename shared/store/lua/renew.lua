-- Renews a lease if the holder still has it. Returns 1, or 0 if it was lost.
-- KEYS: leases, holders.  ARGV: batch, holder, lease in ms
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
redis.call('ZREM', KEYS[1], '')  -- first: a server out of memory then accepts the other writes
redis.call('ZADD', KEYS[1], 'XX', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3], ARGV[1])
return 1
