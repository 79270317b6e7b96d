-- Leases a batch to one worker process. Returns {attempt, losses}, or why not.
-- A lease with more time left than any lease has is from before the server's clock was set back. It counts as expired.
-- The job therefore keeps the length of its longest lease.
-- KEYS: job, open, leases, holders, attempts, losses, alone.  ARGV: uid, batch, send, holder, lease in ms, images
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'lease_ms')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] == 'cancelled' then return 'cancelled' end
local send = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not send then return 'done' end
if send ~= ARGV[3] then return 'sent again' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local left = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[2]) or '0') - now
local longest = math.max(tonumber(job[3]) or 0, tonumber(ARGV[5]))
if left > 0 and left <= 2 * longest then return 'leased' end
-- Left by a worker that was lost as a whole, which is no crash of the image. As the first write it takes no memory.
redis.call('HDEL', KEYS[7], ARGV[2])
redis.call('ZADD', KEYS[3], now + ARGV[5], ARGV[2])
redis.call('HSET', KEYS[4], ARGV[2], ARGV[4])
redis.call('HSETNX', KEYS[1], 'started_ms', now)
redis.call('HSET', KEYS[1], 'lease_ms', longest)
local attempt = redis.call('HINCRBY', KEYS[5], ARGV[2], 1)
-- Counted in the record, because what is recorded for the batch itself is removed by its commit.
if attempt == 2 then redis.call('HINCRBY', KEYS[1], 'images_retaken', ARGV[6]) end
return {attempt, tonumber(redis.call('HGET', KEYS[6], ARGV[2]) or '0')}
