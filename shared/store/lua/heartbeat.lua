-- The attached producer lives, or (with a lease of 0) leaves. Returns 1, or 0 where the job needs it no more.
-- KEYS: job.  ARGV: uid, producer, lease in ms
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'producer')
if job[1] ~= ARGV[1] or job[2] ~= 'enqueuing' or job[3] ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
redis.call('HDEL', KEYS[1], '')  -- first, so that a full server takes the rest too
redis.call('HSET', KEYS[1], 'producer_until_ms', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3],
           'producer_lease_ms', ARGV[3])
return 1
