-- Gives a lost batch a new send number, unless it has been leased or requeued meanwhile. Returns {send, paths} or {}.
-- KEYS: job, open, leases, holders, batches.  ARGV: uid, batch, its current send number
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'lease_ms')
if job[1] ~= ARGV[1] or job[2] == 'cancelled' then return {} end
if redis.call('ZSCORE', KEYS[2], ARGV[2]) ~= ARGV[3] then return {} end
local t = redis.call('TIME')
local left = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[2]) or '0') - t[1] * 1000 - math.floor(t[2] / 1000)
-- More time than any lease has: the server's clock was set back (`take`).
if left > 0 and left <= 2 * (tonumber(job[3]) or 0) then return {} end
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
local send = redis.call('HINCRBY', KEYS[1], 'sends', 1)
redis.call('ZADD', KEYS[2], send, ARGV[2])
return {send, redis.call('HGET', KEYS[5], ARGV[2])}
