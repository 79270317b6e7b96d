-- Prolongs a lease that its holder still has. Returns 1, or 0 where it has lost it.
-- KEYS: leases, holders.  ARGV: batch, holder, lease in ms
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
redis.call('ZREM', KEYS[1], '')  -- first, so that a full server takes the rest too
redis.call('ZADD', KEYS[1], 'XX', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3], ARGV[1])
return 1
