-- Records why a worker cannot compute a sealed job's tiles, or cannot aggregate it. Returns 1, or 0 if the uid or the state differs.
-- KEYS: job.  ARGV: uid, reason
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
if job[1] ~= ARGV[1] or job[2] ~= 'sealed' then return 0 end
redis.call('HDEL', KEYS[1], 'refusal')  -- first: a server out of memory then accepts the other write
redis.call('HSET', KEYS[1], 'refusal', ARGV[2])
return 1
