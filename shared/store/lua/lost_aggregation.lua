-- Counts an aggregation that was lost and sent again. Returns how many there were, or 0 where the job waits for none.
-- KEYS: job.  ARGV: uid
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
if job[1] ~= ARGV[1] or job[2] ~= 'sealed' then return 0 end
redis.call('HDEL', KEYS[1], '')  -- first, so that a full server takes the rest too
return redis.call('HINCRBY', KEYS[1], 'lost_aggregations', 1)
