-- Forgets a diverted job that has ended, and whatever is left in its queue. Returns 1, or 0 where the job still needs it.
-- KEYS: job, diverted, queue.  ARGV: name, queue
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'diverted')
if job[1] == job[3] and (job[2] == 'enqueuing' or job[2] == 'sealed') then return 0 end
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('UNLINK', KEYS[3])
return 1
