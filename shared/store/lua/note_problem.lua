-- Says why a job has no results. Returns 1, or 0 where it is another job, has ended, was asked for anew meanwhile, or has a
-- problem already.
-- KEYS: job.  ARGV: uid, problem, how often its aggregation was lost when the caller read it
local job = redis.call('HMGET', KEYS[1], 'uid', 'lost_aggregations', 'state', 'problem')
if job[1] ~= ARGV[1] or (job[2] or '0') ~= ARGV[3] then return 0 end
if job[4] or job[3] ~= 'enqueuing' and job[3] ~= 'sealed' then return 0 end
local t = redis.call('TIME')
redis.call('HDEL', KEYS[1], 'problem')  -- first, so that a full server takes the rest too
redis.call('HSET', KEYS[1], 'problem', ARGV[2], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
redis.pcall('PUBLISH', KEYS[1], 'problem')
return 1
