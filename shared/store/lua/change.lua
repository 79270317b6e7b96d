-- Sets a field of a job; never of another job, never of one that is gone.
-- KEYS: job.  ARGV: uid, field, value
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
redis.call('HDEL', KEYS[1], ARGV[2])  -- first, so that a full server takes the rest too
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
return 1
