-- Gives a lock that nobody has to the caller, or prolongs the caller's own. Returns 1, or 0 where another one has it.
-- KEYS: lock.  ARGV: holder, lease in ms
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])  -- first, so that a full server takes the rest too
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
