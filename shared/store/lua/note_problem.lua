-- Records why a job has no results. Returns 1, or 0 if the uid differs, the job has ended or has a problem already, or
-- somebody has asked for the job again meanwhile.
-- KEYS: job.  ARGV: uid, problem, the number of lost aggregations when the caller read the job
local job = redis.call('HMGET', KEYS[1], 'uid', 'lost_aggregations', 'state', 'problem')
if job[1] ~= ARGV[1] or (job[2] or '0') ~= ARGV[3] then return 0 end
if job[4] or job[3] ~= 'enqueuing' and job[3] ~= 'sealed' then return 0 end
local t = redis.call('TIME')
redis.call('HDEL', KEYS[1], 'problem')  -- first: a server out of memory then accepts the other writes
redis.call('HSET', KEYS[1], 'problem', ARGV[2], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
redis.pcall('PUBLISH', KEYS[1], 'problem')
return 1
