-- Renews the producer's lease; a lease of 0 ends it. Returns 1, or 0 if the job no longer accepts the producer.
-- KEYS: job.  ARGV: uid, producer, lease in ms
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'producer')
if job[1] ~= ARGV[1] or job[2] ~= 'enqueuing' or job[3] ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
redis.call('HDEL', KEYS[1], '')  -- first: a server out of memory then accepts the other writes
redis.call('HSET', KEYS[1], 'producer_until_ms', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3],
           'producer_lease_ms', ARGV[3])
return 1
