-- Reopens a finished job to retry its failed images. Returns their number, or why not.
-- The job gets a new uid, so earlier messages and lease holders no longer match it.
-- KEYS: job, failed, registry, unfinished jobs, stored, inline
-- ARGV: uid, new uid, name, counter of failed images by outcome, ...
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 'unknown' end
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'finished' then return state end
-- Earlier blocks must not become those of the retried images.
if redis.call('EXISTS', KEYS[5], KEYS[6]) > 0 then return 'not swept' end
local failed = redis.call('HLEN', KEYS[2])
if failed == 0 then failed = tonumber(redis.call('HGET', KEYS[1], 'failed_listed') or '0') end
if failed == 0 then return 0 end
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HINCRBY', KEYS[1], 'images', -failed)
redis.call('HINCRBY', KEYS[1], 'images_done', -failed)
redis.call('HINCRBY', KEYS[1], 'retries', 1)
redis.call('HDEL', KEYS[1], 'started_ms', 'ended_ms', 'problem', 'lost_aggregations', unpack(ARGV, 4))
redis.call('HSET', KEYS[1], 'uid', ARGV[2], 'state', 'enqueuing', 'batches', 0, 'updated_ms', now)
redis.call('ZADD', KEYS[3], now, ARGV[3])
redis.call('ZADD', KEYS[4], 0, (redis.call('HGET', KEYS[1], 'queue_prefix') or '') .. ':' .. ARGV[3])
return failed
