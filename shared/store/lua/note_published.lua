-- Records that a job's results are published, and wakes the commands that wait for them. The report may still follow.
-- Returns 1, or 0 if the lease was lost or the uid differs.
-- KEYS: job, aggregation.  ARGV: uid, holder
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'published_ms')  -- first: a server out of memory then accepts the other writes
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'published_ms', now, 'updated_ms', now)
redis.pcall('PUBLISH', KEYS[1], 'published')  -- pcall: the user may lack the permission; clients also poll
return 1
