-- Removes a finished, swept job from the index of unfinished jobs, and sets its record to expire.
-- Returns 'closed', or why not.
-- KEYS: job, failed, unfinished jobs, stored, inline.  ARGV: uid, name, time to live in s
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'queue_prefix')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] ~= 'finished' then return job[2] end
if redis.call('EXISTS', KEYS[4], KEYS[5]) > 0 then return 'not swept' end
redis.call('ZREM', KEYS[3], (job[3] or '') .. ':' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 'closed'
