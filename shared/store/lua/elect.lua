-- Acquires a lock that nobody has, or renews the caller's own. Returns 1, or 0 if another holder has it.
-- A lock that is left for twice as long as its holder's lease (or the caller's, if that is longer) is from before the
-- server's clock was set back. It counts as expired.
-- KEYS: lock, length of its holder's lease.  ARGV: holder, lease in ms
local holder = redis.call('GET', KEYS[1])
local longest = math.max(tonumber(redis.call('GET', KEYS[2])) or 0, tonumber(ARGV[2]))
if holder and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) <= 2 * longest then return 0 end
redis.call('DEL', KEYS[1])  -- first: a server out of memory then accepts the other writes
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[2])
return 1
