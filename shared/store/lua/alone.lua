-- Records which image of a batch its holder runs in isolation, or (empty index) that none is.
-- Returns 1, or 0 if the holder does not have the lease.
-- KEYS: holders, alone.  ARGV: batch, holder, index
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])  -- first: a server out of memory then accepts the other writes
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
return 1
