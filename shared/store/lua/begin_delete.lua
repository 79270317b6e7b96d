-- Marks a job cancelled: nothing is added to it from now on, and `sweep` and `end_delete` remove it step by step.
-- Returns {1, uid}, or {0, why not}.
-- KEYS: job, registry, unfinished jobs, every part of a record but those of `sweep`, ...
-- ARGV: name, seconds to keep the state `cancelled`, then the uid, state and last update that the job must have
--       (empty: any)
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'updated_ms', 'queue_prefix')
if ARGV[3] ~= '' and job[1] ~= ARGV[3] then return {0, 'unknown'} end
if ARGV[4] ~= '' and job[2] ~= ARGV[4] then return {0, job[2] or 'unknown'} end
if ARGV[5] ~= '' and job[3] ~= ARGV[5] then return {0, 'changed'} end
local there = redis.call('EXISTS', KEYS[1]) == 1
redis.call('UNLINK', unpack(KEYS, 4))  -- first: a server out of memory then accepts the other writes
redis.call('ZREM', KEYS[3], (job[4] or '') .. ':' .. ARGV[1])
if there then
  redis.call('HSET', KEYS[1], 'state', 'cancelled', 'keep_s', ARGV[2])
  -- Until the end, so that an interrupted removal is found and completed.
  redis.call('PERSIST', KEYS[1])
  redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[1])
end
return {1, job[1] or ''}
