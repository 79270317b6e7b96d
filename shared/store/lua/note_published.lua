-- Notes that a job's results are in their place, and wakes whoever waits for them. The report is still to be written. Returns 1,
-- or 0 where the claim was lost, or the job is another one.
-- KEYS: job, aggregation.  ARGV: uid, holder
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'published_ms')  -- first, so that a full server takes the rest too
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'published_ms', now, 'updated_ms', now)
redis.pcall('PUBLISH', KEYS[1], 'published')  -- pcall: a user may have no right to it, and who waits looks by itself too
return 1
