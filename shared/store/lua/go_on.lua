-- Restarts a job's stall timer, and allows a failed aggregation to be retried. Returns 1, or 0 if the uid differs.
-- KEYS: job.  ARGV: uid
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
-- First: a server out of memory then accepts the other write.
redis.call('HDEL', KEYS[1], 'problem', 'lost_aggregations', 'published_ms')
redis.call('HSET', KEYS[1], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
return 1
