-- Makes the caller the only producer of a job. Returns 'attached', 'unknown', or (without takeover) when the lease of
-- another producer expires, in ms of the server's clock.
-- KEYS: job.  ARGV: uid, producer, lease in ms, whether to take over from a live producer (1 or 0)
local job = redis.call('HMGET', KEYS[1], 'uid', 'producer_until_ms')
if job[1] ~= ARGV[1] then return 'unknown' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[4] == '0' and tonumber(job[2] or '0') > now then return tonumber(job[2]) end
redis.call('HDEL', KEYS[1], 'producer')  -- first: a server out of memory then accepts the other writes
redis.call('HSET', KEYS[1], 'producer', ARGV[2], 'producer_until_ms', now + ARGV[3], 'producer_lease_ms', ARGV[3],
           'updated_ms', now)
return 'attached'
