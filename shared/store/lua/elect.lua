-- Acquires a lock that nobody has, or renews the caller's own. Returns 1, or 0 if another holder has it.
-- A lock with more than ten of the caller's leases left is from before the server's clock was set back. It counts as
-- expired.
-- KEYS: lock.  ARGV: holder, lease in ms
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) <= 10 * ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])  -- first: a server out of memory then accepts the other writes
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
