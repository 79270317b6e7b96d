-- Marks a job finished, if the aggregator still holds its lease. Returns 'finished' or why not.
-- KEYS: job, aggregation, open, leases, holders, batches, attempts, stored.  ARGV: uid, holder, time to live in s, field, value, ...
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 'unknown' end
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'sealed' then return state end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'stale' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- First, so that a full server takes the rest too.
redis.call('HDEL', KEYS[1], 'problem', 'block_bytes', 'spool_bytes', 'spool_host')
redis.call('HSET', KEYS[1], 'state', 'finished', 'updated_ms', now, 'ended_ms', now, unpack(ARGV, 4))
redis.call('UNLINK', unpack(KEYS, 2))
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 'finished'
