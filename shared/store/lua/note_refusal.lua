-- Records why a worker cannot compute a sealed job's tiles, or cannot aggregate it. Returns 1, or 0 if the uid or the state differs.
-- KEYS: job, refusals.  ARGV: uid, worker, reason
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
if job[1] ~= ARGV[1] or job[2] ~= 'sealed' then return 0 end
redis.call('HDEL', KEYS[1], 'refusal')  -- first: a server out of memory then accepts the other writes
redis.call('HSET', KEYS[1], 'refusal', ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], '0 ' .. ARGV[3])  -- as in `divert`
return 1
