-- Marks a job finished if the aggregator still holds its lease. Returns 'finished', or why not. `sweep` and `close`
-- follow.
-- KEYS: job, aggregation, failed, this call's failed images, the other parts that only an unfinished job needs except
--       those of `sweep`, ...
-- ARGV: uid, holder, the number of failed images if only the results folder lists them
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 'unknown' end
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'sealed' then return state end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'stale' end
-- The first write: a server out of memory then accepts the others too.
redis.call('UNLINK', KEYS[2], KEYS[3], unpack(KEYS, 5))
if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('RENAME', KEYS[4], KEYS[3]) end
redis.call('PERSIST', KEYS[3])  -- like the record, which does not expire before its blocks are removed (`close`)
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HDEL', KEYS[1], 'problem', 'published_ms', 'lost_aggregations', 'block_bytes', 'spool_bytes', 'spool_host',
           'inline_bytes', 'tiles', 'tiles_done', 'stage', 'turn')
redis.call('HSET', KEYS[1], 'state', 'finished', 'failed_listed', ARGV[3], 'updated_ms', now, 'ended_ms', now)
redis.pcall('PUBLISH', KEYS[1], 'finished')  -- pcall: the user may lack the permission; clients also poll
return 'finished'
