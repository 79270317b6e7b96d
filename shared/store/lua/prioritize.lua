-- Sets the priority of an unfinished job, and takes its turn away: `queue_up` gives it one among its new neighbors.
-- Returns 'changed', 'same', or why not.
-- KEYS: job, turns, ...  ARGV: uid, name, priority
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'priority')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] ~= 'enqueuing' and job[2] ~= 'sealed' then return job[2] end
if (job[3] or 'normal') == ARGV[3] then return 'same' end
redis.call('HDEL', KEYS[1], 'turn')  -- first: a server out of memory then accepts the other writes
for k = 2, #KEYS do redis.call('ZREM', KEYS[k], ARGV[2]) end
redis.call('HSET', KEYS[1], 'priority', ARGV[3])
return 'changed'
