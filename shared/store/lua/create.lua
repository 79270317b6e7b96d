-- Creates a job, unless one of that name exists. It may take the place of one finished job.
-- Returns the uid of the job of that name, 'removing', or 'not swept' if the finished job still has blocks.
-- KEYS: job, registry, unfinished jobs, stored, inline, every other part of a record, ...
-- ARGV: name, uid, its entry in the index of unfinished jobs, uid of the finished job, field, value, ...
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
local replaces = job[1] == ARGV[4] and job[2] == 'finished'
if job[1] and job[2] ~= 'cancelled' and not replaces then return job[1] end
-- A removal that is in progress or was interrupted: its blocks must not become this job's.
if job[2] and not replaces and redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 'removing' end
if replaces and redis.call('EXISTS', KEYS[4], KEYS[5]) > 0 then return 'not swept' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- The first write: a server out of memory then accepts the others too. It refuses batches, not jobs.
redis.call('UNLINK', KEYS[1], unpack(KEYS, 4))
redis.call('HSET', KEYS[1], 'uid', ARGV[2], 'created_ms', now, 'updated_ms', now, unpack(ARGV, 5))
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZADD', KEYS[3], 0, ARGV[3])
return ARGV[2]
