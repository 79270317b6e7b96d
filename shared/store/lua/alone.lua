-- Notes which image of a batch its holder runs alone, or (with an empty index) that none is. Returns 1, or 0 without the lease.
-- KEYS: holders, alone.  ARGV: batch, holder, index
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])  -- first, so that a full server takes the rest too
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
return 1
