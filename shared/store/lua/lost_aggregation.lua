-- Counts a lost aggregation that was requeued. Returns the count, or 0 if the job does not wait for an aggregation.
-- KEYS: job.  ARGV: uid
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
if job[1] ~= ARGV[1] or job[2] ~= 'sealed' then return 0 end
redis.call('HDEL', KEYS[1], '')  -- first: a server out of memory then accepts the other writes
return redis.call('HINCRBY', KEYS[1], 'lost_aggregations', 1)
