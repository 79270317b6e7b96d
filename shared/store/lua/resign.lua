-- Gives a lock back that its holder still has. Returns 1, or 0 where it was lost.
-- KEYS: lock.  ARGV: holder
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
