-- Ends a lease early. Returns 1, or 0 if it was already lost.
-- KEYS: leases, holders.  ARGV: batch, holder
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
