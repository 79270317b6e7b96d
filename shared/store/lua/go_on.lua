-- Somebody wants this job: its time begins anew, and its results are tried again. Never another job, never one that is gone.
-- KEYS: job.  ARGV: uid
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
redis.call('HDEL', KEYS[1], 'problem', 'lost_aggregations', 'published_ms')  -- first, so that a full server takes the rest too
redis.call('HSET', KEYS[1], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
return 1
