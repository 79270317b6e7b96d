-- Marks a job finished, if the aggregator still holds its lease. Returns 'finished' or why not.
-- KEYS: job, aggregation, failed, failed images of this time, batches whose blocks are here, what else only an unfinished
-- job needs, ...
-- ARGV: uid, holder, time to live in s
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 'unknown' end
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'sealed' then return state end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'stale' end
-- First of all writes, so that a full server takes the rest too.
for _, batch in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do redis.call('UNLINK', KEYS[1] .. ':block:' .. batch) end
-- The images of a batch whose producer died before it recorded it, and that was never recorded then.
redis.call('UNLINK', KEYS[1] .. ':bytes:' .. (redis.call('HGET', KEYS[1], 'batches') or '0'))
redis.call('UNLINK', KEYS[2], KEYS[3], unpack(KEYS, 5))
if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('RENAME', KEYS[4], KEYS[3]) end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HDEL', KEYS[1], 'problem', 'lost_aggregations', 'block_bytes', 'spool_bytes', 'spool_host', 'inline_bytes')
redis.call('HSET', KEYS[1], 'state', 'finished', 'updated_ms', now, 'ended_ms', now)
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[3])
return 'finished'
