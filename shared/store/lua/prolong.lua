-- Renews a lock if the holder still has it. Returns 1, or 0 if it was lost.
-- KEYS: lock.  ARGV: holder, lease in ms
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
